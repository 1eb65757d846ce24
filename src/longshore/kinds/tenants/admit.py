"""Who may start: admits a tenant's suspended Jobs within its limits, first come first served within priority; pure.

The decision is written into the Tenant's `status.admitted` under its resourceVersion before any Job is unsuspended. A
leader that works from an older Tenant gets a conflict and admits nothing, so two leaders can never overrun the limits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct

from longshore.errors import UserMistake
from longshore.kinds.jobs import model as jobs
from longshore.kinds.jobs.request import JobRequest
from longshore.kinds.tenants.model import TENANTS, Admitted, Limits, Tenant, cpu_millis, disk_bytes, memory_bytes
from longshore.kube.objects import JOBS, Job
from longshore.runtime.plan import Action, Effect, PatchObject, Plan

GIB = 1 << 30
# how long what is over may stay in the fence, which then says more than runs, never less
LINGER = timedelta(seconds=2)


class LookUp(Effect, frozen=True):
    """See that none of these jobs, which are to start for the first time, has been there before: a submission that was
    on its way for long may make a job again whose first one is in the archive already and gone."""

    jobs: tuple[Job, ...]


class Use(Struct, frozen=True):
    """What a tenant's admitted work asks for together."""

    cpu_millis: int = 0
    memory_bytes: int = 0
    running: int = 0
    pods: int = 0
    gpu: int = 0
    ephemeral_bytes: int = 0

    def plus(self, entry: Admitted) -> Use:
        return Use(
            self.cpu_millis + entry.cpu_millis,
            self.memory_bytes + entry.memory_bytes,
            self.running + 1,
            self.pods + entry.pods,
            self.gpu + entry.gpu,
            self.ephemeral_bytes + entry.ephemeral_bytes,
        )

    def fits(self, limits: Limits) -> bool:
        return not any(used > limit for _, used, limit in self.beside(limits))

    def beside(self, limits: Limits) -> tuple[tuple[str, float, float], ...]:
        """What is counted, how much of it is used, and the limit: jobs, pods, cores, GPUs, GiB."""
        return (
            ("jobs", self.running, limits.concurrent_jobs),
            ("pods", self.pods, limits.pods),
            ("cores", self.cpu_millis / 1000, limits.cpu),
            ("GiB of memory", self.memory_bytes / GIB, limits.memory_gi),
            ("GPUs", self.gpu, limits.gpu),
            ("GiB of disk", self.ephemeral_bytes / GIB, limits.ephemeral_gi),
        )


def use_of(entries: Iterable[Admitted]) -> Use:
    total = Use()
    for entry in entries:
        total = total.plus(entry)
    return total


def entry_for(job: Job) -> Admitted:
    """What a job counts against the limits. An amount that is not one counts as nothing: the Job was refused by the
    API server's own validation or was never ours."""
    request, meta = jobs.request_of(job), job.metadata
    try:
        return amounts(request, meta.name, meta.uid, meta.resource_version)
    except UserMistake:
        return Admitted(meta.name, meta.uid, version=meta.resource_version, pods=request.pods)


def amounts(request: JobRequest, name: str = "", uid: str = "", version: str = "0") -> Admitted:
    """What a request counts against the limits: that of one pod, for each that may run at the same time. Raises
    UserMistake naming the field where an amount is none."""
    each, pods = request.resources, request.pods
    return Admitted(
        name,
        uid,
        cpu_millis(each.cpu) * pods,
        memory_bytes(each.memory) * pods,
        version,
        pods,
        each.gpu * pods,
        disk_bytes(each.ephemeral) * pods,
    )


def plan(tenant: Tenant | None, tenant_jobs: Sequence[Job], jobs_version: int, now: datetime) -> Plan:
    """Next step of admission for one tenant: either the fence is rewritten, or what it names is let go on, never both.

    `tenant_jobs` are those that are admitted and the first of those that wait, as many as may be admitted at once;
    `jobs_version` is the resourceVersion that the store of Jobs has seen. What is over leaves the fence with the next
    admission, or after 2 s: so one write does for both.
    """
    if tenant is None or tenant.metadata.deletion_timestamp is not None:
        return Plan()
    by_uid = {j.metadata.uid: j for j in tenant_jobs}
    kept = _kept(tenant, by_uid, jobs_version)
    new = _newly_admitted(tenant.spec.limits, kept, tenant_jobs)
    over = [by_uid.get(e.uid) for e in tenant.status.admitted if e not in kept]
    if new or any(job is None or now - jobs.ended_at(job, jobs.EPOCH) >= LINGER for job in over):
        return Plan((_write_fence(tenant, [*kept, *new]),))
    starting = [job for e in kept if _starts(job := by_uid.get(e.uid)) and job is not None]
    actions: list[Action] = [_unsuspend(job) for job in starting if not _is_doubtful(job)]
    if doubtful := tuple(job for job in starting if _is_doubtful(job)):  # last, for it ends there without the archive
        actions += [LookUp(doubtful), *(_unsuspend(job) for job in doubtful)]
    return Plan(tuple(actions), requeue_after=LINGER.total_seconds() if over else None)


def admits(tenant: Tenant, tenant_jobs: Sequence[Job], job: Job, jobs_version: int) -> bool:
    """Whether the next step of admission would let this job start, if it were among `tenant_jobs`; for the dry run."""
    by_uid = {j.metadata.uid: j for j in (*tenant_jobs, job)}
    kept = _kept(tenant, by_uid, jobs_version)
    after = [*kept, *_newly_admitted(tenant.spec.limits, kept, list(by_uid.values()))]
    return any(entry.uid == job.metadata.uid for entry in after)


def _kept(tenant: Tenant, by_uid: dict[str, Job], jobs_version: int) -> list[Admitted]:
    """What was admitted and is not over."""
    return [e for e in tenant.status.admitted if _still_holds(e, by_uid, jobs_version)]


def _still_holds(entry: Admitted, by_uid: dict[str, Job], jobs_version: int) -> bool:
    job = by_uid.get(entry.uid)
    if job is None:
        return jobs_version < int(entry.version)
    return not jobs.is_over(job)


def _newly_admitted(limits: Limits, kept: Sequence[Admitted], tenant_jobs: Sequence[Job]) -> list[Admitted]:
    held = {e.uid for e in kept}
    use, admitted = use_of(kept), []
    for job in jobs.waiting(tenant_jobs):
        if job.metadata.uid in held:
            continue
        entry = entry_for(job)
        if not use.plus(entry).fits(limits):
            # strictly in order: letting smaller ones pass would starve a large one for ever
            break
        use = use.plus(entry)
        admitted.append(entry)
    return admitted


def _starts(job: Job | None) -> bool:
    return job is not None and job.spec.suspend and not jobs.is_over(job) and not jobs.stop_requested(job)


def _is_doubtful(job: Job) -> bool:
    """Whether it may have been there before, and the archive must say."""
    return job.status.start_time is None and not jobs.is_first(job)


def _write_fence(tenant: Tenant, entries: Sequence[Admitted]) -> PatchObject:
    admitted: list[dict[str, Any]] = msgspec.to_builtins(entries)
    return PatchObject(
        TENANTS,
        tenant.metadata.name,
        None,
        {"status": {"admitted": admitted}},
        subresource="status",
        uid=tenant.metadata.uid,
        resource_version=tenant.metadata.resource_version,
    )


def _unsuspend(job: Job) -> PatchObject:
    finalizers = [*job.metadata.finalizers]
    if jobs.FINALIZER not in finalizers:
        finalizers.append(jobs.FINALIZER)
    return PatchObject(
        JOBS,
        job.metadata.name,
        job.metadata.namespace,
        {"metadata": {"finalizers": finalizers}, "spec": {"suspend": False}},
        uid=job.metadata.uid,
        resource_version=job.metadata.resource_version,
    )


class Excess(Struct, frozen=True):
    """A limit that one more job would break: what it counts, how much of that is used, what the job adds."""

    limit: str
    used: float
    adds: float
    allowed: float


def excesses(limits: Limits, use: Use, entry: Admitted) -> tuple[Excess, ...]:
    """The limits that keep this job from being admitted; none exactly where it `fits`."""
    rows = zip(use.beside(limits), use.plus(entry).beside(limits), strict=True)
    return tuple(
        Excess(name, used, then - used, allowed) for (name, used, _), (_, then, allowed) in rows if then > allowed
    )
