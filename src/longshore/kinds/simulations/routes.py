"""/v1/simulations: SUMO scenarios in, results out; everything else about them is at /v1/jobs."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Header
from starlette.requests import Request
from starlette.responses import Response

from longshore.errors import Conflict, NotFound
from longshore.kinds.jobs.files.exchange import listed
from longshore.kinds.jobs.find import Found, accepted, find, full_record
from longshore.kinds.jobs.record import JobRecord
from longshore.kinds.kind import Parts, Services
from longshore.kinds.simulations import commands, results
from longshore.kinds.simulations.model import KIND
from longshore.web.answers import answer
from longshore.web.auth import Caller, Who

router = APIRouter(prefix="/v1/simulations", tags=["simulations"])

IdempotencyKey = Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=200)]


@router.post("", status_code=202)
async def submit(
    request: Request, who: Who, parts: Parts, tenant: str | None = None, idempotency_key: IdempotencyKey = None
) -> Response:
    """Submit a scenario: a multipart form with the ZIP as `sumo_files` and `scenario_id`."""
    result, _ = await commands.submit_form(parts, who, request, tenant=tenant, key=idempotency_key)
    return await accepted(parts, result)


@router.get("/{id}/results")
async def list_results(id: str, who: Who, parts: Parts) -> Response:
    """The files that the run left, with sizes and links."""
    found, _ = await _simulation(parts, who, id)
    return answer({"items": await listed(parts, found)})


@router.get("/{id}/summary")
async def summary(id: str, who: Who, parts: Parts) -> Response:
    """Vehicles, travel and waiting times of the whole run."""
    found, record = await _simulation(parts, who, id)
    if not record.status.final:
        raise Conflict(f"simulation {id} is not over yet", hint=f"its progress is at /v1/jobs/{id}")
    return answer(await _read_results(parts, found))


async def _read_results(parts: Services, found: Found) -> results.Summary:
    """Read the outputs there are, chunk by chunk; they may be large and parsing is kept off the event loop."""
    reading = results.Reading()
    kept = {artifact.name for artifact in await parts.archive.artifacts.list(found.tenant, found.id, "outputs")}
    for name in results.FILES:
        if name in kept:
            async for chunk in parts.archive.artifacts.stream(found.tenant, found.id, "outputs", name):
                await asyncio.to_thread(reading.feed, name, chunk)
    return reading.summary()


async def _simulation(parts: Services, who: Caller, id: str) -> tuple[Found, JobRecord]:
    found = await find(parts, who, id)
    record = await full_record(parts, found)
    if record.kind != KIND:
        raise NotFound(f"there is no simulation {id[:64]!r}", hint="list yours with 'longshore list'")
    return found, record
