"""What a job takes in and gives out over HTTP: inputs and progress for its runner, outputs for both.

A pod's token opens its own job only; `find.live` sees to that.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal
from urllib.parse import quote

import msgspec
from fastapi import APIRouter, Header
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from longshore.errors import Forbidden
from longshore.kinds.jobs import model
from longshore.kinds.jobs.find import Found, find, progress_topic
from longshore.kinds.kind import Parts, Services
from longshore.web.answers import answer
from longshore.web.auth import Caller, Who
from longshore.web.uploads import read_stream

router = APIRouter(prefix="/v1/jobs/{id}", tags=["artifacts"])

MAX_ARTIFACT_BYTES = 10 << 30
Sha256 = Annotated[str | None, Header(alias="X-Content-SHA256", pattern="^[0-9a-f]{64}$")]


class ProgressInput(BaseModel):
    """How far a job is; `fraction` from 0 to 1 where it can be known."""

    model_config = ConfigDict(extra="ignore")
    fraction: float | None = Field(None, ge=0, le=1)
    stage: str = Field("", max_length=100)
    message: str = Field("", max_length=500)
    values: dict[Annotated[str, Field(max_length=100)], float] = Field({}, max_length=50)


class ManifestInput(BaseModel):
    """The last word of the sidecar: what it sent, and whether that is all."""

    model_config = ConfigDict(extra="ignore")
    outputs: Literal["complete", "partial", "missing"]
    why: str | None = Field(None, max_length=2000)
    files: list[dict[str, Any]] = Field([], max_length=100_000)


@router.get("/artifacts")
async def list_artifacts(id: str, who: Who, parts: Parts) -> Response:
    """What the job gave out so far."""
    return answer({"items": await listed(parts, await find(parts, who, id))})


async def listed(parts: Services, found: Found) -> list[dict[str, Any]]:
    kept = await parts.archive.artifacts.list(found.tenant, found.id, "outputs")
    return [{**msgspec.to_builtins(a), "url": f"/v1/jobs/{found.id}/artifacts/{quote(a.name)}"} for a in kept]


@router.get("/artifacts/{name:path}")
async def get_artifact(id: str, name: str, who: Who, parts: Parts) -> Response:
    """One file, always as a download: what a job made is never a page of ours."""
    return await _file(parts, await find(parts, who, id), "outputs", name)


@router.get("/inputs/{name:path}")
async def get_input(id: str, name: str, who: Who, parts: Parts) -> Response:
    found = await find(parts, who, id)
    request = found.request
    for item in request.inputs if request else ():
        if item.job and item.handle == name:
            # by reference: another job's of the same tenant, as was checked when this one was taken in
            return await _file(parts, replace(found, id=item.job), item.area, item.artifact)
    return await _file(parts, found, "inputs", name)


@router.put("/artifacts/{name:path}", status_code=201)
async def put_artifact(id: str, name: str, request: Request, who: Who, parts: Parts, sha256: Sha256 = None) -> Response:
    """Keep one output, streamed; only the job's own runner may."""
    found = await _own(parts, who, id)
    body = read_stream(request, max_bytes=MAX_ARTIFACT_BYTES)
    kept = await parts.archive.artifacts.put(found.tenant, found.id, "outputs", name, body, sha256=sha256)
    return answer(kept, 201)


@router.post("/progress", status_code=204)
async def report_progress(id: str, body: ProgressInput, who: Who, parts: Parts) -> Response:
    """Say how far the job is; kept in memory only, the newest wins."""
    await _own(parts, who, id)
    parts.bus.publish(progress_topic(id), {**body.model_dump(), "at": parts.now()})
    return Response(status_code=204)


@router.post("/outputs", status_code=204)
async def finish_outputs(id: str, body: ManifestInput, who: Who, parts: Parts) -> Response:
    """The manifest of what was sent; it ends the job's giving out."""
    found = await _own(parts, who, id)
    await parts.archive.artifacts.put_manifest(found.tenant, found.id, msgspec.json.encode(body.model_dump()))
    return Response(status_code=204)


async def _own(parts: Services, who: Caller, id: str) -> Found:
    """The job, if the caller is a pod of it and its record is not written yet."""
    found = await find(parts, who, id)
    if who.pod is None:
        raise Forbidden("only the job's own runner writes here", hint="name the files in the job's outputs")
    if found.job is None or model.FINALIZER not in found.job.metadata.finalizers:
        raise Forbidden("this job is archived already; nothing is added to it")
    return found


async def _file(parts: Services, found: Found, area: str, name: str) -> Response:
    artifacts = parts.archive.artifacts
    kept = await artifacts.stat(found.tenant, found.id, area, name)
    headers = {
        "Content-Length": str(kept.size),
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name.rpartition('/')[2])}",
        "X-Content-SHA256": kept.sha256,
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }
    body = artifacts.stream(found.tenant, found.id, area, name)
    return StreamingResponse(body, media_type="application/octet-stream", headers=headers)
