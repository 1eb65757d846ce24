"""The controller that ends, archives and releases every kind of work that runs as a Job; run by the leader."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from longshore.kinds.jobs import model, reconcile
from longshore.kinds.jobs.archiver import Archiver
from longshore.kinds.jobs.housekeeping import Housekeeping
from longshore.kinds.jobs.logs.collector import Collector
from longshore.kinds.jobs.reconcile import ArchiveJob, HideEntry, PurgeJob
from longshore.kinds.kind import Lives, Runs, Services
from longshore.kube.objects import Event, Job, Object, Pod
from longshore.runtime.controller import Controller
from longshore.runtime.executor import Executor
from longshore.runtime.plan import Plan
from longshore.runtime.queue import Queue

Key = tuple[str, str]
# most of the time of an archiving is waiting for the object store; each holds at most a few MiB of log at a time
WORKERS = 32


def controllers(parts: Services) -> Sequence[Runs]:
    stores, jobs = parts.stores, _Jobs(parts)
    executor = Executor(parts.client, {ArchiveJob: Archiver(parts), HideEntry: jobs.hide, PurgeJob: jobs.purge})
    controller = Controller("jobs", Queue[Key](), jobs.plan, executor, WORKERS)
    controller.watch(stores.jobs, _own_key)
    controller.watch(stores.pods, _job_of)
    for told in (stores.events, stores.scale_ups, stores.nominations):
        controller.watch(told, jobs.told_of)
    # `watch` waits for them: a new leader ends nothing for want of room before it knows the nodes. Their changes wake
    # no job, which is looked at again when its time is up
    controller.watch(stores.nodes, _nothing)
    controller.watch(stores.claims, _nothing)
    return (controller, Housekeeping(parts))


class _Jobs:
    """`reconcile.plan` over the stores, and the effects that are one call to the archive."""

    def __init__(self, parts: Services) -> None:
        self._parts = parts

    def plan(self, key: Key, now: datetime) -> Plan:
        parts, (namespace, name) = self._parts, key
        job = parts.stores.jobs.get(name, namespace)
        if job is None or not model.tenant_of(job):
            return Plan()
        pods = parts.stores.pods.by("job", job.metadata.uid)
        why = parts.facts.note(job, pods, now)
        until = why.until if why else None
        return reconcile.plan(
            job, pods, now, ttl_seconds=parts.settings.ttl_seconds, until=until, lost=parts.facts.lost(job)
        )

    def told_of(self, event: Event) -> list[Key]:
        """What is told of a job or its pod may be what it waits for."""
        about = event.involved_object
        if about.kind == "Pod":
            pod = self._parts.stores.pods.get(about.name, about.namespace)
            return _job_of(pod) if pod else []
        return [(about.namespace, about.name)] if about.kind == "Job" else []

    async def hide(self, effect: HideEntry) -> None:
        await self._parts.archive.index.hide(model.tenant_of(effect.job), effect.job.metadata.uid)

    async def purge(self, effect: PurgeJob) -> None:
        await self._parts.archive.removal.purge(model.tenant_of(effect.job), effect.job.metadata.name)


def everywhere(parts: Services) -> Sequence[Lives]:
    """What each replica of `control` does, whether it leads or not."""
    return (Collector(parts),)


def _own_key(job: Job) -> list[Key]:
    return [(job.metadata.namespace, job.metadata.name)]


def _job_of(pod: Pod) -> list[Key]:
    name = pod.metadata.labels.get(model.LABEL_JOB_NAME)
    return [(pod.metadata.namespace, name)] if name else []


def _nothing(_: Object) -> list[Key]:
    return []
