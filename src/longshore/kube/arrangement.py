"""Where each object of one store is found: under which values of every index, and where in every order.

`kube.store` asks it. Most changes of an object leave it where it was, so they cost no more than to see that.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from typing import Generic, TypeVar

from msgspec import Struct

from longshore.kube.index import Index, IndexValues
from longshore.kube.objects import Object
from longshore.kube.order import Entry, Order, Ordered, Position
from longshore.kube.subscription import Key, Values

T = TypeVar("T", bound=Object)
P = TypeVar("P")


class Places(Struct, frozen=True, gc=False):
    """Of one object: its values in each index and its entry in each order, as they were declared."""

    values: tuple[Values, ...]
    entries: tuple[Entry | None, ...]


class Arrangement(Generic[T]):
    """`failed` is told the index or order, the key and the error when a declared function fails on an object."""

    def __init__(
        self,
        indexes: Mapping[str, IndexValues[T]],
        orders: Mapping[str, Order[T]],
        failed: Callable[[str, Key, Exception], None],
    ) -> None:
        self._indexes = {name: Index(values, partial(failed, name)) for name, values in indexes.items()}
        self._orders = {name: Ordered(order, partial(failed, name)) for name, order in orders.items()}
        self._values = tuple(index.values for index in self._indexes.values())
        self._entries = tuple(order.entry for order in self._orders.values())
        self.nowhere = Places(((),) * len(self._indexes), (None,) * len(self._orders))
        if unknown := {order.within for order in orders.values() if order.within} - set(self._indexes):
            raise ValueError(f"orders are within {sorted(unknown)}, not indexes of this store")

    @property
    def indexes(self) -> tuple[str, ...]:
        return tuple(self._indexes)

    def under(self, index: str, value: str) -> Collection[Key]:
        """The keys of the objects that the index puts under this value."""
        return _declared("index", self._indexes, index).keys(value)

    def walk(
        self, order: str, value: str | None, after: Position | None, prefix: str, descending: bool
    ) -> Iterator[Entry]:
        """See `Ordered.walk`."""
        return _declared("order", self._orders, order).walk(value, after, prefix, descending)

    def ahead(self, order: str, value: str, key: Key, obj: T) -> int:
        """See `Store.ahead`."""
        ordered = _declared("order", self._orders, order)
        entry = ordered.entry(key, obj, None)
        return ordered.before(value, entry) if entry is not None else 0

    def place(self, key: Key, was: Places, obj: T | None) -> Places:
        """Move an object from where it was to where it belongs now, nowhere if it is gone; returns its places."""
        if obj is None:
            now = self.nowhere
        else:
            now = Places(
                tuple([values(key, obj) for values in self._values]),
                tuple([entry(key, obj, before) for entry, before in zip(self._entries, was.entries, strict=True)]),
            )
        if now == was:
            return was
        self._move(key, was, now)
        return now

    def _move(self, key: Key, was: Places, now: Places) -> None:
        moves = {name: (was.values[at], now.values[at]) for at, name in enumerate(self._indexes)}
        for name, index in self._indexes.items():
            index.move(key, *moves[name])
        for at, order in enumerate(self._orders.values()):
            groups = moves[order.within] if order.within else ((), ())
            order.move(was.entries[at], now.entries[at], *groups)


def _declared(what: str, known: Mapping[str, P], name: str) -> P:
    try:
        return known[name]
    except KeyError:
        raise ValueError(f"this store has no {what} {name!r}; declared: {', '.join(known) or 'none'}") from None
