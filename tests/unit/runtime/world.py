"""One controller of Jobs: real queue and stores, a clock that a test moves, and effects instead of an API server."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Any

from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.kube.objects import JOBS, PODS, Job, ObjectMeta, OwnerReference, Pod
from longshore.kube.store import Store, Writer
from longshore.runtime.controller import Controller
from longshore.runtime.executor import Executor, Written
from longshore.runtime.plan import Action, Effect, Plan
from longshore.runtime.queue import Queue
from longshore.runtime.term import Term

from .clock import FakeClock, until

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Touch(Effect, frozen=True):
    """Something to be done about a key."""

    key: str
    step: int = 0


class Script(Executor):
    """Notes what it is asked to do; `on` may wait, fail, or answer with what was written."""

    def __init__(self) -> None:
        super().__init__(Client(Config("http://nowhere.invalid")))
        self.done: list[Action] = []
        self.on: Callable[[Action], Written | None] = lambda _: None
        self.gates: dict[str, asyncio.Event] = {}

    async def execute(self, action: Action) -> Written | None:
        assert isinstance(action, Touch)
        if action.key in self.gates:
            await self.gates[action.key].wait()
        self.done.append(action)
        return self.on(action)

    def times(self, key: str) -> int:
        return sum(isinstance(action, Touch) and action.key == key for action in self.done)


class World:
    """One controller of Jobs, which also looks at their pods."""

    def __init__(
        self,
        clock: FakeClock,
        plan: Callable[[str, datetime], Plan],
        workers: int = 2,
        *,
        executor: Executor | None = None,
        now: Callable[[], datetime] = lambda: NOW,
    ) -> None:
        self.clock = clock
        self.jobs, self.pods = Writer(Store(JOBS)), Writer(Store(PODS))
        self.executor = Script()
        self.queue: Queue[str] = Queue(clock=clock, rng=random.Random(1))
        self.controller = Controller(
            "test", self.queue, plan, executor or self.executor, workers, stuck_after=60.0, clock=clock, now=now
        )
        self.key_of: Callable[[Job], Any] = lambda job: [job.metadata.name]
        self.controller.watch(self.jobs.store, lambda job: self.key_of(job))
        self.controller.watch(self.pods.store, lambda pod: [owner.name for owner in pod.metadata.owner_references])

    @asynccontextmanager
    async def running(self, *jobs: Job, term: Term | None = None) -> AsyncIterator[Script]:
        self.jobs.replace(jobs, 10)
        self.pods.replace([], 10)
        task = asyncio.ensure_future(self.controller.run(term))
        try:
            yield self.executor
        finally:
            task.cancel()
            assert isinstance((await asyncio.gather(task, return_exceptions=True))[0], asyncio.CancelledError)

    async def settled(self) -> None:
        """Nothing is ready or worked on, and the workers have come to rest."""
        await until(lambda: not len(self.queue) and not self.queue.working())
        for _ in range(5):
            await asyncio.sleep(0)
        await until(lambda: not len(self.queue) and not self.queue.working())


def touch(key: str, _: datetime) -> Plan:
    return Plan((Touch(key),))


def a_job(name: str, version: int = 1) -> Job:
    return Job(metadata=ObjectMeta(name=name, namespace="ns", uid=name, resource_version=str(version)))


def a_pod(name: str, job: str, version: int) -> Pod:
    owner = OwnerReference("Job", job, job, controller=True)
    return Pod(
        metadata=ObjectMeta(
            name=name, namespace="ns", uid=name, resource_version=str(version), owner_references=(owner,)
        )
    )


@contextmanager
def told(event: str) -> Iterator[list[Any]]:
    """Fills with the log entries of this event."""
    found: list[Any] = []
    with capture_logs() as logs:
        yield found
    found += [entry for entry in logs if entry["event"] == event]


def value(metric: str, **labels: str) -> float:
    """What Prometheus would see of the test's controller; 0 where there is nothing."""
    return REGISTRY.get_sample_value(metric, {"controller": "test", **labels}) or 0.0
