"""Who may start: admits a tenant's suspended Jobs within its limits, first come first served within priority; pure.

The decision is written into the Tenant's `status.admitted` under its resourceVersion before any Job is unsuspended. A
leader that works from an older Tenant gets a conflict and admits nothing, so two leaders can never overrun the limits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from longshore.errors import UserMistake
from longshore.kinds.jobs import model as jobs
from longshore.kinds.tenants.model import TENANTS, Admitted, Limits, Tenant, cpu_millis, memory_bytes
from longshore.kube.objects import JOBS, Job
from longshore.runtime.plan import PatchObject, Plan

GIB = 1 << 30


class Use(Struct, frozen=True):
    """What a tenant's admitted work asks for together."""

    cpu_millis: int = 0
    memory_bytes: int = 0
    running: int = 0

    def plus(self, entry: Admitted) -> Use:
        return Use(self.cpu_millis + entry.cpu_millis, self.memory_bytes + entry.memory_bytes, self.running + 1)

    def fits(self, limits: Limits) -> bool:
        return (
            self.running <= limits.concurrent_jobs
            and self.cpu_millis <= limits.cpu * 1000
            and self.memory_bytes <= limits.memory_gi * GIB
        )


def use_of(entries: Iterable[Admitted]) -> Use:
    total = Use()
    for entry in entries:
        total = total.plus(entry)
    return total


def entry_for(job: Job) -> Admitted:
    """What a job counts against the limits. An amount that is not one counts as nothing: the Job was refused by the
    API server's own validation or was never ours."""
    resources = jobs.request_of(job).resources
    try:
        cpu, memory = cpu_millis(resources.cpu), memory_bytes(resources.memory)
    except UserMistake:
        cpu, memory = 0, 0
    return Admitted(job.metadata.name, job.metadata.uid, cpu, memory, job.metadata.resource_version)


def plan(tenant: Tenant | None, tenant_jobs: Sequence[Job], jobs_version: int) -> Plan:
    """Next step of admission for one tenant: either the fence is rewritten, or what it names is let go on, never both.

    `jobs_version` is the resourceVersion that the store of Jobs has seen.
    """
    if tenant is None or tenant.metadata.deletion_timestamp is not None:
        return Plan()
    by_uid = {j.metadata.uid: j for j in tenant_jobs}
    kept = [e for e in tenant.status.admitted if _still_holds(e, by_uid, jobs_version)]
    wanted = [*kept, *_newly_admitted(tenant.spec.limits, kept, tenant_jobs)]
    if wanted != list(tenant.status.admitted):
        return Plan((_write_fence(tenant, wanted),))
    return Plan(tuple(_unsuspend(by_uid[e.uid]) for e in wanted if _starts(by_uid.get(e.uid))))


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
