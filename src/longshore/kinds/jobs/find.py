"""Finds a job by its id for a caller: live in the store, or as the record that the archive keeps of it; and lists both.

What is another tenant's is not there. The live object wins wherever both exist.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

import msgspec
from starlette.responses import Response

from longshore.errors import NotFound, Unavailable
from longshore.kinds.jobs import model
from longshore.kinds.jobs.archiver import outputs_of
from longshore.kinds.jobs.commands import Submitted, no_tenant
from longshore.kinds.jobs.failure import COUNTED
from longshore.kinds.jobs.happened import Happened, happened
from longshore.kinds.jobs.record import JobRecord
from longshore.kinds.jobs.request import JobRequest
from longshore.kinds.jobs.state import state_of
from longshore.kinds.jobs.view import record_in, record_of
from longshore.kinds.kind import Services
from longshore.kinds.tenants.lookup import tenant_named
from longshore.kinds.tenants.model import namespace_of, object_name
from longshore.kube.objects import Job, Pod
from longshore.web.answers import answer
from longshore.web.auth import Caller

LATE_SECONDS, LOOK_SECONDS = 10.0, 0.05
_ID = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")  # what longshore names a Job


@dataclass(frozen=True)
class Found:
    """A job: `tenant` is the Tenant object's name; `job` while the object exists, `record` once it is archived."""

    id: str
    tenant: str
    job: Job | None
    record: JobRecord | None = None

    @property
    def request(self) -> JobRequest | None:
        """What it was made from."""
        if self.job is not None:
            return model.request_of(self.job)
        return self.record.request if self.record else None


async def find(parts: Services, who: Caller, id: str) -> Found:
    """The job of this id. Raises NotFound alike for none and another tenant's."""
    job = live(parts, who, id)
    if job is not None:
        if model.is_hidden(job) and who.pod is None:
            raise NotFound(f"job {id[:64]!r} was deleted", hint="what is deleted is not shown any more")
        return Found(id, model.tenant_of(job), job)
    found = await archived(parts, who, id)
    if found is None:
        raise NotFound(f"there is no job {id[:64]!r}", hint="list yours with 'longshore list'")
    return found


async def find_deletable(parts: Services, who: Caller, id: str) -> Found:
    """As `find`, but also what was hidden before, which may still be purged."""
    job = live(parts, who, id)
    if job is not None:
        return Found(id, model.tenant_of(job), job)
    tenants = [who.tenant] if who.tenant else await parts.archive.index.tenants() if who.admin else []
    for tenant in tenants if _ID.fullmatch(id) else ():
        record = await kept_record(parts, tenant, id)
        if record is not None:
            return Found(id, tenant, None, record)
    raise NotFound(f"there is no job {id[:64]!r}", hint="list yours with 'longshore list'")


async def gone(parts: Services, found: Found) -> Found:
    """The same job in the archive, when its object turns out to be gone, of which this replica has yet to hear."""
    record = await kept_record(parts, found.tenant, found.id)
    if record is None:
        raise NotFound(f"there is no job {found.id[:64]!r}", hint="list yours with 'longshore list'")
    return Found(found.id, found.tenant, None, record)


def find_foreign(parts: Services, who: Caller, tenant_id: str, name: str) -> Found:
    """The Job that others made in this tenant's namespace. Raises NotFound alike for none and another tenant's."""
    tenant = object_name(tenant_id)
    job = parts.stores.jobs.get(name, namespace_of(tenant)) if who.sees(tenant) else None
    if job is None or model.foreign_tenant(job) != tenant or parts.stores.tenants.get(tenant) is None:
        raise NotFound(f"there is no Job {name[:64]!r} of others here", hint="list yours with 'longshore list'")
    return Found(f"{tenant_id}/{model.kind_of(job)}/{name}", tenant, job)


async def known(parts: Services, result: Submitted) -> None:
    """Wait, for a moment at most, until this replica knows the job, so that its caller's next request finds it."""
    if result.job is not None:
        await parts.stores.jobs.has_seen(result.job.metadata.resource_version)


async def accepted(parts: Services, result: Submitted) -> Response:
    """202 for a new job, 200 for the one that the same key made before.

    Answered once this replica knows the job, so that the caller's next request finds it; on another replica he passes
    `min_resource_version`.
    """
    if result.job is None:
        return answer(result.record)
    await known(parts, result)
    record = live_record(parts, result.job)
    return answer(record, 202 if result.created else 200, headers={"Location": record.links["self"]})


def live(parts: Services, who: Caller, id: str) -> Job | None:
    for job in parts.stores.jobs.by("id", id):
        if who.sees(model.tenant_of(job)) or _own_pod(parts, who, job):
            return job
    return None


async def archived(parts: Services, who: Caller, id: str) -> Found | None:
    if not _ID.fullmatch(id) or (who.tenant is None and not who.admin):
        return None
    entry = await parts.archive.index.find(who.tenant, id)
    if entry is None:
        return None
    record = await kept_record(parts, entry.tenant, id)
    return Found(id, entry.tenant, None, record) if record else None


async def require_tenant(parts: Services, asked: str) -> None:
    """Raises NotFound where an administrator asks for a tenant that neither is there nor has left any history."""
    name = object_name(asked)
    if parts.stores.tenants.get(name) is not None:
        return
    with suppress(Unavailable):  # while the API server or the archive is away nobody knows
        if await tenant_named(parts, name) is None and name not in await parts.archive.index.tenants():
            raise no_tenant(asked)


async def kept_record(parts: Services, tenant: str, id: str) -> JobRecord | None:
    """The record in the archive, of a job that may still be in the cluster too."""
    record = await parts.archive.records.get(tenant, id)
    return record_in(record, id) if record else None


def _own_pod(parts: Services, who: Caller, job: Job) -> bool:
    """Whether the caller is a pod of this very job; it may touch nothing else."""
    if who.pod is None:
        return False
    pod = parts.stores.pods.get(who.pod.name, who.pod.namespace)
    if pod is None:
        raise Unavailable("this pod is not known here yet", hint="try again in a moment", retry_after=1)
    return (
        pod.metadata.uid == who.pod.uid
        and pod.metadata.namespace == job.metadata.namespace
        and any(owner.uid == job.metadata.uid for owner in pod.metadata.owner_references)
    )


def pods_of(parts: Services, job: Job) -> list[Pod]:
    """Its pods, also where others made it."""
    if model.tenant_of(job):
        return parts.stores.pods.by("job", job.metadata.uid)
    theirs = parts.stores.pods.by("foreign", job.metadata.uid)
    return [pod for pod in theirs if pod.metadata.namespace == job.metadata.namespace]


def live_record(parts: Services, job: Job) -> JobRecord:
    """The record of a live job, with why it waits."""
    pods = pods_of(parts, job)
    if model.is_over(job):
        pods = parts.facts.departed.beside(job, pods)
    name = model.tenant_of(job) or model.foreign_tenant(job)
    state = state_of(job, pods)
    why = parts.facts.why(job, pods, state, parts.now())
    progress = parts.bus.latest(progress_topic(job.metadata.name))
    return explained(parts, record_of(job, pods, tenant_id=tenant_id(parts, name), progress=progress, why=why))


def explained(parts: Services, record: JobRecord) -> JobRecord:
    """The record with what its kind adds to it."""
    explain = parts.explain.get(record.kind)
    return explain(record) if explain else record


async def full_record(parts: Services, found: Found, *, patient: bool = True) -> JobRecord:
    """The record of a job wherever it is, with what became of its outputs, where the archive can say that now.

    `patient`: how it ended is waited for, where its pods are told of later; who is told of changes need not.
    """
    if found.record is not None:
        return found.record
    assert found.job is not None
    job = await _with_its_ends(parts, found.job) if patient else found.job
    kept, outputs = None, None
    with suppress(Unavailable):  # while the archive is away, the cluster still says how it stands
        if model.is_released(job):
            kept = await kept_record(parts, found.tenant, found.id)
        if kept is None and model.is_over(job):  # its sidecar sends the manifest last
            outputs = await outputs_of(parts.archive, job)
    if kept is not None:
        return msgspec.structs.replace(kept, resource_version=job.metadata.resource_version)
    record = live_record(parts, job)
    events = live_events(parts, job).items
    return msgspec.structs.replace(record, outputs=outputs, events=events, request=model.request_of(job))


async def _with_its_ends(parts: Services, job: Job) -> Job:
    """The job once the ends that it counts are known of its pods too: both are told by watches of their own, and that
    of the pods may be late. For a pod that went unseen it is waited in vain, which ends soon after the job's end.
    """
    clock = asyncio.get_running_loop().time
    until, pause = clock() + LATE_SECONDS, LOOK_SECONDS
    while _ends_are_to_come(parts, job) and clock() < until:
        await asyncio.sleep(pause)
        pause = min(1.0, pause * 1.5)  # many may wait for the same pod
        job = parts.stores.jobs.get(job.metadata.name, job.metadata.namespace) or job
    return job


def _ends_are_to_come(parts: Services, job: Job) -> bool:
    failed, now = model.condition(job.status.conditions, "Failed"), parts.now()
    if not model.is_over(job) or model.is_released(job) or (failed and failed.reason not in COUNTED):
        return False
    if now - model.ended_at(job, now) > timedelta(seconds=3 * LATE_SECONDS):
        return False
    pods = parts.facts.departed.beside(job, pods_of(parts, job))
    return sum(map(_tells_no_more, pods)) < job.status.succeeded + job.status.failed


def _tells_no_more(pod: Pod) -> bool:
    """It has ended, or it went without having said how, as with its node, or goes so."""
    return pod.status.phase in ("Succeeded", "Failed", "Unknown") or pod.metadata.deletion_timestamp is not None


def live_events(parts: Services, job: Job) -> Happened:
    """What has happened to a live job so far."""
    return happened(job, parts.facts.departed.beside(job, pods_of(parts, job)), parts.facts.told)


async def events_of(parts: Services, found: Found) -> Happened:
    """What happened to a job: what is known of a live one, what the record keeps of another."""
    if found.job is not None and not model.is_released(found.job):
        return live_events(parts, found.job)
    record = await full_record(parts, found)
    return Happened(record.events)


def tenant_id(parts: Services, name: str) -> str:
    """The id that people use for the tenant of this name."""
    tenant = parts.stores.tenants.get(name)
    return tenant.id if tenant else name


def progress_topic(id: str) -> str:
    return f"progress/{id}"


def heartbeat_topic(id: str) -> str:
    """Of the bus: the job is alive."""
    return f"heartbeat/{id}"
