"""Tells listeners of changes: each is numbered, made into a message once, and handed to those who look where it is.

One per `serve`. Nothing here waits for a listener, and no listener for another.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from msgspec import Struct

from longshore.web.stream.messages import Position, frame_of, position
from longshore.web.stream.outbox import Change
from longshore.web.stream.ring import Mark, Ring

MOST_MISSED = 500
View = Callable[[Mark], bytes]


class News(Struct, frozen=True):
    """A thing that changed; see `Mark`."""

    key: str
    scope: str
    topics: tuple[str, ...]
    facts: Any


class Listener(Protocol):
    @property
    def scope(self) -> str | None:
        """Whose changes it may see at all; None for everybody's."""

    def wants(self, mark: Mark) -> bool:
        """Whether this one, of those of its topic, is for it."""

    def take(self, change: Change) -> None:
        """Must not wait. Two listeners of one reader may both hand it the same change."""

    def restart(self) -> None:
        """Numbers begin anew: what this listener knows must be read again."""


class Hub:
    """`epoch` names the run of numbers that `seq` is the newest of. `view` says what a mark looks like now, as JSON.

    `known` is set by whoever publishes: how much of the world is in what was told so far.
    """

    def __init__(self, view: View, *, bound: int = 20_000) -> None:
        self._view = view
        self._bound = bound
        self._listeners: dict[str, dict[Listener, None]] = {}
        self.epoch, self.seq = _epoch(), 0
        self._ring = Ring(bound)
        self.known = ""

    @property
    def here(self) -> str:
        """The position of who has had everything."""
        return position(self.epoch, self.seq, self.known)

    def join(self, topic: str, listener: Listener) -> None:
        self._listeners.setdefault(topic, {})[listener] = None

    def leave(self, topic: str, listener: Listener) -> None:
        listeners = self._listeners.get(topic)
        if listeners is not None:
            listeners.pop(listener, None)
            if not listeners:
                del self._listeners[topic]

    def publish(self, news: Iterable[News]) -> None:
        """Tell of these, in this order; a thing that is not listened to costs a line in the ring."""
        for each in news:
            self.seq += 1
            mark = Mark(self.seq, each.key, each.scope, each.topics, each.facts)
            self._ring.add(mark)
            self._hand_out(mark)

    def missed(self, after: Position | None, listener: Listener) -> list[Change] | None:
        """Exactly what this listener has not had since then, as it is now; None when it must begin from a snapshot."""
        if after is None or after.epoch != self.epoch or after.seq > self.seq:
            return None
        marks = self._ring.since(after.seq)
        if marks is None:
            return None
        wanted = [mark for mark in marks if _may(listener, mark) and listener.wants(mark)]
        return [self._change(mark) for mark in wanted] if len(wanted) <= MOST_MISSED else None

    def restart(self) -> None:
        """It is not known what changed: everybody begins anew."""
        self.epoch, self.seq = _epoch(), 0
        self._ring = Ring(self._bound)
        for listener in {each: None for group in self._listeners.values() for each in group}:
            listener.restart()

    def _hand_out(self, mark: Mark) -> None:
        change = None
        for topic in mark.topics:
            for listener in tuple(self._listeners.get(topic, ())):
                if _may(listener, mark) and listener.wants(mark):
                    if change is None:
                        change = self._change(mark)
                    listener.take(change)

    def _change(self, mark: Mark) -> Change:
        text = self._view(mark)
        return Change(mark.seq, mark.key, text, frame_of(text))


def _may(listener: Listener, mark: Mark) -> bool:
    return listener.scope is None or listener.scope == mark.scope


def _epoch() -> str:
    return secrets.token_hex(6)
