"""What a caller may ask of jobs: submit, stop, delete; each one write to the API server.

Other kinds submit through here too, so that limits, identity and the fence are the same for all work.
"""

from __future__ import annotations

from dataclasses import dataclass

from longshore.errors import AlreadyExists, Conflict, NotFound, TooManyRequests, Unavailable, UserMistake
from longshore.kinds.jobs import model
from longshore.kinds.jobs.manifest import job_manifest
from longshore.kinds.jobs.model import JobRequest
from longshore.kinds.kind import Services
from longshore.kinds.tenants.model import Overflow, Tenant, cpu_millis, memory_bytes, namespace_of, object_name
from longshore.kube.objects import JOBS, Job, Patch

GIB = 1 << 30


@dataclass(frozen=True)
class Submitted:
    """What became of a submission: the Job, and whether it is new or an earlier one with the same key and body."""

    job: Job
    created: bool


def tenant_for_work(parts: Services, tenant_id: str) -> Tenant:
    """The tenant that work is for. Raises NotFound, or Unavailable while its namespace is being prepared."""
    tenant = parts.stores.tenants.get(object_name(tenant_id))
    if tenant is None:
        raise NotFound(f"there is no tenant {tenant_id!r}", hint="create it: longshore tenants create ID")
    if tenant.metadata.deletion_timestamp is not None:
        raise Conflict(f"tenant {tenant_id} is being deleted", hint="it takes no more work")
    if model.condition(tenant.status.conditions, "Ready") is None:
        raise Unavailable(f"tenant {tenant_id} is still being prepared", hint="try again in a moment", retry_after=1)
    return tenant


def check_limits(tenant: Tenant, request: JobRequest, live: list[Job]) -> None:
    """Refuse what could never start, and what there is no place for in the queue. Raises UserMistake naming the
    field, TooManyRequests when the queue is full."""
    limits = tenant.spec.limits
    cpu, memory = cpu_millis(request.resources.cpu), memory_bytes(request.resources.memory)
    if cpu > limits.cpu * 1000:
        raise UserMistake(
            f"the job asks for {cpu / 1000:g} cores, tenant {tenant.id} may use {limits.cpu:g}",
            hint=f"ask for {limits.cpu:g} or less, or have the tenant's limit raised",
            field="resources.cpu",
        )
    if memory > limits.memory_gi * GIB:
        raise UserMistake(
            f"the job asks for {memory / GIB:.3g} GiB, tenant {tenant.id} may use {limits.memory_gi:g}",
            hint=f"ask for {limits.memory_gi:g}Gi or less, or have the tenant's limit raised",
            field="resources.memory",
        )
    unfinished = [j for j in live if not model.is_over(j)]
    queued = sum(j.spec.suspend for j in unfinished)
    if tenant.spec.overflow is Overflow.REJECT and len(unfinished) >= limits.concurrent_jobs:
        raise TooManyRequests(
            f"tenant {tenant.id} has {len(unfinished)} of {limits.concurrent_jobs} jobs and queues none",
            hint="wait until one ends",
            retry_after=10,
        )
    if queued >= limits.queued_jobs:
        raise TooManyRequests(
            f"{queued} jobs of tenant {tenant.id} are waiting, at most {limits.queued_jobs} may",
            hint="wait until some have started, or stop some",
            retry_after=10,
        )


async def submit(
    parts: Services,
    tenant: Tenant,
    request: JobRequest,
    *,
    kind: str = "job",
    letter: str = "j",
    idempotency_key: str | None = None,
    id: str | None = None,
) -> Submitted:
    """Create the Job of this request, suspended; the leader starts it when the tenant's limits allow.

    The same idempotency key with the same request answers the same job; with another request, Conflict; also after
    the Job is gone, by its record.
    """
    name = tenant.metadata.name
    id = id or model.job_id(letter, name, kind, idempotency_key)
    existing = parts.stores.jobs.get(id, namespace_of(name))
    if existing is not None:
        return Submitted(_same(existing, request), created=False)
    check_limits(tenant, request, parts.stores.jobs.by("tenant", name))
    body = job_manifest(request, id=id, kind=kind, tenant=name, namespace=namespace_of(name), settings=parts.settings)
    try:
        return Submitted(await parts.client.create(JOBS, body, namespace_of(name)), created=True)
    except AlreadyExists:
        return Submitted(_same(await parts.client.get(JOBS, id, namespace_of(name)), request), created=False)


async def request_stop(parts: Services, job: Job, message: str) -> None:
    """Ask for a job's end; its controller and the Job controller see to it. A job that is over stays as it is."""
    if model.is_over(job) or model.stop_requested(job):
        return
    patch = model.stop_patch(job, parts.now(), message)
    await parts.client.patch(
        JOBS, job.metadata.name, patch, job.metadata.namespace, type=Patch.STRATEGIC, subresource="status"
    )


async def delete(parts: Services, job: Job) -> None:
    """Delete the object; its finalizer holds it until it is stopped and archived."""
    await parts.client.delete(JOBS, job.metadata.name, job.metadata.namespace, uid=job.metadata.uid)


def _same(job: Job, request: JobRequest) -> Job:
    if job.metadata.annotations.get(model.ANNOTATION_DIGEST) != request.digest():
        raise Conflict("this idempotency key was used for another request", hint="use a new key for a new request")
    return job
