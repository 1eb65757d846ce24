"""The API of the SUMO controller that simulations replace: `POST /jobs`, `GET /jobs/{id}`, `/jobs/{id}/logs`.

Same paths, fields and status words; what was PostgreSQL and a 30 s loop is gone (decisions/0001).
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from longshore.errors import BadUpload, NotFound, TooLarge, UserMistake
from longshore.kinds.jobs.find import find, full_record, known
from longshore.kinds.jobs.logs import answer as log
from longshore.kinds.jobs.logs.wish import Wish
from longshore.kinds.jobs.model import Status
from longshore.kinds.kind import Parts
from longshore.kinds.simulations import commands
from longshore.kinds.simulations.model import KIND
from longshore.web.answers import answer
from longshore.web.auth import Who

router = APIRouter(prefix="/jobs", tags=["sumo-k8"])

WORDS = {
    Status.QUEUED: "QUEUED",
    Status.PENDING: "PENDING",
    Status.RUNNING: "RUNNING",
    Status.SUCCEEDED: "SUCCEEDED",
    Status.FAILED: "FAILED",
    Status.STOPPED: "FAILED",
}


@router.post("")
async def submit(request: Request, who: Who, parts: Parts, tenant: str | None = None) -> Response:
    """Submit a scenario; what is wrong with it is 400 here, as it was."""
    try:
        result, upload = await commands.submit_form(parts, who, request, tenant=tenant, key=None)
    except (TooLarge, BadUpload):
        raise
    except UserMistake as mistake:
        raise BadUpload(mistake.message, hint=mistake.hint, field=mistake.field) from None
    await known(parts, result)
    body = {"job_id": result.id, "status": "PENDING", "config_file": upload.config}
    return answer(body, headers={"Location": f"/jobs/{result.id}"})


@router.get("/{job_id}")
async def get_job(job_id: str, who: Who, parts: Parts) -> Response:
    record = await full_record(parts, await find(parts, who, job_id))
    if record.kind != KIND:
        raise NotFound(f"there is no simulation {job_id[:64]!r}")
    body: dict[str, Any] = {
        "job_id": record.id,
        "scenario_id": record.name,
        "status": WORDS[record.status],
        "reason": record.reason,
        "message": record.message,
        "submitted_at": record.created,
        "started_at": record.started,
        "finished_at": record.finished,
        "cpu_request": record.resources.cpu,
        "memory_request": record.resources.memory,
        "progress": record.progress,
    }
    return answer(body)


@router.get("/{job_id}/logs")
async def logs(
    job_id: str, who: Who, parts: Parts, tail: Annotated[int | None, Query(ge=0, le=1_000_000)] = None
) -> Response:
    """The log so far as plain text."""
    return await log.respond(parts, who, job_id, Wish(tail=tail))
