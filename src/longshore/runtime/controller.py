"""Keeps the world as `plan` says it should be, one key at a time; kinds build controllers, the leader runs them.

Level-triggered: a change in a store only says which key to look at again. `plan` is pure and sees what is there now;
one executor acts on what it returns; whatever goes wrong ends in planning again later. Time is monotonic throughout:
a wall clock that jumps is seen by `plan` alone, as its `now`.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Hashable, Iterable
from datetime import UTC, datetime
from typing import Generic, TypeVar

import structlog

from longshore.errors import Conflict, LongshoreError, Retry, Terminal, TooManyRequests, Unavailable
from longshore.kube.objects import Object
from longshore.kube.store import Store
from longshore.runtime import metrics
from longshore.runtime.clock import Clock, sleep
from longshore.runtime.executor import Executor
from longshore.runtime.expectations import Expectations
from longshore.runtime.feed import Feed
from longshore.runtime.outcome import is_cancelled, must_end, result_of
from longshore.runtime.plan import Action, Plan, describe
from longshore.runtime.planner import Planner
from longshore.runtime.queue import Queue
from longshore.runtime.stuck import Stuck
from longshore.runtime.term import Term

K = TypeVar("K", bound=Hashable)
T = TypeVar("T", bound=Object)
CATCH_UP_WAIT_SECONDS = 2.0  # how long a worker waits for the cache to show what the key has written
CATCH_UP_PAUSE_SECONDS = 1.0  # and when to ask again after that
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
        plan: Callable[[K, datetime], Plan],
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
        self.workers = workers
        self._executor = executor
        self._clock: Clock = clock if clock is not None else asyncio.get_running_loop()
        self._planner: Planner[K] = Planner(name, plan, self._clock, now)
        self._term: Term | None = None
        self._feeds: list[Feed[K]] = []
        self._expectations: Expectations[K] = Expectations(self._clock, patience)
        self._stuck: Stuck[K] = Stuck(name, queue, self._clock, stuck_after)
        self._log = log.bind(controller=name)

    def watch(
        self, store: Store[T], key_of: Callable[[T], Iterable[K]], *, alike: Callable[[T, T], bool] | None = None
    ) -> None:
        """Every change of an object in `store` has the keys looked at that `key_of` gives for it, old and new.

        Name every store that `plan` reads, with a `key_of` that gives nothing where its changes do not matter: plans
        wait for all of them to be synced, and to have seen what this controller wrote. `alike` is for objects of which
        others write what no plan reads: whether the old and the new one are the same to it.
        """
        self._feeds.append(Feed(self.name, store, key_of, self.queue, alike))
        self._expectations.reads(store)

    def stuck(self) -> int:
        """How many keys are worked on for too long now."""
        return len(self._stuck.keys())

    async def run(self, term: Term | None = None) -> None:
        """Lives until cancelled, or until `term` is over, which it asks before each action; then it raises TermOver.

        Without a term nothing is asked: for a process that is alone by other means. First every store must be synced:
        a plan from half of the world would be wrong. What is under way when it ends is cut off at once, and planned
        again from what is there by whoever runs next.
        """
        self._term = term
        for feed in self._feeds:
            await feed.synced()
        try:
            with metrics.RUNNING.shown(self), self._planner.watched():
                async with asyncio.TaskGroup() as tasks:
                    for feed in self._feeds:
                        tasks.create_task(feed.run(self._look_at_everything))
                    for _ in range(self.workers):
                        tasks.create_task(self._work())
                    tasks.create_task(self._resync())
                    tasks.create_task(self._stuck.run())
        finally:
            self.queue.clear()

    async def _resync(self) -> None:
        """Looks at everything now and then, from the caches: it mends what a fault elsewhere let slip."""
        while True:
            await sleep(self._clock, RESYNC_SECONDS)
            self._look_at_everything()
            self._expectations.sweep()

    def _look_at_everything(self) -> None:
        for feed in self._feeds:
            feed.add_everything()

    async def _work(self) -> None:
        waits = metrics.QUEUE_WAIT_SECONDS.labels(self.name)
        while True:
            key, waited = await self.queue.get()
            waits.observe(waited)
            started = self._clock.time()
            try:
                result = await self._turn(key)
            finally:
                self._stuck.done(key)
                self.queue.done(key)
            metrics.RECONCILE_SECONDS.labels(self.name, result).observe(self._clock.time() - started)
            if is_cancelled():
                raise asyncio.CancelledError
            await asyncio.sleep(0)  # a long run of plans that do nothing would otherwise hold the event loop

    async def _turn(self, key: K) -> str:
        """Plans for the key and acts, once; sees to it that the key comes again where it must; what became of it.

        One key's trouble is never another's: only the end of the term and our own cancellation leave here.
        """
        try:
            return await self._reconcile(key)
        except BaseException as error:
            if must_end(error):
                raise
            return self._failed(key, error)

    async def _reconcile(self, key: K) -> str:
        self._stuck.does(key, "waiting for the cache to show its last writes")
        if not await self._expectations.met(key, CATCH_UP_WAIT_SECONDS):
            self.queue.add_after(key, CATCH_UP_PAUSE_SECONDS)
            return "behind"
        self._stuck.does(key, "planning")
        plan = self._planner.decide(key)
        for action in plan.actions:
            self._stuck.does(key, describe(action))
            await self._act(key, action)
        if plan.requeue_after is not None:
            self.queue.add_after(key, plan.requeue_after)
        self.queue.forget(key)
        return "done"

    async def _act(self, key: K, action: Action) -> None:
        began, result = self._clock.time(), "done"
        try:
            if self._term is not None:
                self._term.check()
            written = await self._executor.execute(action)
            if written is not None:
                self._expectations.expect(key, written)
        except BaseException as error:
            result = result_of(error)
            raise
        finally:
            seconds = self._clock.time() - began
            metrics.ACTION_SECONDS.labels(self.name, type(action).__name__, result).observe(seconds)

    def _failed(self, key: K, error: BaseException) -> str:
        """When the key comes again, after this error; the result that metrics show."""
        told = self._log.bind(key=key, doing=self._stuck.doing(key))
        match error:
            case Retry() if error.after >= 0:
                self.queue.forget(key)
                self.queue.add_after(key, error.after)
            case Terminal():
                self.queue.forget(key)
                told.error("reconcile cannot succeed until the object changes", error=error.message)
            case Conflict():
                told.info("planned on what has changed", again_in=self.queue.retry(key), error=error.message)
            case Unavailable() | TooManyRequests():
                again_in = self.queue.retry(key, error.retry_after)
                told.warning("reconcile must wait", again_in=again_in, error=error.message)
            case LongshoreError():
                told.error("reconcile failed", again_in=self.queue.retry(key), error=error.message, hint=error.hint)
            case _:
                told.error("reconcile failed", again_in=self.queue.retry(key), traceback=plain(error))
        return result_of(error)


def plain(error: BaseException) -> str:
    """The traceback as Python prints it. Loggers with a taste for colour print the values of variables too, and a plan
    may hold a Secret.
    """
    return "".join(traceback.format_exception(error))
