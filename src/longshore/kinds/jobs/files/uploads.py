"""/v1/uploads: files that come before the job that takes them. A job names them as `upload/{id}/{name}`."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from longshore.kinds.jobs import commands
from longshore.kinds.jobs.files.exchange import MAX_ARTIFACT_BYTES, Sha256, described
from longshore.kinds.jobs.files.transfers import (
    FileInput,
    PartNumber,
    SentInput,
    TransferId,
    finished,
    opened,
    take,
    took,
)
from longshore.kinds.kind import Parts, Services
from longshore.web.answers import answer
from longshore.web.auth import Caller, Who
from longshore.web.uploads import declared_bytes, read_stream

router = APIRouter(prefix="/v1/uploads", tags=["uploads"])
AREA = "inputs"


@router.post("", status_code=201)
async def reserve(who: Who, parts: Parts, tenant: str | None = None) -> Response:
    """A new place for files, good for a day."""
    owner = (await commands.tenant_for_work(parts, who, tenant)).metadata.name
    return answer(await parts.archive.uploads.reserve(owner, parts.now()), 201)


@router.get("/{id}")
async def get_upload(id: str, who: Who, parts: Parts, tenant: str | None = None) -> Response:
    """Until when it is good, and the files in it."""
    owner = (await commands.tenant_for_work(parts, who, tenant)).metadata.name
    upload = await parts.archive.uploads.require(owner, id, parts.now())
    files = await parts.archive.artifacts.list(owner, id, AREA)
    return answer({"id": id, "expires": upload.expires, "items": [described(file) for file in files]})


@router.delete("/{id}", status_code=204)
async def delete_upload(id: str, who: Who, parts: Parts, tenant: str | None = None) -> Response:
    """Remove it; jobs that took its files have copies of their own."""
    owner = await _place(parts, who, tenant, id)
    await parts.archive.uploads.delete(owner, id)
    return Response(status_code=204)


@router.put("/{id}/files/{name:path}", status_code=201)
async def put_file(
    id: str, name: str, request: Request, who: Who, parts: Parts, tenant: str | None = None, sha256: Sha256 = None
) -> Response:
    """One file in one piece; large ones are better sent as a transfer, which can go on where it broke."""
    owner = await _place(parts, who, tenant, id)
    await take(parts, owner, id, declared_bytes(request, MAX_ARTIFACT_BYTES))
    body = read_stream(request, max_bytes=MAX_ARTIFACT_BYTES)
    kept = await parts.archive.artifacts.put(owner, id, AREA, name, body, sha256=sha256)
    return answer(described(kept), 201)


@router.post("/{id}/transfers", status_code=201)
async def open_transfer(id: str, body: FileInput, who: Who, parts: Parts, tenant: str | None = None) -> Response:
    """Begin to send one file in parts, or go on with it."""
    owner = await _place(parts, who, tenant, id)
    return await opened(parts, owner, id, AREA, body, f"/v1/uploads/{id}")


@router.put("/{id}/transfers/{transfer}/{number}", status_code=204)
async def put_part(
    id: str,
    transfer: TransferId,
    number: PartNumber,
    request: Request,
    who: Who,
    parts: Parts,
    tenant: str | None = None,
    sha256: Sha256 = None,
) -> Response:
    """One part, where the store takes none itself."""
    owner = await _place(parts, who, tenant, id)
    return await took(parts, owner, id, transfer, number, request, sha256)


@router.post("/{id}/transfers/{transfer}/finish", status_code=201)
async def finish_transfer(
    id: str,
    transfer: TransferId,
    body: SentInput,
    who: Who,
    parts: Parts,
    tenant: str | None = None,
) -> Response:
    """Check all parts and make them the file; may be asked again."""
    owner = await _place(parts, who, tenant, id)
    return await finished(parts, owner, id, AREA, transfer, body)


async def _place(parts: Services, who: Caller, tenant: str | None, id: str) -> str:
    """The tenant whose upload this is; NotFound alike for none and another tenant's."""
    owner = (await commands.tenant_for_work(parts, who, tenant)).metadata.name
    await parts.archive.uploads.require(owner, id, parts.now())
    return owner
