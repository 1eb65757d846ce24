"""Everybody who is connected to the stream of this process: how many, whether they still may, and their farewell."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import structlog
from prometheus_client import Counter as Counted
from prometheus_client import Gauge

from longshore.errors import Forbidden, LongshoreError, TooManyRequests, Unauthenticated, Unavailable
from longshore.web.auth import Caller
from longshore.web.stream.messages import Code, going_away

CHECK_SECONDS = 20.0
CONNECTED = Gauge("longshore_stream_connections", "Sockets and event streams that are open.")
LET_GO = Counted("longshore_stream_let_go", "Connections that were ended by us, by code.", ["code"])
log = structlog.get_logger(__name__)


class Member(Protocol):
    """A connection. What it showed to come in is asked of again, for as long as it stays."""

    @property
    def who(self) -> Caller: ...
    @property
    def credential(self) -> str: ...
    def let_go(self, code: Code, reason: str) -> None: ...


class Audience:
    """`recognise` says who a credential belongs to; `most` connections in all, `most_each` of one caller."""

    def __init__(
        self, recognise: Callable[[str], Awaitable[Caller]], *, most: int = 12_000, most_each: int = 2_000
    ) -> None:
        self._recognise = recognise
        self._most, self._most_each = most, most_each
        self._members: dict[Member, None] = {}
        self._of_caller: Counter[str] = Counter()
        self._open = 0
        self._closing = False

    def enter(self, member: Member) -> None:
        """Raises TooManyRequests, or Unavailable when everybody is leaving."""
        self._count(member.who)
        self._members[member] = None

    def leave(self, member: Member) -> None:
        if member in self._members:
            del self._members[member]
            self._discount(member.who)

    @contextmanager
    def counted(self, who: Caller) -> Iterator[None]:
        """Within, one connection more of this caller, which sees to its own end. Raises as `enter`."""
        self._count(who)
        try:
            yield
        finally:
            self._discount(who)

    def _count(self, who: Caller) -> None:
        if self._closing:
            raise Unavailable("this replica ends", hint="connect again in a moment", retry_after=2)
        if self._open >= self._most:
            raise TooManyRequests(f"this replica has {self._most} connections already", hint="try again later")
        if self._of_caller[who.name] >= self._most_each:
            hint = "follow several things over one socket"
            raise TooManyRequests(f"you have {self._most_each} connections open", hint=hint, retry_after=10)
        self._of_caller[who.name] += 1
        self._open += 1
        CONNECTED.set(self._open)

    def _discount(self, who: Caller) -> None:
        self._of_caller[who.name] -= 1
        if not self._of_caller[who.name]:
            del self._of_caller[who.name]
        self._open -= 1
        CONNECTED.set(self._open)

    def __len__(self) -> int:
        return self._open

    async def run(self) -> None:
        """Until cancelled: whoever is not known any more goes."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            await self.check()

    async def check(self) -> None:
        """Ask once for each credential, however many connections came with it."""
        known: dict[str, Caller | None] = {}
        for member in tuple(self._members):
            if member.credential not in known:
                known[member.credential] = await self._caller(member)
            if known[member.credential] != member.who:
                member.let_go(Code.UNAUTHENTICATED, "this credential has expired or was revoked")

    def farewell(self) -> None:
        """Everybody is asked to go elsewhere, at moments of their own; nobody comes in any more."""
        self._closing = True
        for member in tuple(self._members):
            member.let_go(Code.GOING_AWAY, going_away())

    async def _caller(self, member: Member) -> Caller | None:
        try:
            return await self._recognise(member.credential)
        except (Unauthenticated, Forbidden):
            return None
        except LongshoreError as error:
            log.warning("whether a credential is still good is not known now", why=error.message)
            return member.who
