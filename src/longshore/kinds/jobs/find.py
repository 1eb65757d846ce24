"""Finds a job by its id for a caller: live in the store, or as the record that the archive keeps of it; and lists both.

What is another tenant's is not there. The live object wins wherever both exist.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Set
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.responses import Response

from longshore.archive.index import Entry
from longshore.errors import NotFound, Unavailable
from longshore.kinds.jobs import model
from longshore.kinds.jobs.archiver import outputs_of
from longshore.kinds.jobs.commands import Submitted
from longshore.kinds.jobs.places import CREATED, TURN
from longshore.kinds.jobs.request import JobRequest
from longshore.kinds.jobs.view import JobRecord, record_of, summary_of, why_of
from longshore.kinds.kind import Services
from longshore.kube.objects import Job
from longshore.kube.store import Listing, Position, created, sortable
from longshore.web.answers import answer
from longshore.web.auth import Caller

_ID = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")  # what longshore names a Job
ORDER = CREATED


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
    if not _ID.fullmatch(id) or (who.tenant is None and not who.admin):
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


def live_record(parts: Services, job: Job) -> JobRecord:
    """The record of a live job, with why it waits."""
    pods = parts.stores.pods.by("job", job.metadata.uid)
    name = model.tenant_of(job)
    tenant = parts.stores.tenants.get(name)
    why = why_of(
        job,
        pods,
        admitted=tenant is not None and any(e.uid == job.metadata.uid for e in tenant.status.admitted),
        ahead=ahead_of(parts, job),
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
    outputs = await outputs_of(parts.archive, found.job)
    return msgspec.structs.replace(record, outputs=outputs, request=model.request_of(found.job))


def tenant_id(parts: Services, name: str) -> str:
    """The id that people use for the tenant of this name."""
    tenant = parts.stores.tenants.get(name)
    return tenant.id if tenant else name


def ahead_of(parts: Services, job: Job) -> int:
    """How many of its tenant's jobs start before this one, which waits for its turn; 0 where it does not."""
    return parts.stores.jobs.ahead(TURN, model.tenant_of(job), job) if model.waits(job) else 0


def progress_topic(id: str) -> str:
    return f"progress/{id}"


async def page(parts: Services, wanted: Filter, *, limit: int, cursor: str | None) -> tuple[list[Any], str | None]:
    """One page of live and archived jobs together, newest first, and the cursor of the next."""
    after = Position.decode(cursor) if cursor else None
    live = _Live(parts, wanted)
    hot = live.page(limit, after)
    before = (after.time, after.uid) if after else None
    keep = _cold_filter(parts, wanted, {job.metadata.uid for job in hot.items})
    cold = await parts.archive.index.page(wanted.tenant, before=before, limit=limit + 1, keep=keep)
    rows: list[tuple[tuple[str, str], Any]]
    rows = [((created(job), job.metadata.uid), live.record(job)) for job in hot.items]
    rows += [((sortable(e.created), e.uid), summary_of(e, tenant_id(parts, e.tenant))) for e in cold]
    rows.sort(key=lambda row: row[0], reverse=True)
    more = len(rows) > limit or hot.next is not None
    rows = rows[:limit]
    return [row for _, row in rows], Position(ORDER, *rows[-1][0]).encode() if more else None


class _Live:
    """The jobs of a list that are still in the cluster."""

    def __init__(self, parts: Services, wanted: Filter) -> None:
        self._parts = parts
        self._wanted = wanted

    def page(self, limit: int, after: Position | None) -> Listing[Job]:
        return self._parts.stores.jobs.page(
            ORDER, self._wanted.tenant, limit=limit, after=after, descending=True, where=self._is_wanted
        )

    def record(self, job: Job) -> JobRecord:
        return live_record(self._parts, job)

    def _is_wanted(self, job: Job) -> bool:
        wanted = self._wanted
        return (
            bool(model.tenant_of(job))
            and (wanted.kind is None or model.kind_of(job) == wanted.kind)
            and (wanted.name is None or model.request_of(job).name.startswith(wanted.name))
            and (wanted.status is None or self.record(job).status == wanted.status)
        )


def _cold_filter(parts: Services, wanted: Filter, shown: Set[str]) -> Callable[[Entry], bool]:
    """What is still in the cluster is shown from there; `shown` holds the uids of what was when the page began.

    What left the cluster since then and is not among these comes after them, or was not wanted as it was.
    """

    def keep(entry: Entry) -> bool:
        return (
            (wanted.kind is None or entry.kind == wanted.kind)
            and (wanted.status is None or entry.status == wanted.status)
            and (wanted.name is None or entry.name.startswith(wanted.name))
            and entry.uid not in shown
            and not any(job.metadata.uid == entry.uid for job in parts.stores.jobs.by("id", entry.id))
        )

    return keep
