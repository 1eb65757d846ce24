"""The API server of a cluster as a process that can be killed and stopped."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from longshore.cluster.cluster import LocalCluster
from longshore.cluster.controlplane import API
from longshore.cluster.status import PartStatus

DEADLINE = 60.0  # seconds for a new one to be ready


class ApiServer:
    def __init__(self, cluster: LocalCluster) -> None:
        self._cluster = cluster

    async def status(self) -> PartStatus:
        return next(part for part in (await self._cluster.status()).parts if part.name == API)

    async def kill(self, meanwhile: Callable[[], Awaitable[None]] | None = None) -> None:
        """SIGKILL, and wait until the next one is ready; `meanwhile` runs while there is none."""
        before = await self.status()
        os.kill(_pid(before), signal.SIGKILL)
        if meanwhile is not None:
            await meanwhile()
        async with asyncio.timeout(DEADLINE):
            while True:
                after = await self.status()
                if after.ready and after.restarts > before.restarts:
                    return
                await asyncio.sleep(0.05)

    @contextmanager
    def stopped(self, status: PartStatus) -> Iterator[None]:
        """SIGSTOP for the duration of the block: it has the machine's sockets, and says nothing."""
        os.kill(_pid(status), signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(_pid(status), signal.SIGCONT)


def _pid(status: PartStatus) -> int:
    assert status.pid is not None
    return status.pid
