"""/v1/jobs: every kind of work in one list, and what its callers do with it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Header, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from longshore.errors import Forbidden, NotFound, UserMistake
from longshore.kinds.jobs import commands, model
from longshore.kinds.jobs.find import (
    accepted,
    events_of,
    find,
    find_deletable,
    find_foreign,
    full_record,
    gone,
    require_tenant,
    tenant_id,
)
from longshore.kinds.jobs.input import JobInput
from longshore.kinds.jobs.listing import Filter, page
from longshore.kinds.jobs.logs import answer as log
from longshore.kinds.jobs.logs.wish import Wish
from longshore.kinds.jobs.request import JobRequest
from longshore.kinds.jobs.waiting import dryrun
from longshore.kinds.kind import Parts, Services
from longshore.kinds.tenants.model import object_name
from longshore.web.answers import answer
from longshore.web.auth import Caller, Who, asked_again

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

_TAG = Annotated[str, Field(min_length=1, max_length=8500)]
IdempotencyKey = Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=200)]
KeyMade = Annotated[
    datetime | None,
    Header(
        alias="Longshore-Key-Made",
        description="When the key was made up, for this request: a new one is not looked for in the archive.",
    ),
]


@router.post("", status_code=202)
async def submit(
    body: JobInput,
    who: Who,
    parts: Parts,
    tenant: str | None = None,
    dry_run: Annotated[bool, Query(description="Make nothing: answer what would become of it.")] = False,
    idempotency_key: IdempotencyKey = None,
    key_made: KeyMade = None,
) -> Response:
    """Accept a job; it starts when its tenant's limits allow. Safe to retry with an idempotency key."""
    target = await commands.tenant_for_work(parts, who, tenant)
    key = idempotency_key or body.idempotency_key
    if dry_run:
        return answer(await dryrun.plan(parts, target, body.request(), idempotency_key=key))
    return await accepted(
        parts, await commands.submit(parts, target, body.request(), idempotency_key=key, key_made=_aware(key_made))
    )


@router.get("")
async def list_jobs(
    who: Who,
    parts: Parts,
    tenant: str | None = None,
    kind: str | None = None,
    status: Annotated[str | None, Query(max_length=20, description="In capitals or not: Running, running.")] = None,
    tag: Annotated[
        list[_TAG] | None, Query(max_length=20, description="key=value; several: each of them must be there.")
    ] = None,
    name: Annotated[str | None, Query(max_length=200, description="What the name begins with.")] = None,
    called: Annotated[
        str | None, Query(min_length=1, max_length=200, description="What the id begins with, or the whole name.")
    ] = None,
    created_after: Annotated[datetime | None, Query(description="Not before this time.")] = None,
    created_before: Annotated[datetime | None, Query(description="Before this time.")] = None,
    archived: Annotated[bool | None, Query(description="false: only what is still in the cluster.")] = None,
    sort: Annotated[
        str, Query(max_length=20, description="-created or created; also name and -name with archived=false.")
    ] = "-created",
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: str | None = None,
    min_resource_version: int | None = None,
) -> Response:
    """Work of every kind, live, archived, or made by others in the tenant's namespace, in one order, newest first."""
    if min_resource_version is not None:
        await parts.history.wait_for(parts.stores.jobs, min_resource_version)
    asked = object_name(tenant) if tenant else None
    scope = None if who.admin and asked is None else who.tenant_for(asked)
    if tenant and who.admin:
        await require_tenant(parts, tenant)
    tags = tuple(_pair(each) for each in tag or ())
    after, before = _aware(created_after), _aware(created_before)
    wanted = Filter(scope, kind, _status(status), name, tags, after, before, archived, called)
    found = await page(parts, wanted, limit=limit, cursor=cursor, sort=sort)
    store = parts.stores.jobs
    return answer(
        {
            "items": found.items,
            "cursor": found.cursor,
            **found.remarks(),
            "resource_version": str(store.version),
            "age_seconds": round(store.age, 3),
        },
        headers=_freshness(parts),
    )


@router.get("/{id}")
async def get_job(id: str, who: Who, parts: Parts, min_resource_version: int | None = None) -> Response:
    if min_resource_version is not None:
        await parts.history.wait_for(parts.stores.jobs, min_resource_version)
    return answer(await full_record(parts, await find(parts, who, id)), headers=_freshness(parts))


@router.post("/{id}/stop", status_code=202)
async def stop_job(id: str, who: Who, parts: Parts) -> Response:
    """Ask for a job's end; what is over stays as it is."""
    found = await find(parts, who, id)
    _require_person(who)
    if found.job is None:
        return answer(found.record)
    try:
        stopping = await commands.request_stop(parts, found.job, f"Stopped by {who.name}.")
    except NotFound:
        return answer((await gone(parts, found)).record)
    return answer(await full_record(parts, replace(found, job=stopping)), 202)


_When = Annotated[
    str | None, Query(max_length=50, description="A time with its zone (RFC 3339), or how long ago: 90s, 10m, 2h, 1d.")
]


@router.post("/{id}/rerun", status_code=202)
async def rerun_job(
    id: str, who: Who, parts: Parts, idempotency_key: IdempotencyKey = None, key_made: KeyMade = None
) -> Response:
    """A new job of the same request, also of one that is archived. Safe to retry with an idempotency key."""
    found = await find(parts, who, id)
    _require_person(who)
    target = await commands.tenant_for_work(parts, who, tenant_id(parts, found.tenant) if who.admin else None)
    kind = model.kind_of(found.job) if found.job else found.record.kind if found.record else "job"
    request = found.request or JobRequest(name="", image="")
    return await accepted(
        parts, await commands.rerun(parts, target, id, kind, request, idempotency_key, _aware(key_made))
    )


@router.delete("/{id}", status_code=204)
async def delete_job(id: str, who: Who, parts: Parts, purge: bool = False) -> Response:
    """Show it no more, at once; what runs is stopped. With `purge` record, log and files go too, when it has ended."""
    _require_person(who)
    found = await find_deletable(parts, who, id)
    if found.job is not None:
        try:
            hidden = await commands.hide(parts, found.job, f"Deleted by {who.name}.", purge=purge)
        except NotFound:
            found = await gone(parts, found)
        else:
            await parts.stores.jobs.has_seen(hidden.metadata.resource_version)
            return Response(status_code=204)
    if purge:
        await parts.archive.removal.purge(found.tenant, id)
    elif found.record is not None:
        await parts.archive.index.hide(found.tenant, found.record.uid)
    return Response(status_code=204)


@router.get("/{id}/events")
async def get_events(id: str, who: Who, parts: Parts) -> Response:
    """What happened to a job, in order, from its conditions, its pods and Kubernetes' Events; also after its end."""
    return answer(await events_of(parts, await find(parts, who, id)), headers=_freshness(parts))


@router.get("/{tenant_id}/job/{name}")
async def get_foreign_job(tenant_id: str, name: str, who: Who, parts: Parts) -> Response:
    """A Job that others made in a tenant's namespace, by the id that lists show of it."""
    found = find_foreign(parts, who, tenant_id, name)
    return answer(await full_record(parts, found), headers=_freshness(parts))


@router.post("/{tenant_id}/job/{name}/stop", status_code=202)
async def stop_foreign_job(tenant_id: str, name: str, who: Who, parts: Parts) -> Response:
    """End a Job that others made, because you ask for it: whoever made it is told by the Job's condition."""
    found = find_foreign(parts, who, tenant_id, name)
    assert found.job is not None
    stopping = await commands.request_stop(parts, found.job, f"Stopped by {who.name}.")
    return answer(await full_record(parts, replace(found, job=stopping)), 202)


@router.get("/{id}/logs")
async def logs(
    id: str,
    request: Request,
    who: Who,
    parts: Parts,
    follow: Annotated[bool, Query(description="Go on with what is written, until the job is over.")] = False,
    since: _When = None,
    until: _When = None,
    tail: Annotated[
        int | None,
        Query(
            ge=0,
            le=1_000_000,
            description="Only the last lines; of those that are searched for at most 16 MiB of them.",
        ),
    ] = None,
    search: Annotated[str | None, Query(max_length=500, description="Only lines that hold this text.")] = None,
    regex: Annotated[bool, Query(description="The text is a regular expression, of RE2's syntax.")] = False,
    context: Annotated[int, Query(ge=0, le=1000, description="Lines around each that holds it, 1 MiB at most.")] = 0,
    timestamps: Annotated[bool, Query(description="Each line behind the time at which it was written.")] = False,
    previous: Annotated[bool, Query(description="Of the attempt before the last one.")] = False,
    container: Annotated[str | None, Query(pattern="^[a-z0-9-]{1,63}$")] = None,
    offset: Annotated[
        int | None, Query(ge=0, le=1 << 60, description="From this byte on; it stays the same byte for life.")
    ] = None,
    late: Annotated[bool, Query(description="Only what came when the log was closed already.")] = False,
    index: Annotated[
        int | None,
        Query(
            ge=0,
            le=9_999,
            examples=[7],
            description="Of an indexed job: only the log of this index, over its attempts.",
        ),
    ] = None,
) -> Response:
    """The log as plain text; one URL while it runs, after its pod is gone and after the job is gone.

    `X-Longshore-Log-Complete` says whether this is all of it, `X-Longshore-Log-Gaps` why not, and
    `X-Longshore-Log-Offset` at which byte the answer begins: whoever was cut off asks for what comes after the bytes
    that he has.
    """
    wish = Wish(
        follow, tail, since, until, search, context, timestamps, previous, container, offset, late, regex, index
    )
    return await log.respond(parts, who, id, wish, asked_again(request))


def _aware(time: datetime | None) -> datetime | None:
    """A time without a zone is UTC."""
    return time.replace(tzinfo=UTC) if time is not None and time.tzinfo is None else time


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise UserMistake(f"the tag {text[:50]!r} has no value", hint="write it as key=value", field="tag")
    return key, value


def _status(text: str | None) -> str | None:
    if text is None:
        return None
    known = {status.value.lower(): status.value for status in model.Status}
    if text.lower() not in known:
        raise UserMistake(
            f"there is no status {text[:20]!r}", hint=f"use one of: {', '.join(known.values())}", field="status"
        )
    return known[text.lower()]


def _freshness(parts: Services) -> dict[str, str]:
    """At which version of the cluster this replica is, and when it last heard of it, in seconds (`Age`: RFC 9111)."""
    store = parts.stores.jobs
    return {"Age": str(int(store.age)), "Longshore-Resource-Version": str(store.version)}


def _require_person(who: Caller) -> None:
    if who.pod is not None:
        raise Forbidden("a pod's token opens only its own inputs, outputs and progress")
