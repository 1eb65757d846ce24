"""Follows the log of every running container of every job into the archive, so that a log never goes with its pod.

The Job controller deletes the pods of a job that is stopped or too late; by then their log must be elsewhere. Run by
the leader; `archiver` asks it at the end what it has. A new leader follows again from the start what still is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

import structlog

from longshore.errors import LongshoreError, NotFound
from longshore.kinds.jobs import model
from longshore.kinds.jobs.livelog import has_log, status_of
from longshore.kinds.kind import Services
from longshore.kube.objects import Pod
from longshore.kube.store import Overflowed
from longshore.runtime.term import Term

log = structlog.get_logger(__name__)

AGAIN_SECONDS = 1.0
# how long the archive waits for logs that are still coming in when their job is over
SETTLE_SECONDS = 30.0


class Collector:
    """One task per container that has a log, for as long as its job is not archived."""

    def __init__(self, parts: Services) -> None:
        self._parts = parts
        self._following: dict[str, dict[str, asyncio.Task[bool]]] = {}

    async def run(self, _: Term) -> None:
        """Until cancelled. What it keeps may be written by two leaders: of the same log, the same."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                async with self._parts.stores.pods.subscribe() as changes:
                    self._look(tasks, changes.snapshot)
                    try:
                        while True:
                            self._look(tasks, [d.new for d in await changes.next() if d.new is not None])
                    except Overflowed:
                        continue

    async def settled(self, id: str) -> dict[str, bool]:
        """The streams of this job that were followed, and whether each came to its end; waits for those that have not,
        at most 30 s."""
        following = self._following.get(id, {})
        if following:
            await asyncio.wait(following.values(), timeout=SETTLE_SECONDS)
        return {stream: task.done() and not task.cancelled() and task.result() for stream, task in following.items()}

    def forget(self, id: str) -> None:
        """The job is archived."""
        for task in self._following.pop(id, {}).values():
            task.cancel()

    def _look(self, tasks: asyncio.TaskGroup, pods: Iterable[Pod]) -> None:
        for pod in pods:
            id = pod.metadata.labels.get(model.LABEL_JOB_NAME, "")
            job = self._parts.stores.jobs.get(id, pod.metadata.namespace)
            if job is None or not model.tenant_of(job) or model.owner_uid(pod) != job.metadata.uid:
                continue
            if model.is_released(job):
                continue
            following = self._following.setdefault(id, {})
            for status in (*pod.status.init_container_statuses, *pod.status.container_statuses):
                stream = model.stream_of(pod, status.name)
                if stream not in following and has_log(pod, status.name):
                    following[stream] = tasks.create_task(self._follow(pod, id, status.name, stream))

    async def _follow(self, pod: Pod, id: str, container: str, stream: str) -> bool:
        """Whether all of it was kept. What breaks is read again from the start, which writes the same again."""
        tenant = model.tenant_of(pod)
        while True:
            reading = _Reading(self._parts, pod, container)
            try:
                await self._parts.archive.logs.write(tenant, id, stream, reading.lines(), whole=reading.whole)
            except LongshoreError as away:
                log.warning("the archive did not take a log", job=id, stream=stream, why=away.message)
                await asyncio.sleep(AGAIN_SECONDS)
                continue
            if reading.gone:
                return False
            if reading.whole() and self._ended(pod, container):
                return True
            await asyncio.sleep(AGAIN_SECONDS)

    def _ended(self, pod: Pod, container: str) -> bool:
        """Whether the container has ended for good, as far as the store knows; a pod that is gone has."""
        now = self._parts.stores.pods.get(pod.metadata.name, pod.metadata.namespace)
        if now is None or now.metadata.uid != pod.metadata.uid:
            return True
        status = status_of(now, container)
        return status is None or status.state.terminated is not None


class _Reading:
    """One try at one container's log. It never raises: what came before a fault is worth keeping."""

    def __init__(self, parts: Services, pod: Pod, container: str) -> None:
        self._parts = parts
        self._pod = pod
        self._container = container
        self.gone = False
        self.broken = False

    def whole(self) -> bool:
        return not (self.gone or self.broken)

    async def lines(self) -> AsyncIterator[bytes]:
        meta = self._pod.metadata
        try:
            async for chunk in self._parts.client.logs(
                meta.name, meta.namespace, container=self._container, follow=True
            ):
                yield chunk
        except NotFound:
            self.gone = True
        except LongshoreError as error:
            self.broken = True
            log.debug("a log broke off", pod=meta.name, container=self._container, why=error.message)
