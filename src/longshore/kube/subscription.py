"""How readers follow a store: a snapshot, then every change after it, with at most one pending entry per key.

Made by `Store.subscribe`, read by the controllers' feeds and by the live streams of `web`. A slow reader costs at most
`bound` entries; past that it is told to take a new snapshot.
"""

import asyncio
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from msgspec import Struct

from longshore.errors import LongshoreError
from longshore.kube.objects import Object

T = TypeVar("T", bound=Object)
Key = (
    str  # "namespace/name", or "name" of what is in no namespace, as client-go has it; text costs the collector nothing
)
Values = tuple[str, ...]  # what an object is found under in one index


class Named(Protocol):
    """The metadata of an object, whole or in part."""

    @property
    def name(self) -> str: ...
    @property
    def namespace(self) -> str: ...


def key_of(metadata: Named) -> Key:
    return f"{metadata.namespace}/{metadata.name}" if metadata.namespace else metadata.name


class Delta(Struct, Generic[T], frozen=True, gc=False):
    """One change of one object: `old` is None when it was added, `new` is None when it was deleted.

    `seq` counts the changes of the store; a reader sees it only grow. `old` is what the reader was shown before; `last`
    is how an object that was deleted was at its end, where that is merged and the reader was shown an earlier state.
    """

    key: Key
    old: T | None
    new: T | None
    seq: int
    last: T | None = None


class Overflowed(LongshoreError):
    """The reader fell too far behind: subscribe again and begin from the new snapshot."""


class Subscription(Generic[T]):
    """`snapshot` is the store at `seq`; `next` returns what changed after it: no gap, no duplicate. For one reader.

    The snapshot is let go at the first `next`, so that a long-lived reader does not keep old objects alive.
    """

    def __init__(self, snapshot: list[T], seq: int, bound: int, leave: Callable[["Subscription[T]"], None]) -> None:
        self.snapshot = snapshot
        self.seq = seq
        self._bound = bound
        self._leave = leave
        self._pending: dict[Key, Delta[T]] = {}
        self._offered = seq
        self._overflowed = False
        self._waiting: asyncio.Future[None] | None = None

    async def next(self) -> list[Delta[T]]:
        """Wait for changes and return them, oldest first, at most one per object (two when it was replaced by
        another of the same name: a deletion, then an addition); none where all that changed came and went unseen.
        `seq` is then where the store is. Raises Overflowed.
        """
        self.snapshot = []
        while not self._pending and (self._overflowed or self.seq == self._offered):
            if self._overflowed:
                raise Overflowed("the reader fell behind", hint="subscribe again and begin from the new snapshot")
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        pending, self._pending = self._pending, {}
        self.seq = self._offered
        return _split(pending.values())

    def offer(self, delta: Delta[T]) -> bool:
        """Called by the store for each change; False once the reader has fallen too far behind.

        What a reader has not seen yet is merged with what came before it.
        """
        pending, self._offered = self._pending, delta.seq
        earlier = pending.pop(delta.key, None) if pending else None
        if earlier is not None:
            last = delta.old if delta.new is None else earlier.last
            delta = Delta(delta.key, earlier.old, delta.new, delta.seq, last)
            if delta.old is None and delta.new is None:
                return True  # came and went unseen
        pending[delta.key] = delta
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
        if len(pending) <= self._bound:
            return True
        self._overflowed, self._pending = True, {}
        return False

    def close(self) -> None:
        """Stop receiving, and forget what is pending."""
        self._leave(self)
        self._pending = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Subscribers(Generic[T]):
    """Those who follow one store, all of it or what is under one value of an index."""

    def __init__(self, indexes: tuple[str, ...]) -> None:
        self._indexes = indexes
        self._of_all: dict[Subscription[T], None] = {}
        self._of_value: dict[tuple[str, str], dict[Subscription[T], None]] = {}

    def __len__(self) -> int:
        return len(self._of_all) + sum(len(group) for group in self._of_value.values())

    def __bool__(self) -> bool:
        return bool(self._of_all or self._of_value)

    def add(self, snapshot: list[T], seq: int, bound: int, under: tuple[str, str] | None) -> Subscription[T]:
        group = self._of_all if under is None else self._of_value.setdefault(under, {})
        subscription = Subscription(snapshot, seq, bound, lambda gone: self._leave(gone, under))
        group[subscription] = None
        return subscription

    def tell(self, delta: Delta[T], was: tuple[Values, ...], now: tuple[Values, ...]) -> None:
        """`was` and `now` are the object's values in each index: who follows only one of these sees it come when it
        gets there and go when it leaves.
        """
        self._offer(delta, None)
        if not self._of_value:
            return
        for index, before, after in zip(self._indexes, was, now, strict=True):
            for value in {*before, *after}:
                if (under := (index, value)) in self._of_value:
                    old, new = delta.old if value in before else None, delta.new if value in after else None
                    self._offer(Delta(delta.key, old, new, delta.seq), under)

    def _offer(self, delta: Delta[T], under: tuple[str, str] | None) -> None:
        behind = []
        for subscription in self._of_all if under is None else self._of_value[under]:
            if not subscription.offer(delta):
                behind.append(subscription)
        for subscription in behind:
            self._leave(subscription, under)

    def _leave(self, subscription: Subscription[T], under: tuple[str, str] | None) -> None:
        if under is None:
            self._of_all.pop(subscription, None)
        elif (group := self._of_value.get(under)) is not None:
            group.pop(subscription, None)
            if not group:
                del self._of_value[under]


def _split(deltas: Iterable[Delta[T]]) -> list[Delta[T]]:
    """The same name with a new uid is another object: a reader sees the first go before the second comes."""
    parts: list[Delta[T]] = []
    for delta in deltas:
        if delta.old is None or delta.new is None or delta.old.metadata.uid == delta.new.metadata.uid:
            parts.append(delta)
        else:
            parts.append(Delta(delta.key, delta.old, None, delta.seq, delta.last))
            parts.append(Delta(delta.key, None, delta.new, delta.seq))
    return parts
