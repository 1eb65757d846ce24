"""From the changes of one store to keys in a queue; `runtime.controller` runs one for each store that it watches."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any, Generic, TypeVar

import structlog

from longshore.errors import Unavailable
from longshore.kube.objects import Object
from longshore.kube.store import Overflowed, Store
from longshore.runtime import metrics
from longshore.runtime.queue import Queue

K = TypeVar("K", bound=Hashable)
T = TypeVar("T", bound=Object)
SYNC_REPORT_SECONDS = 30.0
# Deltas a feed may be behind by: a relist of a large cluster changes everything within one turn of the loop.
FEED_BOUND = 200_000
log = structlog.get_logger()


class Feed(Generic[K]):
    """`controller` is what metrics and logs call the one it feeds. A change between two that `alike` says are the same
    gives no key.
    """

    def __init__(
        self,
        controller: str,
        store: Store[T],
        key_of: Callable[[T], Iterable[K]],
        queue: Queue[K],
        alike: Callable[[T, T], bool] | None = None,
    ) -> None:
        self._store: Store[Any] = store
        self._key_of: Callable[[Any], Iterable[K]] = key_of
        self._alike: Callable[[Any, Any], bool] | None = alike
        self._queue = queue
        self._labels = (controller, store.resource.plural)
        self._log = log.bind(controller=controller, resource=store.resource.plural)

    async def synced(self) -> None:
        """Waits for the store's first list, however long that takes, and says so now and then."""
        while True:
            try:
                return await self._store.wait_synced(SYNC_REPORT_SECONDS)
            except Unavailable as error:
                self._log.warning("waiting for the cache", error=error.message)

    async def run(self, missed: Callable[[], None]) -> None:
        """Until cancelled. Calls `missed` when changes went by unseen: deletions may be among them."""
        while True:
            async with self._store.subscribe(bound=FEED_BOUND) as changes:
                self._add(changes.snapshot)
                try:
                    while True:
                        for delta in await changes.next():
                            if not self._is_nothing(delta.old, delta.new):
                                self._add(obj for obj in (delta.old, delta.new) if obj is not None)
                except Overflowed:
                    metrics.FEED_OVERFLOWS.labels(*self._labels).inc()
                    self._log.warning("the feed fell behind and looks at everything again")
                    missed()

    def add_everything(self) -> None:
        """Has every key looked at that the store's objects give."""
        self._add(self._store.list())

    def _is_nothing(self, old: Object | None, new: Object | None) -> bool:
        return self._alike is not None and old is not None and new is not None and self._alike(old, new)

    def _add(self, objects: Iterable[Object]) -> None:
        for obj in objects:
            try:
                for key in self._key_of(obj):
                    self._queue.add(key)
            except Exception as error:  # one odd object must not end the feed of all others
                metrics.FEED_FAILURES.labels(*self._labels).inc()
                where = (obj.metadata.namespace, obj.metadata.name)
                self._log.error("no key could be told of an object", object=where, error=repr(error))
