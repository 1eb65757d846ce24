"""Whose task is next for a free place in the service: tenants take turns, so that no queue of one delays the others.

`as_processes` asks for a place and gives it back. Within a tenant it is first come, first served.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from longshore.errors import TooManyRequests

HINT = "wait until one ends"


class Turns:
    """`places` tasks run at the same time; `each` tenant has so many more waiting at most, all together `most`."""

    def __init__(self, places: int, *, each: int, most: int) -> None:
        self._places, self._each, self._most = places, each, most
        self._taken = 0
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()  # whose turn it is, first
        self._here: Counter[str] = Counter()

    def enter(self, tenant: str) -> None:
        """One task more of this tenant, until it leaves. Raises TooManyRequests when it could neither run nor wait."""
        here = self._here.total()
        if here < self._places:
            pass  # it need not wait
        elif self._here[tenant] >= self._places + self._each:
            raise TooManyRequests("too many of your tasks wait for a place", hint=HINT, retry_after=10)
        elif here >= self._places + self._most:
            raise TooManyRequests("too many tasks wait for a place", hint=HINT, retry_after=10)
        self._here[tenant] += 1

    def leave(self, tenant: str) -> None:
        self._here[tenant] -= 1
        if not self._here[tenant]:
            del self._here[tenant]

    @asynccontextmanager
    async def place(self, tenant: str) -> AsyncIterator[None]:
        """Within, one of the places is this tenant's."""
        if self._taken < self._places:
            self._taken += 1
        else:
            await self._turn(tenant)
        try:
            yield
        finally:
            self._pass_on()

    async def _turn(self, tenant: str) -> None:
        """Return with a place that another has handed over."""
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant, deque()).append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self._pass_on()  # it came too late
            raise

    def _pass_on(self) -> None:
        """The place to the next in turn, or free; a tenant that was served goes behind the others."""
        while self._waiting:
            tenant, queue = self._waiting.popitem(last=False)
            served = False
            while queue and not served:
                if not (next_one := queue.popleft()).done():
                    next_one.set_result(None)
                    served = True
            if queue:
                self._waiting[tenant] = queue
            if served:
                return
        self._taken -= 1
