"""How long the event loop is kept from coming around."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Lag:
    """`worst` is the longest time so far, in seconds."""

    def __init__(self) -> None:
        self.worst = 0.0

    async def measure(self) -> None:
        """Lives until cancelled."""
        last = time.monotonic()
        while True:
            await asyncio.sleep(0.001)
            now = time.monotonic()
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
