"""Time that passes only while this process and the API server come around: no pause of the machine costs a lease.

For tests of what is timed in seconds; what they assert of time is of this one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from longshore.errors import LongshoreError
from longshore.kube.client import Client
from longshore.kube.objects import NAMESPACES

MOST = 0.2  # seconds that count of those between two answers
PAUSE = 0.02


class Steady:
    """Seconds. An answer of the API server is that of its etcd too: a list is of what is there now."""

    def __init__(self, client: Client, began: float) -> None:
        self._client = client
        self._passed = began
        self._answered = time.monotonic()

    def __call__(self) -> float:
        return self._passed + min(time.monotonic() - self._answered, MOST)

    async def run(self) -> None:
        """Lives until cancelled."""
        while True:
            with suppress(LongshoreError):
                await self._client.list_page(NAMESPACES, limit=1, attempts=1)
            self._passed, self._answered = self(), time.monotonic()
            await asyncio.sleep(PAUSE)


@asynccontextmanager
async def steadily(client: Client) -> AsyncIterator[Steady]:
    """The event loop's time, and so every deadline in this process, for the duration of the block."""
    loop = asyncio.get_running_loop()
    steady = Steady(client, loop.time())
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(loop, "time", steady)
        task = asyncio.create_task(steady.run())
        try:
            yield steady
        finally:
            task.cancel()
            await asyncio.wait([task])
