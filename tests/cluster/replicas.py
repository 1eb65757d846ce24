"""Replicas that contend for a real Lease in the tests' own process, and what is to be seen of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from itertools import count

from longshore.kube.client import Client
from longshore.kube.objects import LEASES, Lease
from longshore.runtime.leader import Leader
from longshore.runtime.term import Term

NAMESPACE = "default"
LEASE, RENEW, RETRY = 4.0, 3.0, 0.3
numbers = count()


class PutForward:
    """A clock of whoever waits for a lease, which is put forward by hand: how long a test takes ends no lease."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.by = 0.0
        self._clock = clock
        self._asked = 0

    def __call__(self) -> float:
        self._asked += 1
        return self._clock() + self.by

    async def looked(self) -> None:
        """Return after a whole look at the lease, for which the time is asked twice, and the one under way."""
        before = self._asked
        async with asyncio.timeout(60):
            while self._asked < before + 4:  # noqa: ASYNC110 - a clock has no event of its own
                await asyncio.sleep(0.01)


class Replica:
    """A leader in a task of its own; `leads` while its `lead()` runs."""

    def __init__(
        self,
        client: Client,
        lease: str,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] | None = None,
    ) -> None:
        identity = f"replica-{next(numbers)}"
        clock = clock or asyncio.get_running_loop().time
        self.leader = Leader(
            client, NAMESPACE, lease, identity, lease=LEASE, renew=RENEW, retry=RETRY, now=now, clock=clock
        )
        self.leads = asyncio.Event()
        self.ended = asyncio.Event()
        self.times = 0
        self.term: Term | None = None

    async def lead(self, term: Term) -> None:
        self.times += 1
        self.term = term
        self.leads.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.leads.clear()
            self.ended.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Replica]:
        task = asyncio.create_task(self.leader.run(self.lead))
        try:
            yield self
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def held(client: Client, lease: str) -> Lease:
    return await client.get(LEASES, lease, NAMESPACE)


async def seconds_until(event: asyncio.Event, deadline: float = 60.0) -> float:
    loop = asyncio.get_running_loop()
    started = loop.time()
    await asyncio.wait_for(event.wait(), deadline)
    return loop.time() - started


async def until_held_by(client: Client, lease: str, identity: str) -> None:
    holder: str | None = None
    async with asyncio.timeout(60):
        while holder != identity:
            await asyncio.sleep(RETRY / 4)
            page = await client.list_page(LEASES, NAMESPACE, field_selector=f"metadata.name={lease}")
            holder = next((found.spec.holder_identity for found in page.items), None)


async def renewed(client: Client, lease: str, seen: Lease, times: int) -> None:
    """Returns when the lease has been renewed this often."""
    async with asyncio.timeout(60):
        while times:
            await asyncio.sleep(RETRY / 4)
            now = await held(client, lease)
            times -= now.spec.renew_time != seen.spec.renew_time
            seen = now
