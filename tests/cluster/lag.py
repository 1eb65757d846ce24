"""How long the event loop is kept from coming around, by what this process does and not by a machine that stands still.

What its thread computed counts, and what it waited for while another thread of this process came around.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

_SCHEDULED = Path("/proc/thread-self/schedstat")
_BEAT, _MOST = 0.005, 0.05  # seconds between two beats, and what counts of them


class _Heart(threading.Thread):
    """`seconds` pass with its beats: none while the whole process is stopped."""

    def __init__(self) -> None:
        super().__init__(name="heart", daemon=True)
        self.seconds = 0.0
        self.ended = threading.Event()

    def run(self) -> None:
        last = time.monotonic()
        while not self.ended.wait(_BEAT):
            now = time.monotonic()
            self.seconds += min(now - last, _MOST)
            last = now


class Lag:
    """`worst` is the longest time so far, in seconds."""

    def __init__(self) -> None:
        self.worst = 0.0
        self._heart = _Heart()

    async def measure(self) -> None:
        """Lives until cancelled."""
        self._heart.start()
        try:
            last = self._now()
            while True:
                await asyncio.sleep(0.001)
                now = self._now()
                self.worst = max(self.worst, now[0] - last[0], now[1] - last[1])
                last = now
        finally:
            self._heart.ended.set()
            self._heart.join()

    def _now(self) -> tuple[float, float]:
        """Seconds that this thread has computed, and that the other one saw pass while this one could run."""
        return time.thread_time(), self._heart.seconds - _elsewhere()


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
