"""The in-memory copy of one resource that every read in longshore is served from.

One `Writer` (held by the reflector) changes it, any number of readers look at it; nothing in it is ever mutated, so a
reader may keep what it was handed. Everything here runs in one turn of the event loop.
"""

import asyncio
import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Generic, TypeVar

import structlog
from msgspec import Struct

from longshore.errors import Unavailable, UserMistake
from longshore.kube.index import Index, IndexValues
from longshore.kube.objects import Object, Resource
from longshore.kube.subscription import Delta, Key, Overflowed, Subscription

__all__ = ["Delta", "IndexValues", "Key", "Overflowed", "Stats", "Store", "Subscription", "Writer"]

T = TypeVar("T", bound=Object)
log = structlog.get_logger()


class Stats(Struct):
    """What happened to one cache since the process started; `kube.metrics` shows it."""

    streams: int = 0
    events: int = 0
    relists: int = 0
    gone: int = 0
    failures: int = 0
    undecodable: int = 0
    unindexed: int = 0
    waits: int = 0
    waited_seconds: float = 0.0
    late: int = 0


class Store(Generic[T]):
    """Objects of one resource by (namespace, name), and by each index.

    `indexes` maps a name to a pure function from an object to the values it is found under: None, one, or several.
    """

    def __init__(
        self,
        resource: Resource[T],
        indexes: Mapping[str, IndexValues[T]] | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.resource = resource
        self.version = 0
        self.seq = 0
        self.synced = False
        self.trouble: str | None = "not synced yet"
        self.stats = Stats()
        self._clock = clock
        self._heard: float | None = None
        self._objects: dict[Key, T] = {}
        self._sizes: dict[Key, int] = {}
        self.bytes = 0
        self._indexes: dict[str, Index[T]] = {
            name: Index(values, partial(self._unindexed, name))
            for name, values in {"namespace": lambda obj: obj.metadata.namespace, **(indexes or {})}.items()
        }
        self._subscriptions: dict[Subscription[T], None] = {}
        self._waiters: dict[asyncio.Future[None], int] = {}
        self._written = False

    def get(self, name: str, namespace: str = "") -> T | None:
        return self._objects.get((namespace, name))

    def by(self, index: str, value: str) -> list[T]:
        """The objects that the index puts under this value."""
        return list(self._indexes[index].entries.get(value, {}).values())

    def list(self, namespace: str | None = None) -> list[T]:
        """All objects, or those of one namespace, in no particular order."""
        return list(self._objects.values()) if namespace is None else self.by("namespace", namespace)

    def __len__(self) -> int:
        return len(self._objects)

    @property
    def age(self) -> float:
        """Seconds since the API server was last heard of; infinite before the first time."""
        return math.inf if self._heard is None else self._clock() - self._heard

    @property
    def subscribers(self) -> int:
        return len(self._subscriptions)

    def subscribe(self, *, bound: int = 10_000) -> Subscription[T]:
        """A snapshot and everything after it. `bound` is how many changed objects may wait for the reader."""
        subscription = Subscription(list(self._objects.values()), self.seq, bound, self._leave)
        self._subscriptions[subscription] = None
        return subscription

    async def wait_synced(self, deadline: float) -> None:
        """Return when the first list is in; raises Unavailable after `deadline` seconds."""
        await self._wait(0, deadline)

    async def wait_for(self, version: int | str, deadline: float = 2.0) -> None:
        """Return when the store is at least as new as this resourceVersion: read your own writes.

        Raises Unavailable when that takes more than `deadline` seconds.
        """
        try:
            wanted = int(version)
        except ValueError:
            raise UserMistake(f"{version!r} is not a resource version", hint="pass one that was returned") from None
        await self._wait(wanted, deadline)

    def _reached(self, version: int) -> bool:
        return self.synced and self.version >= version

    async def _wait(self, version: int, deadline: float) -> None:
        if self._reached(version):
            return
        began = self._clock()
        future = asyncio.get_running_loop().create_future()
        self._waiters[future] = version
        try:
            async with asyncio.timeout(deadline):
                await future
        except TimeoutError:
            self.stats.late += 1
            raise Unavailable(
                f"the cache of {self.resource.plural} has not caught up ({self.trouble or 'it is behind'})",
                hint="try again in a moment",
            ) from None
        finally:
            del self._waiters[future]
            self.stats.waits += 1
            self.stats.waited_seconds += self._clock() - began

    def _leave(self, subscription: Subscription[T]) -> None:
        self._subscriptions.pop(subscription, None)

    def _unindexed(self, name: str, key: Key, error: Exception) -> None:
        self.stats.unindexed += 1
        log.warning("object not indexed", index=name, object=key, error=repr(error))

    def _change(self, key: Key, old: T | None, new: T | None, size: int = 0) -> None:
        self.seq += 1
        self.bytes += size - self._sizes.pop(key, 0)
        if new is None:
            del self._objects[key]
        else:
            self._objects[key] = new
            self._sizes[key] = size
        for index in self._indexes.values():
            index.change(key, old, new)
        delta = Delta(key, old, new, self.seq)
        for subscription in tuple(self._subscriptions):
            subscription.offer(delta)

    def _move(self, version: int) -> None:
        self.version = version
        for future, wanted in self._waiters.items():
            if self._reached(wanted) and not future.done():
                future.set_result(None)


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
        keep: Collection[Key | None] = (),
    ) -> None:
        """Swap in a whole list at once; readers see only the differences. `sizes` are bytes of JSON.

        `keep` names objects that are in the list but could not be decoded: what is known of them stays.
        A list older than the store means that the cluster's history was replaced (a restored etcd): it is the truth.
        """
        store = self.store
        restored = version < store.version
        listed = {key_of(obj): obj for obj in objects}
        for key, old in list(store._objects.items()):
            if key not in listed and key not in keep:
                store._change(key, old, None)
        for key, obj in listed.items():
            if restored or _newer(obj, store._objects.get(key)):
                store._change(key, store._objects.get(key), obj, sizes.get(key, 0))
        store.synced, store.trouble = True, None
        store._move(version)

    def put(self, obj: T, size: int = 0) -> None:
        """Take an added or changed object. One that is not newer than the store is an echo and is ignored."""
        version = version_of(obj)
        if version <= self.store.version:
            return
        key = key_of(obj)
        self.store._change(key, self.store._objects.get(key), obj, size)
        self.store._move(version)

    def delete(self, key: Key, version: int) -> None:
        """Take a deletion that happened at `version`."""
        if version <= self.store.version:
            return
        old = self.store._objects.get(key)
        if old is not None:
            self.store._change(key, old, None)
        self.store._move(version)

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


def key_of(obj: Object) -> Key:
    return (obj.metadata.namespace, obj.metadata.name)


def version_of(obj: Object) -> int:
    """Resource versions of one resource compare as integers (KEP-5504)."""
    return int(obj.metadata.resource_version)


def _newer(obj: T, old: T | None) -> bool:
    return old is None or obj.metadata.uid != old.metadata.uid or version_of(obj) > version_of(old)
