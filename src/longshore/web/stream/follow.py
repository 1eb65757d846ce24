"""One subscription of one reader: what a kind understands by it, joined to the hub; `socket` and `events` make them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from typing import Any, Protocol

from longshore.web.auth import Caller
from longshore.web.stream.hub import Hub
from longshore.web.stream.messages import message
from longshore.web.stream.outbox import Change
from longshore.web.stream.reader import Reader
from longshore.web.stream.ring import Mark

HINT_SECONDS = 1.0  # at most one hint in so long


class Concern(Enum):
    """What a change is to a subscription: nothing, news that it is sent, or a sign that its list is another one now."""

    NOTHING = 0
    NEWS = 1
    LIST = 2


class Interest(Protocol):
    """What somebody wants to follow, once it is known that he may."""

    @property
    def topic(self) -> str:
        """Where in the hub its changes are."""

    @property
    def scope(self) -> str | None:
        """Whose changes; None for everybody's."""

    @property
    def resumable(self) -> bool:
        """Whether what was missed says all; else it begins from a snapshot each time."""

    def concern(self, mark: Mark) -> Concern: ...

    async def snapshot(self) -> Mapping[str, Any]:
        """What is so now, as members of a message. Raises LongshoreError."""


Resolve = Callable[[Caller, bytes, str], Awaitable[Interest]]
"""From who asks, the JSON of what he wants, and what he knows (`Position.known`, maybe of another replica) to an
Interest that tells him nothing older. Raises LongshoreError; Unavailable when this replica has not got so far."""


class Follow:
    """A listener of the hub."""

    __slots__ = ("_hint", "_hub", "_restarted", "id", "interest", "reader", "scope")

    def __init__(self, hub: Hub, reader: Reader, id: str, interest: Interest, restarted: Callable[[], None]) -> None:
        self.id = id
        self.interest = interest
        self.reader = reader
        self.scope = interest.scope
        self._hub = hub
        self._restarted = restarted
        self._hint: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        self._hub.join(self.interest.topic, self)

    def end(self) -> None:
        self._hub.leave(self.interest.topic, self)
        if self._hint is not None:
            self._hint.cancel()

    def wants(self, mark: Mark) -> bool:
        concern = self.interest.concern(mark)
        if concern is Concern.LIST and self._hint is None:
            self._hint = asyncio.get_running_loop().call_later(HINT_SECONDS, self._say_changed)
        return concern is Concern.NEWS

    def take(self, change: Change) -> None:
        self.reader.take(change)

    def restart(self) -> None:
        self._restarted()

    def _say_changed(self) -> None:
        self._hint = None
        self.reader.take(Change(0, f"changed/{self.id}", message("changed", id=self.id)))
