"""How long the event loop is kept from coming around, by this process and not by others that had its processor."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

_SCHEDULED = Path("/proc/thread-self/schedstat")


class Lag:
    """`worst` is the longest time so far, in seconds."""

    def __init__(self) -> None:
        self.worst = 0.0

    async def measure(self) -> None:
        """Lives until cancelled."""
        last = time.monotonic() - _elsewhere()
        while True:
            await asyncio.sleep(0.001)
            now = time.monotonic() - _elsewhere()
            self.worst, last = max(self.worst, now - last), now


@asynccontextmanager
async def lagging() -> AsyncIterator[Lag]:
    """Measured for the duration of the block."""
    lag = Lag()
    task = asyncio.create_task(lag.measure())
    try:
        yield lag
    finally:
        task.cancel()
        await asyncio.wait([task])


def _elsewhere() -> float:
    """Seconds in which this thread could have run, and others did. Source: Linux, sched-stats.rst."""
    try:
        return int(_SCHEDULED.read_text().split()[1]) / 1e9
    except FileNotFoundError:
        return 0.0
