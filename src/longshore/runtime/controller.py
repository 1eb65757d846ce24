"""Keeps the world as `reconcile` says it should be, one key at a time; kinds build controllers, the leader runs them.

Level-triggered: a change in a store only says which key to look at again. `reconcile` is pure and sees what is there
now; one executor acts on what it returns; whatever goes wrong ends in planning again later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterable
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import structlog

from longshore.errors import Conflict, LongshoreError, Retry, Terminal, TooManyRequests, Unavailable
from longshore.kube.objects import Object
from longshore.kube.store import Overflowed, Store
from longshore.runtime import metrics
from longshore.runtime.clock import Clock, sleep
from longshore.runtime.executor import Executor
from longshore.runtime.expectations import Expectations
from longshore.runtime.plan import Action, Apply, Create, DeleteObject, PatchObject, Plan
from longshore.runtime.queue import Queue

K = TypeVar("K", bound=Hashable)
T = TypeVar("T", bound=Object)
SYNC_REPORT_SECONDS = 30.0
CATCH_UP_WAIT_SECONDS = 2.0  # how long a worker waits for the cache to show what the key has written
CATCH_UP_PAUSE_SECONDS = 1.0  # and when to ask again after that
# Deltas a feed may be behind by: a relist of a large cluster changes everything within one turn of the loop.
FEED_BOUND = 200_000
RESYNC_SECONDS = 600.0
log = structlog.get_logger()


class Controller(Generic[K]):
    """`name` is what metrics and logs call it. `workers` bounds how many keys are worked on at once.

    `stuck_after` is in seconds: a reconcile under way for longer is logged with what it is doing, and counted.
    """

    def __init__(
        self,
        name: str,
        queue: Queue[K],
        reconcile: Callable[[K, datetime], Plan],
        executor: Executor,
        workers: int = 4,
        *,
        stuck_after: float = 60.0,
        patience: float = 30.0,
        clock: Clock | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.name = name
        self.queue = queue
        self._reconcile = reconcile
        self._executor = executor
        self._workers = workers
        self._stuck_after = stuck_after
        self._clock: Clock = clock if clock is not None else asyncio.get_running_loop()
        self._now = now
        self._watched: list[tuple[Store[Any], Callable[[Any], Iterable[K]]]] = []
        self._expectations: Expectations[K] = Expectations(self._clock, patience)
        self._doing: dict[K, str] = {}
        self._log = log.bind(controller=name)

    def watch(self, store: Store[T], key_of: Callable[[T], Iterable[K]]) -> None:
        """Every change of an object in `store` has the keys looked at that `key_of` gives for it, old and new.

        Name every store that `reconcile` reads, with a `key_of` that gives nothing where its changes do not matter:
        plans wait for all of them to be synced, and to have seen what this controller wrote.
        """
        self._watched.append((store, key_of))
        self._expectations.reads(store)

    async def run(self) -> None:
        """Lives until cancelled. First every store must be synced: a plan from half of the world would be wrong."""
        for store, _ in self._watched:
            await self._wait_synced(store)
        metrics.QUEUE_DEPTH.labels(self.name).set_function(lambda: len(self.queue))
        async with asyncio.TaskGroup() as tasks:
            for store, key_of in self._watched:
                tasks.create_task(self._feed(store, key_of))
            for _ in range(self._workers):
                tasks.create_task(self._work())
            tasks.create_task(self._resync())
            tasks.create_task(self._look_for_stuck())

    async def _wait_synced(self, store: Store[Any]) -> None:
        while True:
            try:
                return await store.wait_synced(SYNC_REPORT_SECONDS)
            except Unavailable as error:
                self._log.warning("waiting for the cache", resource=store.resource.plural, error=error.message)

    async def _feed(self, store: Store[T], key_of: Callable[[T], Iterable[K]]) -> None:
        while True:
            async with store.subscribe(bound=FEED_BOUND) as subscription:
                self._add_all(subscription.snapshot, key_of)
                try:
                    while True:
                        for delta in await subscription.next():
                            self._add_all([obj for obj in (delta.old, delta.new) if obj is not None], key_of)
                except Overflowed:
                    # Deletions were missed too. Look at everything that is there, as a restarted controller would.
                    self._add_everything()

    async def _resync(self) -> None:
        """Looks at everything now and then, from the caches: it mends what a fault elsewhere let slip."""
        while True:
            await sleep(self._clock, RESYNC_SECONDS)
            self._add_everything()

    def _add_everything(self) -> None:
        for store, key_of in self._watched:
            self._add_all(store.list(), key_of)

    def _add_all(self, objects: Iterable[T], key_of: Callable[[T], Iterable[K]]) -> None:
        for obj in objects:
            for key in key_of(obj):
                self.queue.add(key)

    async def _work(self) -> None:
        waits = metrics.QUEUE_WAIT_SECONDS.labels(self.name)
        while True:
            key, waited = await self.queue.get()
            waits.observe(waited)
            started = self._clock.time()
            try:
                result = await self._turn(key)
            finally:
                self._doing.pop(key, None)
                self.queue.done(key)
            metrics.RECONCILE_SECONDS.labels(self.name, result).observe(self._clock.time() - started)
            await asyncio.sleep(0)  # a long run of plans that do nothing would otherwise hold the event loop

    async def _turn(self, key: K) -> str:
        """Plans for the key and acts, once; sees to it that the key comes again where it must; what became of it."""
        try:
            self._doing[key] = "waiting for the cache to show its last writes"
            if not await self._expectations.met(key, CATCH_UP_WAIT_SECONDS):
                self.queue.add_after(key, CATCH_UP_PAUSE_SECONDS)
                return "behind"
            plan = self._reconcile(key, self._now())
            await self._act(key, plan)
        except Exception as error:  # one key's trouble is never another's; `_failed` logs, counts and backs off
            return self._failed(key, error)
        self.queue.forget(key)
        if plan.requeue_after is not None:
            self.queue.add_after(key, plan.requeue_after)
        return "done"

    async def _act(self, key: K, plan: Plan) -> None:
        for action in plan.actions:
            self._doing[key] = describe(action)
            written = await self._executor.execute(action)
            if written is not None:
                self._expectations.expect(key, written)

    def _failed(self, key: K, error: Exception) -> str:
        """When the key comes again, after this error; the result that metrics show."""
        told = self._log.bind(key=key, doing=self._doing.get(key))
        match error:
            case Retry():
                self.queue.forget(key)
                self.queue.add_after(key, error.after)
                return "retry"
            case Terminal():
                self.queue.forget(key)
                told.error("reconcile cannot succeed until the object changes", error=error.message)
                return "terminal"
            case Conflict():
                told.info("planned on what has changed", again_in=self.queue.retry(key), error=error.message)
                return "conflict"
            case Unavailable() | TooManyRequests():
                again_in = self.queue.retry(key, error.retry_after)
                told.warning("reconcile must wait", again_in=again_in, error=error.message)
                return "unavailable"
            case LongshoreError():
                told.error("reconcile failed", again_in=self.queue.retry(key), error=error.message, hint=error.hint)
                return "error"
            case _:
                told.error("reconcile failed", again_in=self.queue.retry(key), exc_info=error)
                return "error"

    async def _look_for_stuck(self) -> None:
        """Names what takes too long: after `stuck_after`, and again each time that it has taken twice as long."""
        stuck = metrics.RECONCILES_STUCK.labels(self.name)
        due: dict[K, float] = {}  # of the keys that were told: at how many seconds to tell again
        while True:
            await sleep(self._clock, self._stuck_after / 4)
            late = {key: seconds for key, seconds in self.queue.working() if seconds >= self._stuck_after}
            stuck.set(len(late))
            due = {key: again for key, again in due.items() if key in late and late[key] >= again / 2}
            for key, seconds in late.items():
                if seconds >= due.get(key, 0.0):
                    due[key] = 2 * seconds
                    self._log.warning("reconcile is stuck", key=key, seconds=seconds, doing=self._doing.get(key))
            self._expectations.sweep()


def describe(action: Action) -> str:
    """The action in a few words, for logs."""
    what = type(action).__name__
    match action:
        case Apply() | Create():
            metadata = action.body.get("metadata", {})
            return f"{what} {action.resource.plural} {metadata.get('namespace', '')}/{metadata.get('name', '')}"
        case PatchObject() | DeleteObject():
            return f"{what} {action.resource.plural} {action.namespace or ''}/{action.name}"
    return what
