"""What a caller may ask of jobs: submit and stop, each one write to the API server.

Other kinds submit through here too, so that limits, identity and the fence are the same for all work.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import Any

import msgspec

from longshore.errors import AlreadyExists, Conflict, Forbidden, NotFound, Unavailable, UserMistake
from longshore.kinds.jobs import lag, model
from longshore.kinds.jobs.intake import Counts, Pressure, check_limits, check_pressure, check_tolerations, priority_of
from longshore.kinds.jobs.manifest import job_manifest
from longshore.kinds.jobs.record import JobRecord
from longshore.kinds.jobs.request import UPLOAD, Input, JobRequest
from longshore.kinds.jobs.stop import hide_patch, stop_patch
from longshore.kinds.jobs.view import record_in
from longshore.kinds.kind import Services
from longshore.kinds.tenants.lookup import tenant_named
from longshore.kinds.tenants.model import Tenant, namespace_of, object_name
from longshore.kube.backoff import Backoff
from longshore.kube.objects import JOBS, Job, Patch
from longshore.web.auth import Caller

QUOTA_TRIES = 8
STOP_TRIES = 5
_ID = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")  # what longshore names a Job


@dataclass(frozen=True)
class Submitted:
    """What became of a submission: the Job, new or made earlier by the same key; or, where that is gone, its record."""

    id: str
    created: bool
    job: Job | None = None
    record: JobRecord | None = None


async def tenant_for_work(parts: Services, who: Caller, asked: str | None) -> Tenant:
    """The tenant that work is for: the caller's own, or the one an administrator asked for by its id.

    Raises NotFound, or Unavailable while its namespace is being prepared.
    """
    name = who.tenant_for(object_name(asked) if asked else None)
    tenant = await tenant_named(parts, name)
    if tenant is None:
        raise no_tenant(asked or name)
    if tenant.metadata.deletion_timestamp is not None:
        raise Conflict(f"tenant {tenant.id} is being deleted", hint="it takes no more work")
    if model.condition(tenant.status.conditions, "Ready") is None:
        raise Unavailable(f"tenant {tenant.id} is still being prepared", hint="try again in a moment", retry_after=1)
    return tenant


def no_tenant(asked: str) -> NotFound:
    return NotFound(
        f"there is no tenant {asked!r}", hint="see 'longshore tenants list'; 'longshore tenants create' makes one"
    )


def counts_of(parts: Services, tenant: str) -> Counts:
    """By the name of the Tenant object; costs the same however many jobs there are."""
    jobs = parts.stores.jobs
    return Counts(jobs.count("tenant", tenant), jobs.count("unfinished", tenant), jobs.count("queued", tenant))


def pressure_of(parts: Services) -> Pressure:
    """What this replica knows of it."""
    options, size = parts.settings, parts.store_size
    return Pressure(size.used, options.store_budget_mb << 20, lag.waiting(parts.stores.jobs), options.archive_lag_jobs)


async def check_inputs(parts: Services, tenant: str, request: JobRequest) -> None:
    """Whether each input that is another job's is there. Raises UserMistake naming the one that is not."""
    for n, item in enumerate(request.inputs):
        if not item.job or item.area == UPLOAD:
            continue
        try:
            await parts.archive.artifacts.stat(tenant, item.job, item.area, item.artifact)
        except (NotFound, UserMistake):
            if not await _is_there(parts, tenant, item.job):
                raise UserMistake(
                    f"there is no job {item.job[:64]!r} to take {item.artifact[:200]!r} from",
                    hint="an input is JOB/FILE by the job's id: list yours with 'longshore list'",
                    field=f"inputs.{n}.artifact",
                ) from None
            raise UserMistake(
                f"job {item.job[:64]!r} has no artifact {item.artifact[:200]!r}",
                hint=f"see what it has: longshore artifacts {item.job[:64]}",
                field=f"inputs.{n}.artifact",
            ) from None


async def _is_there(parts: Services, tenant: str, id: str) -> bool:
    """Whether this is a job of the tenant, in the cluster or in the archive."""
    if _ID.fullmatch(id) is None:
        return False
    live = parts.stores.jobs.get(id, namespace_of(tenant))
    if live is not None:
        return not model.is_hidden(live)
    return await parts.archive.index.find(tenant, id) is not None


async def claim_uploads(parts: Services, tenant: str, id: str, request: JobRequest) -> None:
    """Give the new job copies of the uploaded files it takes: uploads go after a day, jobs may wait longer. Raises
    UserMistake naming the input that is not there."""
    for n, item in enumerate(request.inputs):
        if item.area != UPLOAD:
            continue
        try:
            await parts.archive.uploads.claim(tenant, item.job, item.artifact, id, item.handle, parts.now())
        except (NotFound, UserMistake):
            raise UserMistake(
                f"upload {item.job[:64]!r} has no file {item.artifact[:200]!r}",
                hint="uploads are good for a day: is it still there, and was the file finished?",
                field=f"inputs.{n}.artifact",
            ) from None


async def submit(
    parts: Services,
    tenant: Tenant,
    request: JobRequest,
    *,
    kind: str = "job",
    letter: str = "j",
    idempotency_key: str | None = None,
    key_made: datetime | None = None,
    id: str | None = None,
    prepare: Callable[[str], Awaitable[None]] | None = None,
) -> Submitted:
    """Create the Job of this request, suspended; the leader starts it when the tenant's limits allow.

    The same idempotency key with the same request answers the same job, with another request Conflict; also after the
    Job is gone, by its record. `key_made`: when the key was made up, as the caller says; one that is new, as is that of
    a job without, is nowhere in the archive, which is not asked then, nor before the job starts. `id`: of a kind that
    has names of its own; the same key must give the same. `prepare` is called with the id of a new job before it is
    created, to keep its inputs.
    """
    name, namespace = tenant.metadata.name, namespace_of(tenant.metadata.name)
    id = model.job_id(letter, name, kind, idempotency_key) if id is None else id
    key_made = fresh(parts, key_made if idempotency_key else parts.now())
    earlier = await earlier_of(parts, name, id, request, archived=key_made is None) if idempotency_key else None
    if earlier is not None:
        return earlier
    body = await prepared(parts, tenant, request, id=id, kind=kind, key_made=key_made)
    await claim_uploads(parts, name, id, request)
    if prepare is not None:
        await prepare(id)
    return await _made(parts, body, id, namespace, request)


async def _made(parts: Services, body: dict[str, Any], id: str, namespace: str, request: JobRequest) -> Submitted:
    """The Job of this manifest, new, or made meanwhile by the same request."""
    try:
        made = await create(parts, body, namespace)
        return Submitted(id, created=True, job=made)
    except Forbidden as refused:
        # longshore's own right or the namespace's quota, never the caller's
        raise Unavailable(f"the cluster did not take the job: {refused.message}", retry_after=10) from refused
    except AlreadyExists:
        job = await parts.client.get(JOBS, id, namespace)
        _require_same(model.request_of(job), request)
        return Submitted(id, created=False, job=job)


def fresh(parts: Services, key_made: datetime | None) -> datetime | None:
    """When a key was made, if that was just now by our own clock too."""
    return key_made if key_made and abs(parts.now() - key_made) <= model.KEY_FRESH else None


async def prepared(
    parts: Services, tenant: Tenant, request: JobRequest, *, id: str, kind: str, key_made: datetime | None = None
) -> dict[str, Any]:
    """The Job of this request, once all that is refused at the door was looked at; for submission and dry run."""
    name = tenant.metadata.name
    check_pressure(pressure_of(parts))
    check_tolerations(request, parts.settings.tolerated_taints)
    check_limits(tenant, request, counts_of(parts, name))
    await check_inputs(parts, name, request)
    return job_manifest(
        request,
        id=id,
        kind=kind,
        tenant=name,
        namespace=namespace_of(name),
        settings=parts.settings,
        now=parts.now(),
        priority=priority_of(tenant, request),
        key_made=key_made,
    )


async def create(parts: Services, body: dict[str, Any], namespace: str, *, dry_run: bool = False) -> Job:
    """Where many come at once, the API server gives up counting them against the quota, and says Conflict."""
    backoff = Backoff(0.02, 0.5, Random())  # noqa: S311 - it spreads load, it hides nothing
    for _ in range(QUOTA_TRIES):
        try:
            return await parts.client.create(JOBS, body, namespace, dry_run=dry_run)
        except AlreadyExists:
            raise
        except Conflict:
            await asyncio.sleep(backoff.next())
    raise Unavailable("the tenant's quota is being counted by too many at once", hint="try again", retry_after=1)


async def earlier_of(
    parts: Services, tenant: str, id: str, request: JobRequest, *, archived: bool = True
) -> Submitted | None:
    """What this idempotency key made before, live or archived."""
    job = parts.stores.jobs.get(id, namespace_of(tenant))
    if job is not None:
        _require_same(model.request_of(job), request)
        return Submitted(id, created=False, job=job)
    kept = await parts.archive.records.get(tenant, id) if archived else None
    if kept is None:
        return None
    record = record_in(kept, id)
    _require_same(record.request, request)
    return Submitted(id, created=False, record=record)


async def request_stop(parts: Services, job: Job, message: str) -> Job:
    """Ask for a job's end; its controller and the Job controller see to it. A job that is over stays as it is."""

    def patch(job: Job) -> dict[str, Any] | None:
        done = model.is_over(job) or model.stop_requested(job)
        return None if done else stop_patch(job, parts.now(), message)

    return await _end(parts, job, patch)


async def _end(parts: Services, job: Job, patch_of: Callable[[Job], dict[str, Any] | None]) -> Job:
    """Write what `patch_of` says to the job's status; of the job as it is by then, where it has changed meanwhile.

    One that has not started gets a start time, which is refused once it has one, and one that has ended is not stopped:
    what is written is of this version of it or not at all.
    """
    for _ in range(STOP_TRIES):
        meta, patch = job.metadata, patch_of(job)
        if patch is None:
            return job
        if "startTime" in patch.get("status", {}):
            patch["metadata"]["resourceVersion"] = meta.resource_version
        try:
            return await parts.client.patch(
                JOBS, meta.name, patch, meta.namespace, type=Patch.STRATEGIC, subresource="status"
            )
        except (Conflict, UserMistake):
            job = await parts.client.get(JOBS, meta.name, meta.namespace)
            if job.metadata.uid != meta.uid or job.metadata.resource_version == meta.resource_version:
                raise
    raise Unavailable("the job changes faster than it can be stopped", hint="try again", retry_after=1)


async def rerun(
    parts: Services,
    tenant: Tenant,
    id: str,
    kind: str,
    request: JobRequest,
    key: str | None,
    key_made: datetime | None = None,
) -> Submitted:
    """A new job of the same request, after the job `id` of this kind; what was uploaded for that one is its input too.

    Raises UserMistake for what longshore did not make, or whose inputs are no more.
    """
    if not request.image:
        raise UserMistake("what it was made from is not known here", hint="only what longshore made can be run again")
    again = msgspec.structs.replace(request, inputs=inputs_of_rerun(request.inputs, id), rerun_of=id)
    return await submit(parts, tenant, again, kind=kind, letter=id[0], idempotency_key=key, key_made=key_made)


def inputs_of_rerun(inputs: tuple[Input, ...], id: str) -> tuple[Input, ...]:
    """Where the files are that the job `id` had as inputs: what was uploaded for it, it holds itself."""
    return tuple(
        item
        if item.job and item.area != UPLOAD
        else msgspec.structs.replace(item, artifact=item.handle, name=item.name or item.artifact, job=id, area="inputs")
        for item in inputs
    )


async def hide(parts: Services, job: Job, message: str, *, purge: bool) -> Job:
    """Show this job no more, and end it if it has not ended; the leader does the rest when it has."""

    def patch(job: Job) -> dict[str, Any] | None:
        done = model.is_hidden(job) and (model.is_purged(job) or not purge)
        return None if done else hide_patch(job, parts.now(), message, purge=purge)

    job = await _end(parts, job, patch)
    if model.is_released(job):
        # as it is now: the leader hides what it archives after this write, whose version its own patch would miss
        await parts.archive.index.hide(model.tenant_of(job), job.metadata.uid)
    return job


def _require_same(earlier: JobRequest | None, request: JobRequest) -> None:
    if earlier is None or earlier.digest() != request.digest():
        raise Conflict("this idempotency key was used for another request", hint="use a new key for a new request")
