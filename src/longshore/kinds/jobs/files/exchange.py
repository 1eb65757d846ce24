"""What a job takes in and gives out over HTTP: inputs and progress for its runner, outputs for both.

A pod's token opens its own job only; `find.live` sees to that.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import quote

import msgspec
from fastapi import APIRouter, Header
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from longshore.archive.artifacts import Artifact
from longshore.errors import Forbidden
from longshore.kinds.jobs import model
from longshore.kinds.jobs.find import Found, find, heartbeat_topic, progress_topic
from longshore.kinds.jobs.request import UPLOAD
from longshore.kinds.kind import Parts, Services
from longshore.web.answers import answer
from longshore.web.auth import Caller, Who
from longshore.web.ranges import byte_range
from longshore.web.uploads import declared_bytes, read_stream

router = APIRouter(prefix="/v1/jobs/{id}", tags=["artifacts"])

# of one request; larger files come in parts (`transfers`), and an S3 store copies no larger object
MAX_ARTIFACT_BYTES = 5 << 30
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
    return [{**described(a), "url": f"/v1/jobs/{found.id}/artifacts/{quote(a.name)}"} for a in kept]


def described(artifact: Artifact) -> dict[str, Any]:
    """What people are told of a file; how it is stored is no part of that."""
    return {"name": artifact.name, "size": artifact.size, "sha256": artifact.sha256}


@router.get("/artifacts/{name:path}")
async def get_artifact(id: str, name: str, request: Request, who: Who, parts: Parts) -> Response:
    """One file, always as a download: what a job made is never a page of ours. Takes one Range of bytes."""
    return await _file(parts, place_of(await find(parts, who, id), "outputs", name), request)


@router.get("/inputs/{name:path}")
async def get_input(id: str, name: str, request: Request, who: Who, parts: Parts) -> Response:
    """One file that the job was given. Takes one Range of bytes."""
    return await _file(parts, place_of(await find(parts, who, id), "inputs", name), request)


@router.put("/artifacts/{name:path}", status_code=201)
async def put_artifact(id: str, name: str, request: Request, who: Who, parts: Parts, sha256: Sha256 = None) -> Response:
    """Keep one output, streamed; only the job's own runner may."""
    found = await own_job(parts, who, id)
    await parts.archive.usage.take(
        found.tenant,
        id,
        declared_bytes(request, MAX_ARTIFACT_BYTES),
        job_most=parts.settings.job_files_max_gb * 10**9,
        tenant_most=parts.settings.tenant_files_max_gb * 10**9,
    )
    body = read_stream(request, max_bytes=MAX_ARTIFACT_BYTES)
    kept = await parts.archive.artifacts.put(found.tenant, found.id, "outputs", name, body, sha256=sha256)
    return answer(described(kept), 201)


@router.post("/progress", status_code=204)
async def report_progress(id: str, body: ProgressInput, who: Who, parts: Parts) -> Response:
    """Say how far the job is, and that it is alive; kept in memory only, the newest wins."""
    await own_job(parts, who, id)
    at = parts.now()
    parts.bus.publish(progress_topic(id), {**body.model_dump(), "at": at})
    parts.bus.publish(heartbeat_topic(id), {"at": at})
    return Response(status_code=204)


@router.post("/outputs", status_code=204)
async def finish_outputs(id: str, body: ManifestInput, who: Who, parts: Parts) -> Response:
    """The manifest of what was sent; it ends the job's giving out."""
    found = await own_job(parts, who, id)
    await parts.archive.artifacts.put_manifest(found.tenant, found.id, msgspec.json.encode(body.model_dump()))
    return Response(status_code=204)


async def own_job(parts: Services, who: Caller, id: str) -> Found:
    """The job, if the caller is a pod of it and its record is not written yet."""
    found = await find(parts, who, id)
    if who.pod is None:
        raise Forbidden("only the job's own runner writes here", hint="name the files in the job's outputs")
    if found.job is None or model.FINALIZER not in found.job.metadata.finalizers:
        raise Forbidden("this job is archived already; nothing is added to it")
    return found


def place_of(found: Found, area: str, name: str) -> tuple[str, str, str, str]:
    """Tenant, id, area and name of a file as it is stored. An input that is another job's is read there, by whoever
    may read this job: that it is the same tenant's was checked when this one was taken in."""
    request = found.request if area == "inputs" else None
    for item in request.inputs if request else ():
        if item.job and item.area != UPLOAD and item.handle == name:
            return found.tenant, item.job, item.area, item.artifact
    return found.tenant, found.id, area, name


async def _file(parts: Services, place: tuple[str, str, str, str], request: Request) -> Response:
    kept = await parts.archive.artifacts.stat(*place)
    headers = {
        "Accept-Ranges": "bytes",
        "ETag": f'"{kept.sha256}"',
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(kept.name.rpartition('/')[2])}",
        "X-Content-SHA256": kept.sha256,
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }
    wanted = byte_range(request.headers, kept.size, headers["ETag"])
    start, end = wanted or (0, kept.size)
    headers["Content-Length"] = str(end - start)
    if wanted:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{kept.size}"
    body = parts.archive.artifacts.stream(*place, start, end)
    return StreamingResponse(body, 206 if wanted else 200, headers, media_type="application/octet-stream")
