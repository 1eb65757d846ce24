"""Keeps calling a kind's pure `plan()` for whatever changed and has the executor act; made by kinds' `control`.

Level-triggered: a key says only where to look. What a plan wrote must have arrived in the caches before the same key is
planned again, so that no plan acts twice on the same old picture.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterable
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import structlog
from prometheus_client import Counter, Gauge, Histogram

from longshore.errors import Conflict, Retry, Terminal, TooManyRequests, Unavailable
from longshore.kube.objects import Object
from longshore.kube.store import Overflowed, Store
from longshore.runtime.executor import Executor, Written
from longshore.runtime.plan import Plan
from longshore.runtime.queue import Queue

K = TypeVar("K", bound=Hashable)
T = TypeVar("T", bound=Object)

RESYNC_SECONDS = 600.0
CAUGHT_UP_SECONDS = 5.0
STUCK_SECONDS = 120.0
STUCK_LOOK_SECONDS = 15.0

log = structlog.get_logger(__name__)

RECONCILES = Counter(
    "longshore_reconciles_total", "Plans made and carried out, by how it went", ["controller", "result"]
)
DURATION = Histogram("longshore_reconcile_seconds", "Time to plan and carry out", ["controller"])
WAIT = Histogram("longshore_queue_wait_seconds", "Time that a key waited for a worker", ["controller"])
DEPTH = Gauge("longshore_queue_depth", "Keys that wait for a worker", ["controller"])
STUCK = Gauge("longshore_reconciles_stuck", "Reconciles that have run for longer than two minutes", ["controller"])


def utc_now() -> datetime:
    return datetime.now(UTC)


class Controller(Generic[K]):
    """`reconcile(key, now)` returns a Plan and must not block; `workers` bounds how many are carried out at once."""

    def __init__(
        self,
        name: str,
        queue: Queue[K],
        reconcile: Callable[[K, datetime], Plan],
        executor: Executor,
        *,
        workers: int = 4,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.name = name
        self._queue = queue
        self._reconcile = reconcile
        self._executor = executor
        self._workers = workers
        self._now = now
        self._feeds: list[tuple[Store[Any], Callable[[Any], Iterable[K]]]] = []
        DEPTH.labels(name).set_function(lambda: len(queue))

    def watch(self, store: Store[T], key_of: Callable[[T], Iterable[K]]) -> None:
        """Plan these keys whenever an object of this store changes; both of its old and its new form."""
        self._feeds.append((store, key_of))

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for store, key_of in self._feeds:
                tasks.create_task(self._feed(store, key_of))
            for _ in range(self._workers):
                tasks.create_task(self._work())
            tasks.create_task(self._resync())
            tasks.create_task(self._look_for_stuck())

    async def _feed(self, store: Store[T], key_of: Callable[[T], Iterable[K]]) -> None:
        while True:
            async with store.subscribe() as changes:
                self._add(changes.snapshot, key_of)
                try:
                    while True:
                        for delta in await changes.next():
                            self._add([obj for obj in (delta.old, delta.new) if obj is not None], key_of)
                except Overflowed:
                    log.warning("feed overflowed, starting over", controller=self.name, resource=store.resource.plural)

    def _add(self, objects: Iterable[T], key_of: Callable[[T], Iterable[K]]) -> None:
        for obj in objects:
            for key in key_of(obj):
                self._queue.add(key)

    async def _resync(self) -> None:
        """Look at everything now and then, from the caches: it mends what a fault elsewhere let slip."""
        while True:
            await asyncio.sleep(RESYNC_SECONDS)
            for store, key_of in self._feeds:
                self._add(store.list(), key_of)

    async def _work(self) -> None:
        while True:
            key, waited = await self._queue.get()
            WAIT.labels(self.name).observe(waited)
            try:
                with DURATION.labels(self.name).time():
                    result = await self._once(key)
                RECONCILES.labels(self.name, result).inc()
            finally:
                self._queue.done(key)

    async def _once(self, key: K) -> str:
        """Plan and act on one key; how it went."""
        try:
            plan = self._reconcile(key, self._now())
            await self._carry_out(plan)
        except Conflict as conflict:
            log.debug("conflict, planning again", controller=self.name, key=key, why=conflict.message)
            self._queue.retry(key)
            return "conflict"
        except Retry as later:
            log.debug("asked to come back", controller=self.name, key=key, why=later.message, after=later.after)
            self._queue.add_after(key, later.after)
            return "later"
        except Terminal as hopeless:
            log.error("cannot go on until it changes", controller=self.name, key=key, why=hopeless.message)
            self._queue.forget(key)
            return "terminal"
        except (Unavailable, TooManyRequests) as away:
            delay = self._queue.retry(key, away.retry_after)
            log.warning("away", controller=self.name, key=key, why=away.message, retry_in=round(delay, 2))
            return "away"
        except Exception:
            delay = self._queue.retry(key)
            log.exception("reconcile failed", controller=self.name, key=key, retry_in=round(delay, 2))
            return "error"
        self._queue.forget(key)
        if plan.requeue_after is not None:
            self._queue.add_after(key, plan.requeue_after)
        return "done"

    async def _carry_out(self, plan: Plan) -> None:
        """All actions in order; what was written before a fault is waited for too."""
        written: list[Written] = []
        try:
            for action in plan.actions:
                if (wrote := await self._executor.execute(action)) is not None:
                    written.append(wrote)
        finally:
            await self._caught_up(written)

    async def _caught_up(self, written: Iterable[Written]) -> None:
        newest: dict[tuple[str, str], int] = {}
        for w in written:
            newest[w.group, w.plural] = max(w.version, newest.get((w.group, w.plural), 0))
        for store, _ in self._feeds:
            version = newest.get((store.resource.group, store.resource.plural))
            if version is not None:
                await store.wait_for(version, CAUGHT_UP_SECONDS)

    async def _look_for_stuck(self) -> None:
        while True:
            await asyncio.sleep(STUCK_LOOK_SECONDS)
            stuck = [(key, seconds) for key, seconds in self._queue.working() if seconds > STUCK_SECONDS]
            STUCK.labels(self.name).set(len(stuck))
            for key, seconds in stuck:
                log.warning("reconcile is stuck", controller=self.name, key=key, seconds=round(seconds))
