"""The in-memory copy of one resource that every read in longshore is served from.

One `Writer` (held by the reflector) changes it, any number of readers look at it; nothing in it is ever mutated, so a
reader may keep what it was handed. Everything here runs in one turn of the event loop.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Generic, TypeVar

import structlog
from msgspec import Struct

from longshore.errors import UserMistake
from longshore.kube.arrangement import Arrangement, Places
from longshore.kube.index import IndexValues
from longshore.kube.objects import Object, Resource
from longshore.kube.order import Listing, Order, Position, created, sortable
from longshore.kube.subscription import Delta, Key, Overflowed, Subscribers, Subscription, key_of
from longshore.kube.versioned import Versioned

__all__ = [
    "Delta",
    "IndexValues",
    "Key",
    "Listing",
    "Order",
    "Overflowed",
    "Position",
    "Store",
    "Subscription",
    "Writer",
    "created",
    "sortable",
]

T = TypeVar("T", bound=Object)
PAGE_MAX = 500  # objects in one page
log = structlog.get_logger()


class Held(Struct, Generic[T], frozen=True, gc=False):
    """An object in a store, where it can be found, and its size in bytes of JSON."""

    obj: T
    places: Places
    size: int


class Store(Versioned, Generic[T]):
    """Objects of one resource by (namespace, name), by each index, and in each order.

    `indexes` maps a name to a pure function from an object to the values it is found under: None, one, or several.
    `orders` maps a name to how objects are sorted for `page`.
    """

    def __init__(
        self,
        resource: Resource[T],
        indexes: Mapping[str, IndexValues[T]] | None = None,
        orders: Mapping[str, Order[T]] | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(resource.plural, clock)
        self.resource = resource
        self.seq = 0
        self.bytes = 0
        self._held: dict[Key, Held[T]] = {}
        everywhere: dict[str, IndexValues[T]] = {"namespace": lambda obj: obj.metadata.namespace}
        self._arrangement = Arrangement({**everywhere, **(indexes or {})}, orders or {}, self._unplaced)
        self._subscribers: Subscribers[T] = Subscribers(self._arrangement.indexes)
        self._written = False

    def get(self, name: str, namespace: str = "") -> T | None:
        held = self._held.get(f"{namespace}/{name}" if namespace else name)
        return held.obj if held else None

    def by(self, index: str, value: str) -> list[T]:
        """The objects that the index puts under this value."""
        held = self._held
        return [held[key].obj for key in self._arrangement.under(index, value)]

    def count(self, index: str, value: str) -> int:
        """How many `by` would give, without making the list."""
        return len(self._arrangement.under(index, value))

    def ahead(self, order: str, value: str, obj: T) -> int:
        """How many objects under `value` of the index that the order is within come before this one; none is looked
        at for that."""
        return self._arrangement.ahead(order, value, key_of(obj.metadata), obj)

    def list(self, namespace: str | None = None) -> list[T]:
        """All objects, or those of one namespace, in no particular order."""
        if namespace is not None:
            return self.by("namespace", namespace)
        return [held.obj for held in self._held.values()]

    def page(
        self,
        order: str,
        value: str | None = None,
        *,
        limit: int = 50,
        after: Position | None = None,
        prefix: str = "",
        descending: bool = False,
        where: Callable[[T], bool] | None = None,
    ) -> Listing[T]:
        """`limit` objects in this order (at most 500), those under `value` of the index that the order is within.

        `after` is where the page before ended; `prefix` is what the text that they are sorted by begins with. Only
        `where` costs more than what is returned: it is called for each object on the way. Raises UserMistake.
        """
        if not 1 <= limit <= PAGE_MAX:
            raise UserMistake(f"a page holds 1 to {PAGE_MAX}, not {limit}", hint="ask for several", field="limit")
        if after is not None and after.order != order:
            raise UserMistake("this cursor is of another order", hint="begin without a cursor", field="cursor")
        items: list[T] = []
        last = after
        for text, uid, key in self._arrangement.walk(order, value, after, prefix, descending):
            obj = self._held[key].obj
            if where is not None and not where(obj):
                continue
            if len(items) == limit:
                return Listing(items, last, self.version)
            items.append(obj)
            last = Position(order, text, uid)
        return Listing(items, None, self.version)

    def __len__(self) -> int:
        return len(self._held)

    @property
    def subscribers(self) -> int:
        return len(self._subscribers)

    def subscribe(self, under: tuple[str, str] | None = None, *, bound: int = 10_000) -> Subscription[T]:
        """A snapshot and everything after it; only what is `under` (index, value), where that is given.

        `bound` is how many changed objects may wait for the reader.
        """
        snapshot = self.list() if under is None else self.by(*under)
        return self._subscribers.add(snapshot, self.seq, bound, under)

    def _unplaced(self, name: str, key: Key, error: Exception) -> None:
        self.stats.unindexed += 1
        log.warning("object not indexed", index=name, object=key, error=repr(error))

    def _change(self, key: Key, held: Held[T] | None, new: T | None, size: int = 0) -> None:
        """Have `new` where `held` was; either may be None."""
        self.seq += 1
        old, was, freed = (held.obj, held.places, held.size) if held else (None, self._arrangement.nowhere, 0)
        now = self._arrangement.place(key, was, new)
        self.bytes += size - freed
        if new is None:
            del self._held[key]
        else:
            self._held[key] = Held(new, now, size)
        if self._subscribers:
            self._subscribers.tell(Delta(key, old, new, self.seq), was.values, now.values)


class Writer(Generic[T]):
    """The one that may change a store; making a second one for the same store is a programming error."""

    def __init__(self, store: Store[T]) -> None:
        if store._written:
            raise RuntimeError(f"the store of {store.resource.plural} has a writer already")
        store._written = True
        self.store = store

    def replace(
        self,
        objects: Iterable[T],
        version: int,
        *,
        sizes: Mapping[Key, int] = MappingProxyType({}),
        keep: Mapping[Key, str] = MappingProxyType({}),
    ) -> None:
        """Swap in a whole list at once; readers see only the differences. `sizes` are bytes of JSON.

        `keep` has the uids of objects that are listed but could not be decoded: what is known of them stays, unless
        it is newer than the list: what happens to them from then on would look older than that.
        The list is the truth, also where it is older than the store or shows an object older than we knew it: then the
        cluster's history was replaced, by a restored etcd, and may use its versions again (decisions/0007).
        """
        store = self.store
        listed = {key_of(obj.metadata): obj for obj in objects}
        for key, held in list(store._held.items()):
            kept = keep.get(key) == held.obj.metadata.uid and version_of(held.obj) <= version
            if key not in listed and not kept:
                store._change(key, held, None)
        for key, obj in listed.items():
            known = store._held.get(key)
            if known is None or known.obj != obj:
                store._change(key, known, obj, sizes.get(key, 0))
        store.synced, store.trouble = True, None
        store._move(version)

    def put(self, obj: T, size: int = 0) -> None:
        """Take an added or changed object. One that is not newer than the store is an echo and is ignored."""
        version = version_of(obj)
        if version <= self.store.version:
            return
        key = key_of(obj.metadata)
        self.store._change(key, self.store._held.get(key), obj, size)
        self.store._move(version)

    def delete(self, key: Key, version: int) -> None:
        """Take a deletion that happened at `version`; several may share one: what etcd lets expire goes all at once."""
        if version < self.store.version:
            return
        held = self.store._held.get(key)
        if held is not None and (version > self.store.version or version_of(held.obj) < version):
            self.store._change(key, held, None)
        self.advance(version)

    def advance(self, version: int) -> None:
        """Nothing changed up to `version`."""
        if version > self.store.version:
            self.store._move(version)

    def heard(self) -> None:
        """The API server gave a sign of life."""
        self.store._heard = self.store._clock()

    def trouble(self, why: str | None) -> None:
        """Say in one sentence why the store may be behind; None when all is well again."""
        self.store.trouble = why


def version_of(obj: Object) -> int:
    """Resource versions of one resource compare as integers (KEP-5504)."""
    return int(obj.metadata.resource_version)


def is_newer(obj: T, old: T | None) -> bool:
    return old is None or obj.metadata.uid != old.metadata.uid or version_of(obj) > version_of(old)
