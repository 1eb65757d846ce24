"""Ends tasks that promised heartbeats and fell silent: their pod, which the Job controller replaces, at last the Job.

Run by the leader. `silence` decides; beats come over the bus from whichever `serve` was told. How many tries are left
is in the Job itself, so that nothing is counted twice after a restart.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import structlog

from longshore.errors import Conflict, LongshoreError, NotFound
from longshore.kinds.jobs import model as jobs
from longshore.kinds.jobs.find import heartbeat_topic
from longshore.kinds.jobs.stop import stop_patch
from longshore.kinds.kind import Services
from longshore.kinds.tasks import silence
from longshore.kinds.tasks.model import HEARTBEAT, KIND
from longshore.kinds.tasks.silence import Promise
from longshore.kube.objects import JOBS, PODS, Job, Patch, Pod
from longshore.runtime.term import Term

log = structlog.get_logger(__name__)


class Monitor:
    """Looks every `task_heartbeat_check_seconds` at all running tasks that promised heartbeats."""

    def __init__(self, parts: Services, clock: Callable[[], float] = time.monotonic) -> None:
        self._parts = parts
        self._clock = clock
        self._since: dict[str, float] = {}  # by uid of the pod: when it was first seen running
        self._beats: dict[str, float] = {}  # by id of the task
        self._heard_from: float | None = None

    async def run(self, term: Term) -> None:
        """Until cancelled, or the term is over."""
        try:
            settings = self._parts.settings
            meant, limit = settings.task_heartbeat_check_seconds, settings.task_heartbeat_limit_seconds
            while True:
                await self.look(term)
                asleep = self._clock()
                await asyncio.sleep(meant)
                if silence.overslept(self._clock() - asleep, meant=meant, limit=limit):
                    self._heard_from = None
        finally:
            for id in tuple(self._beats):
                self._leave(id)

    def offer(self, topic: str, _value: Any) -> None:
        """Called by the bus: a task is alive."""
        self._beats[topic.partition("/")[2]] = self._clock()

    async def look(self, term: Term) -> None:
        """One look at all of them, and what follows from it."""
        now = self._clock()
        running = {job.metadata.name: (job, pod) for job, pod in self._promised()}
        self._follow(running, now)
        promises = [
            Promise(id, self._since[pod.metadata.uid], self._beats.get(id), _retries_left(job))
            for id, (job, pod) in running.items()
        ]
        limit = self._parts.settings.task_heartbeat_limit_seconds
        for verdict in silence.verdicts(promises, now, hears_since=self._hears_since(now), limit=limit):
            term.check()
            job, pod = running[verdict.id]
            log.warning("task is silent", task=verdict.id, seconds=round(verdict.silent), again=verdict.again)
            try:
                await (self._replace(pod) if verdict.again else self._end(job, verdict.silent))
            except (NotFound, Conflict):
                continue  # it has ended by itself
            except LongshoreError as error:
                log.warning("a silent task could not be ended yet", task=verdict.id, why=error.message)

    def _promised(self) -> list[tuple[Job, Pod]]:
        """Running tasks that promised heartbeats, each with the pod that runs."""
        found = []
        for job in self._parts.stores.jobs.list():
            if jobs.kind_of(job) != KIND or job.spec.suspend or jobs.is_over(job) or jobs.stop_requested(job):
                continue
            if not jobs.tenant_of(job) or HEARTBEAT not in jobs.request_of(job).extra:
                continue
            for pod in self._parts.stores.pods.by("job", job.metadata.uid):
                if pod.status.phase == "Running" and pod.metadata.deletion_timestamp is None:
                    found.append((job, pod))
        return found

    def _follow(self, running: dict[str, tuple[Job, Pod]], now: float) -> None:
        """Hear the beats of these and of no others."""
        bus = self._parts.bus
        uids = {pod.metadata.uid for _, pod in running.values()}
        self._since = {uid: self._since.get(uid, now) for uid in uids}
        for id in tuple(self._beats):
            if id not in running:
                self._leave(id)
        for id in running.keys() - self._beats.keys():
            self._beats[id] = now
            bus.join(heartbeat_topic(id), self)

    def _leave(self, id: str) -> None:
        del self._beats[id]
        self._parts.bus.leave(heartbeat_topic(id), self)

    def _hears_since(self, now: float) -> float | None:
        """From when on a beat would have been heard: not while no `serve` lives that could take one, nor while the
        link to them is down or this process did not run, and a whole limit after either is back."""
        linked = self._parts.bus.hears_since
        if linked is None or not self._parts.replicas.live("serve"):
            self._heard_from = None
        elif self._heard_from is None:
            self._heard_from = now
        return self._heard_from

    async def _replace(self, pod: Pod) -> None:
        meta = pod.metadata
        await self._parts.client.delete(PODS, meta.name, meta.namespace, uid=meta.uid)

    async def _end(self, job: Job, silent: float) -> None:
        message = f"It promised heartbeats and was silent for {silent:.0f} s, at its last try."
        patch = stop_patch(job, self._parts.now(), message, jobs.REASON_SILENT)
        await self._parts.client.patch(
            JOBS, job.metadata.name, patch, job.metadata.namespace, type=Patch.STRATEGIC, subresource="status"
        )


def _retries_left(job: Job) -> int:
    return jobs.request_of(job).retries - job.status.failed
