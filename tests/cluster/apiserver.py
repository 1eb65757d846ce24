"""The API server of a cluster as a process that can be killed and stopped."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from longshore.cluster.cluster import LocalCluster
from longshore.cluster.controlplane import API
from longshore.cluster.status import PartStatus

DEADLINE = 120.0  # seconds for a new one to be ready: one that ends again and again is started ever later


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
            _wait_until_stopped(_pid(status))
            yield
        finally:
            os.kill(_pid(status), signal.SIGCONT)


def _wait_until_stopped(pid: int) -> None:
    """A signal is only sent when `kill` returns: on a busy machine some thread may answer a request after that."""
    end = time.monotonic() + 10
    while any(_state(thread) not in "TtZX" for thread in Path(f"/proc/{pid}/task").iterdir()):
        assert time.monotonic() < end, f"process {pid} was told to stop and has not"
        time.sleep(0.001)


def _state(thread: Path) -> str:
    try:
        return (thread / "stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "X"


def _pid(status: PartStatus) -> int:
    assert status.pid is not None
    return status.pid
