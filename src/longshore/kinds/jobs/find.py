"""Finds a job by its id for a caller: live in the store, or as the record that the archive keeps of it; and lists both.

What is another tenant's is not there. The live object wins wherever both exist.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Set
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import msgspec
from starlette.responses import Response

from longshore.archive.index import Entry
from longshore.errors import NotFound, Unavailable, UserMistake
from longshore.kinds.jobs import model
from longshore.kinds.jobs.archiver import outputs_of
from longshore.kinds.jobs.commands import Submitted
from longshore.kinds.jobs.view import JobRecord, record_of, summary_of, why_of
from longshore.kinds.kind import Services
from longshore.kube.objects import Job
from longshore.web.answers import answer
from longshore.web.auth import Caller

AwareTime = Annotated[datetime, msgspec.Meta(tz=True)]


@dataclass(frozen=True)
class Found:
    """A job: `tenant` is the Tenant object's name; `job` while the object exists, `record` once it is archived."""

    id: str
    tenant: str
    job: Job | None
    record: JobRecord | None = None


@dataclass(frozen=True)
class Filter:
    """What a list is narrowed to; None narrows nothing. `name` is a prefix of the job's name."""

    tenant: str | None = None
    kind: str | None = None
    status: str | None = None
    name: str | None = None


async def find(parts: Services, who: Caller, id: str) -> Found:
    """The job of this id. Raises NotFound alike for none and another tenant's."""
    job = live(parts, who, id)
    if job is not None:
        return Found(id, model.tenant_of(job), job)
    found = await archived(parts, who, id)
    if found is None:
        raise NotFound(f"there is no job {id[:64]!r}", hint="list yours with 'longshore jobs list'")
    return found


async def accepted(parts: Services, result: Submitted) -> Response:
    """202 for a new job, 200 for the one that the same key made before.

    Answered once this replica knows the job, so that the caller's next request finds it; on another replica he passes
    `min_resource_version`.
    """
    if result.job is None:
        return answer(result.record)
    with suppress(Unavailable):
        await parts.stores.jobs.wait_for(result.job.metadata.resource_version)
    record = live_record(parts, result.job)
    return answer(record, 202 if result.created else 200, headers={"Location": record.links["self"]})


def live(parts: Services, who: Caller, id: str) -> Job | None:
    for job in parts.stores.jobs.by("id", id):
        if who.sees(model.tenant_of(job)) or _own_pod(parts, who, job):
            return job
    return None


async def archived(parts: Services, who: Caller, id: str) -> Found | None:
    if not id.isalnum() or (who.tenant is None and not who.admin):
        return None
    entry = await parts.archive.index.find(who.tenant, id)
    if entry is None:
        return None
    record = await kept_record(parts, entry.tenant, id)
    return Found(id, entry.tenant, None, record) if record else None


async def kept_record(parts: Services, tenant: str, id: str) -> JobRecord | None:
    """The record in the archive, of a job that may still be in the cluster too."""
    record = await parts.archive.records.get(tenant, id)
    return msgspec.json.decode(record, type=JobRecord) if record else None


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


def live_record(parts: Services, job: Job, queue: dict[str, int] | None = None) -> JobRecord:
    """The record of a live job, with why it waits. `queue`: places in the tenant's queue, where they are known."""
    pods = parts.stores.pods.by("job", job.metadata.uid)
    name = model.tenant_of(job)
    tenant = parts.stores.tenants.get(name)
    places = places_of(parts, name) if queue is None and job.spec.suspend else queue or {}
    why = why_of(
        job,
        pods,
        admitted=tenant is not None and any(e.uid == job.metadata.uid for e in tenant.status.admitted),
        ahead=places.get(job.metadata.uid, 0),
        running=len(tenant.status.admitted) if tenant else 0,
        concurrent=tenant.spec.limits.concurrent_jobs if tenant else 0,
    )
    progress = parts.bus.latest(progress_topic(job.metadata.name))
    return explained(parts, record_of(job, pods, tenant_id=tenant_id(parts, name), progress=progress, why=why))


def explained(parts: Services, record: JobRecord) -> JobRecord:
    """The record with what its kind adds to it."""
    explain = parts.explain.get(record.kind)
    return explain(record) if explain else record


async def full_record(parts: Services, found: Found) -> JobRecord:
    """The record of a job wherever it is, with what became of its outputs."""
    if found.record is not None:
        return found.record
    assert found.job is not None
    if model.is_released(found.job):
        kept = await kept_record(parts, found.tenant, found.id)
        if kept is not None:
            return msgspec.structs.replace(kept, resource_version=found.job.metadata.resource_version)
    record = live_record(parts, found.job)
    return msgspec.structs.replace(record, outputs=await outputs_of(parts.archive, found.job))


def tenant_id(parts: Services, name: str) -> str:
    """The id that people use for the tenant of this name."""
    tenant = parts.stores.tenants.get(name)
    return tenant.id if tenant else name


def places_of(parts: Services, tenant: str) -> dict[str, int]:
    """How many wait ahead of each waiting job of this tenant, by uid."""
    return {j.metadata.uid: n for n, j in enumerate(model.waiting(parts.stores.jobs.by("tenant", tenant)))}


def progress_topic(id: str) -> str:
    return f"progress/{id}"


async def page(parts: Services, wanted: Filter, *, limit: int, cursor: str | None) -> tuple[list[Any], str | None]:
    """One page of live and archived jobs together, newest first, and the cursor of the next."""
    before = decode_cursor(cursor) if cursor else None
    store = parts.stores.jobs
    candidates = store.by("tenant", wanted.tenant) if wanted.tenant else [j for j in store.list() if model.tenant_of(j)]
    hot = [j for j in candidates if (before is None or _position(j) < before) and _plainly_wanted(j, wanted)]
    hot.sort(key=_position, reverse=True)
    queues: dict[str, dict[str, int]] = {}
    rows: list[tuple[tuple[datetime, str], Any]] = []
    for job in hot:
        tenant = model.tenant_of(job)
        if job.spec.suspend and tenant not in queues:
            queues[tenant] = places_of(parts, tenant)
        record = live_record(parts, job, queues.get(tenant))
        if wanted.status is None or record.status == wanted.status:
            rows.append((_position(job), record))
        if len(rows) > limit:
            break
    cold = await parts.archive.index.page(
        wanted.tenant, before=before, limit=limit + 1, keep=_cold_filter(wanted, {j.metadata.uid for j in candidates})
    )
    rows += [((e.created, e.uid), summary_of(e, tenant_id(parts, e.tenant))) for e in cold]
    rows.sort(key=lambda row: row[0], reverse=True)
    more = len(rows) > limit
    rows = rows[:limit]
    return [row for _, row in rows], encode_cursor(rows[-1][0]) if more else None


def _position(job: Job) -> tuple[datetime, str]:
    return (job.metadata.creation_timestamp or model.EPOCH, job.metadata.uid)


def _plainly_wanted(job: Job, wanted: Filter) -> bool:
    return (wanted.kind is None or model.kind_of(job) == wanted.kind) and (
        wanted.name is None or model.request_of(job).name.startswith(wanted.name)
    )


def _cold_filter(wanted: Filter, live: Set[str]) -> Callable[[Entry], bool]:
    """What is still in the cluster is shown from there; `live` holds the uids of that."""

    def keep(entry: Entry) -> bool:
        return (
            (wanted.kind is None or entry.kind == wanted.kind)
            and (wanted.status is None or entry.status == wanted.status)
            and (wanted.name is None or entry.name.startswith(wanted.name))
            and entry.uid not in live
        )

    return keep


def encode_cursor(position: tuple[datetime, str]) -> str:
    """Opaque to callers: where the page ended, so that inserts and deletes do not move the next one."""
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).decode().rstrip("=")


def decode_cursor(cursor: str) -> tuple[datetime, str]:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        created, uid = msgspec.json.decode(base64.urlsafe_b64decode(padded), type=tuple[AwareTime, str])
        return created, uid
    except (ValueError, msgspec.DecodeError):
        raise UserMistake(
            "this cursor is not one of ours", hint="pass the 'cursor' of the page before, unchanged", field="cursor"
        ) from None
