"""Tells many listeners of the status of single Jobs, from one subscription to each store; `sockets` is who listens.

A listener is told of the newest status, never of a backlog, and never waits for another. Nothing here asks the API
server: the stores' own watches are all there is, however many listen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

from longshore.kinds.jobs.model import LABEL_JOB_NAME, is_hidden, tenant_of
from longshore.kinds.kind import Stores
from longshore.kinds.tasks import view
from longshore.kinds.tasks.view import TaskStatus
from longshore.kube.objects import Job, Object, Pod
from longshore.kube.store import Delta, Overflowed, Store

T = TypeVar("T", bound=Object)
LOOK_SECONDS = 0.5
# a watch that is taken up again at once is no news
PATIENCE_SECONDS = 2.0


class Listener(Protocol):
    def status(self, status: TaskStatus | None, /) -> None:
        """The newest status; None when there is no such Job (any more)."""

    def trouble(self, why: str | None) -> None:
        """Why statuses may be old for now; None when they are fresh again."""


def key_of(namespace: str, name: str) -> str:
    return f"{namespace}/{name}"


def status_in(stores: Stores, namespace: str, name: str) -> TaskStatus | None:
    """The present status of a Job, whoever made it; None where there is none, or nobody is to be shown it any more."""
    job = stores.jobs.get(name, namespace)
    return None if job is None or is_hidden(job) else view.of_job(job, pods_of(stores, job))


def pods_of(stores: Stores, job: Job) -> list[Pod]:
    """By the uid of their controller, and in its own namespace: anyone may write any uid into a pod of his own."""
    if tenant_of(job):
        return stores.pods.by("job", job.metadata.uid)
    return [p for p in stores.pods.by("foreign", job.metadata.uid) if p.metadata.namespace == job.metadata.namespace]


class Watching:
    """One per `serve`; `run` lives as long as the process."""

    def __init__(self, stores: Stores, clock: Callable[[], float]) -> None:
        self._stores = stores
        self._clock = clock
        self._listeners: dict[str, set[Listener]] = {}
        self._troubled_since: float | None = None
        self.why: str | None = None  # what the stores are behind for

    def add(self, key: str, listener: Listener) -> None:
        """From now on it is told of changes; what is there now it asks of `status_in`."""
        self._listeners.setdefault(key, set()).add(listener)

    def remove(self, key: str, listener: Listener) -> None:
        listeners = self._listeners.get(key)
        if listeners is not None:
            listeners.discard(listener)
            if not listeners:
                del self._listeners[key]

    def __len__(self) -> int:
        return sum(len(listeners) for listeners in self._listeners.values())

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow(self._stores.jobs, _key_of_job))
            tasks.create_task(self._follow(self._stores.pods, _key_of_pod))
            tasks.create_task(self._heed())

    async def _follow(self, store: Store[T], key: Callable[[T], str]) -> None:
        while True:
            async with store.subscribe() as changes:
                self._tell(list(self._listeners))
                try:
                    while True:
                        self._tell(_keys(await changes.next(), key))
                except Overflowed:
                    continue  # the next subscription begins with everything as it is

    def _tell(self, keys: Iterable[str]) -> None:
        for key in keys:
            if listeners := self._listeners.get(key):
                namespace, _, name = key.partition("/")
                status = status_in(self._stores, namespace, name)
                for listener in tuple(listeners):
                    listener.status(status)

    async def _heed(self) -> None:
        while True:
            self.look()
            await asyncio.sleep(LOOK_SECONDS)

    def look(self) -> None:
        """Tell everybody when the stores have fallen behind, and when they have caught up."""
        why = self._trouble()
        if why == self.why or (why and self.why):
            return
        self.why = why
        for listener in [listener for listeners in self._listeners.values() for listener in listeners]:
            listener.trouble(why)

    def _trouble(self) -> str | None:
        stores: tuple[Store[Any], ...] = (self._stores.jobs, self._stores.pods)
        why = next((store.trouble for store in stores if store.trouble), None)
        if why is None:
            self._troubled_since = None
            return None
        now = self._clock()
        self._troubled_since = now if self._troubled_since is None else self._troubled_since
        return why if now - self._troubled_since >= PATIENCE_SECONDS else None


def _keys(deltas: Iterable[Delta[T]], key: Callable[[T], str]) -> set[str]:
    return {key(obj) for delta in deltas if (obj := delta.new or delta.old) is not None}


def _key_of_job(job: Job) -> str:
    return key_of(job.metadata.namespace, job.metadata.name)


def _key_of_pod(pod: Pod) -> str:
    return key_of(pod.metadata.namespace, pod.metadata.labels.get(LABEL_JOB_NAME, ""))
