"""Keeps one store equal to one resource of the cluster. Only composition roots start reflectors.

It does what `kube.watch` says, one request at a time, and is the only writer of its store. A list, paged or streamed,
is staged aside and swapped in when it is complete, so readers never see half of it.
"""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from random import Random
from typing import Any, Generic, Protocol, TypeVar

import msgspec
import structlog

from longshore.errors import Forbidden, Gone, LongshoreError
from longshore.kube.errors import away
from longshore.kube.events import Applied, Bookmark, Deleted, Event, Reader, Undecodable
from longshore.kube.objects import Object, Resource
from longshore.kube.staging import Staged
from longshore.kube.store import Key, Store, Writer
from longshore.kube.watch import ListPage, NeverComplete, Pace, Stream, Watch
from longshore.kube.wire import Page

T = TypeVar("T", bound=Object)
SLICE = 100  # objects decoded before other tasks get their turn
YOUNG = 1000  # events after which the youngest garbage is looked for
log = structlog.get_logger()


class Source(Protocol):
    """The part of `kube.client.Client` that a reflector needs."""

    async def list_page(
        self,
        resource: Resource[msgspec.Raw],
        namespace: str | None = None,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
        limit: int | None = 500,
        continue_: str | None = None,
        attempts: int = 1,
    ) -> Page[msgspec.Raw]: ...

    def watch_lines(
        self, resource: Resource[Any], namespace: str | None = None, *, params: Mapping[str, str]
    ) -> AbstractAsyncContextManager[AsyncIterator[list[bytes]]]: ...


class Reflector(Generic[T]):
    """Lists and watches `store.resource` into `store`, in one namespace or all, narrowed by selectors."""

    def __init__(
        self,
        client: Source,
        store: Store[T],
        *,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: Random | None = None,
        pace: Pace | None = None,
    ) -> None:
        self._client = client
        self._store = store
        self._writer = Writer(store)
        self._namespace = namespace
        self._selectors = {"label_selector": label_selector, "field_selector": field_selector}
        self._clock = clock
        self._sleep = sleep
        self._pace = pace or Pace()
        self._watch = Watch(self._pace, rng or Random())  # noqa: S311 - it spreads load, it hides nothing
        self._reader = Reader(store.resource)
        self._raw = store.resource.read_as(msgspec.Raw)
        self._staged: Staged[T] | None = None  # a list that is not complete yet
        self._version = 0  # of that list's first page: the whole list is as of then
        self._floor = 0  # the version that a stream began at: what is older belongs to another history
        self._since = 0  # the version to resume from: all of it is known
        self._told: set[Key | None] = set()
        self._untidied = 0  # events

    async def run(self) -> None:
        """Lives until cancelled; whatever the API server does, it goes on trying."""
        while True:
            step = self._watch.step
            if step.wait:
                await self._sleep(step.wait)
            if isinstance(step, ListPage):
                await self._list(step)
            else:
                await self._stream(step)

    async def _list(self, step: ListPage) -> None:
        if step.continue_ is None:
            self._staged, self._version = Staged(self._skip), 0
        try:
            page, version = await self._page(step.limit, step.continue_)
        except LongshoreError as error:
            self._failed(error)
            self._watch.list_failed(error)
            return
        self._writer.heard()
        self._version = self._version or version
        await self._stage(page.items)
        if self._watch.listed(page.continue_):
            self._swap_in(self._version)

    async def _page(self, limit: int | None, continue_: str | None) -> tuple[Page[msgspec.Raw], int]:
        """A page of a consistent list, and the list's version. Raises when this page can lead nowhere."""
        page = await self._client.list_page(
            self._raw, self._namespace, **self._selectors, limit=limit, continue_=continue_, attempts=1
        )
        if page.continue_ and page.continue_ == continue_:
            raise Gone("a list continues with the page it just sent")
        try:
            return page, int(page.resource_version)
        except ValueError:
            raise away("a list came without an integer resourceVersion") from None

    async def _stage(self, items: list[msgspec.Raw]) -> None:
        assert self._staged is not None
        for number, raw in enumerate(items, 1):
            self._staged.take(self._reader.item(raw))
            if number % SLICE == 0:
                await asyncio.sleep(0)

    def _swap_in(self, version: int) -> None:
        assert self._staged is not None
        self._staged.swap_in(self._writer, version)
        self._staged = None
        self._since = version
        self._store.stats.relists += 1

    async def _stream(self, step: Stream) -> None:
        began = self._clock()
        error: LongshoreError | None = None
        self._staged = Staged(self._skip) if step.initial else None
        try:
            async with self._client.watch_lines(self._raw, self._namespace, params=self._params(step)) as batches:
                self._watch.opened()
                self._store.stats.streams += 1
                self._writer.heard()
                if not step.initial:
                    await self._confirm()
                    self._writer.trouble(None)
                await self._follow(batches, step)
            lived = self._clock() - began
            if lived < self._pace.short:
                error = away(f"watch of {self._raw.plural}: it was closed after {lived:.1f} s")
        except LongshoreError as caught:
            error = caught
        if error is not None:
            self._failed(error)
        self._watch.ended(self._clock() - began, error)

    async def _confirm(self) -> None:
        """Raise Gone when the server's history is behind our version, as after a restored backup.

        A watch cannot tell: an API server takes one that begins in its future, says nothing until its versions get
        there, and never sends what happened below. So one object is listed for every stream that is resumed, once it
        is open: before that a backup could be put back in between.
        Source: k8s.io/apiserver, cacher.go, `waitUntilWatchCacheFreshAndForceAllEvents`.
        """
        try:
            _, version = await self._page(1, None)
        except Forbidden:
            return  # who may only watch cannot look
        if version < self._store.version:
            raise Gone(f"watch of {self._raw.plural}: the server is behind us, its history was replaced")

    async def _follow(self, batches: AsyncIterator[list[bytes]], step: Stream) -> None:
        loop = asyncio.get_running_loop()
        complete_by, count = loop.time() + step.initial, 0
        self._floor = self._since
        try:
            async with asyncio.timeout_at(self._dead_at(loop.time() + step.silence, complete_by)) as dead:
                async for batch in batches:
                    self._writer.heard()
                    for line in batch:
                        self._take(self._reader.event(line))
                    if batch:
                        self._watch.bore()
                    self._tidy(len(batch))
                    if self._staged is not None and self._staged.count > count:
                        complete_by, count = loop.time() + step.initial, self._staged.count
                    dead.reschedule(self._dead_at(loop.time() + step.silence, complete_by))
        except TimeoutError:
            what = f"watch of {self._raw.plural}"
            if self._staged is not None and loop.time() >= complete_by:
                raise NeverComplete(f"{what}: no end of the list in {step.initial:.0f} s") from None
            raise away(f"{what}: silent for {step.silence:.0f} s") from None

    def _tidy(self, events: int) -> None:
        """Have Python look at what was decoded while it is few. It counts what is made less what is freed, which is
        nothing where new objects replace old ones, and would let hundreds of thousands pile up for one long pause.
        """
        self._untidied += events
        if self._untidied >= YOUNG and gc.isenabled():
            self._untidied = 0
            gc.collect(0)

    def _dead_at(self, silent: float, complete_by: float) -> float:
        return silent if self._staged is None else min(silent, complete_by)

    def _take(self, event: Event[T]) -> None:
        if self._staged is not None:
            self._gather(event, self._staged)
            return
        if event.version is not None and event.version < self._floor:
            raise Gone(f"watch of {self._raw.plural}: its history is another one than ours")
        self._store.stats.events += 1
        if isinstance(event, Applied):  # nearly all are, and this is quicker than the match
            self._writer.put(event.obj, event.size)
            self._since = self._store.version - 1  # more may have happened at this very version
            return
        match event:
            case Deleted(key, version):
                self._writer.delete(key, version)
                self._since = self._store.version - 1
            case Bookmark(version):
                self._writer.advance(version)
                self._since = self._store.version
            case Undecodable(_, _, version):
                self._skip(event)
                self._writer.advance(version or 0)
                self._since = self._store.version - 1

    def _gather(self, event: Event[T], staged: Staged[T]) -> None:
        """An event of a streamed list, or the bookmark at its end."""
        if isinstance(event, Bookmark) and event.initial:
            self._swap_in(event.version)
            self._watch.completed()
            self._floor = event.version
        else:
            staged.take(event)

    def _params(self, step: Stream) -> dict[str, str]:
        """Source: Kubernetes API concepts, "Streaming lists"; a list without a version is as of now."""
        since = {"resourceVersion": str(self._since)}
        whole = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
        params = {
            **(whole if step.initial else since),
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(step.timeout),
            "labelSelector": self._selectors["label_selector"],
            "fieldSelector": self._selectors["field_selector"],
        }
        return {name: value for name, value in params.items() if value}

    def _failed(self, error: LongshoreError) -> None:
        self._store.stats.failures += 1
        self._store.stats.gone += isinstance(error, Gone)
        self._writer.trouble(error.message)
        log.warning("cache is behind", resource=self._raw.plural, why=error.message)

    def _skip(self, unread: Undecodable) -> None:
        """Counted each time, told once for each object."""
        self._store.stats.undecodable += 1
        if unread.key not in self._told and len(self._told) < SLICE:
            self._told.add(unread.key)
            log.warning("object skipped", resource=self._raw.plural, object=unread.key, why=unread.why)
