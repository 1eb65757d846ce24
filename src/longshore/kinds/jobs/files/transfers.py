"""Big files, in parts: `POST transfers` says which are wanted and where each goes, `.../finish` makes them a file.

A URL that begins with a slash is the API's own and wants the caller's credential; any other is the store's, good for
15 minutes, and must be given none. `exchange` has the runner's other routes, `uploads` the same for people.
"""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from longshore.archive.transfers import Announced, transfer_id
from longshore.errors import Conflict
from longshore.kinds.jobs.files.exchange import Sha256, own_job, place_of
from longshore.kinds.jobs.find import find
from longshore.kinds.kind import Parts, Services
from longshore.web.answers import answer
from longshore.web.auth import Who
from longshore.web.uploads import declared_bytes, read_stream

router = APIRouter(prefix="/v1/jobs/{id}", tags=["artifacts"])

_HEX = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
TransferId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
PartNumber = Annotated[int, Path(ge=0, lt=10_000)]
GB = 10**9


class FileInput(BaseModel):
    """A file that is to be sent: its name, bytes and sha256."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(min_length=1, max_length=512)
    size: int = Field(ge=0)
    sha256: _HEX

    def announced(self) -> Announced:
        return Announced(self.name, self.size, self.sha256)


class SentInput(FileInput):
    """A file all of whose parts were sent, and the sha256 of each part."""

    parts: list[_HEX] = Field([], max_length=10_000)


@router.post("/transfers", status_code=201)
async def open_transfer(id: str, body: FileInput, who: Who, parts: Parts) -> Response:
    """Begin to send one output, or go on with it: which parts are there already, and where the others go."""
    found = await own_job(parts, who, id)
    return await opened(parts, found.tenant, id, "outputs", body, f"/v1/jobs/{id}")


@router.put("/transfers/{transfer}/{number}", status_code=204)
async def put_part(
    id: str, transfer: TransferId, number: PartNumber, request: Request, who: Who, parts: Parts, sha256: Sha256 = None
) -> Response:
    """One part, where the store takes none itself."""
    found = await own_job(parts, who, id)
    return await took(parts, found.tenant, id, transfer, number, request, sha256)


@router.post("/transfers/{transfer}/finish", status_code=201)
async def finish_transfer(id: str, transfer: TransferId, body: SentInput, who: Who, parts: Parts) -> Response:
    """Check all parts and make them the file; may be asked again."""
    found = await own_job(parts, who, id)
    return await finished(parts, found.tenant, id, "outputs", transfer, body)


@router.get("/sources/{area}/{name:path}")
async def sources(id: str, area: str, name: str, who: Who, parts: Parts) -> Response:
    """Where to read a file of a job, piece by piece; each takes a Range, so that reading can go on where it broke."""
    found = await find(parts, who, id)
    place = place_of(found, area, name)
    artifact = await parts.archive.artifacts.stat(*place)
    pieces = await parts.archive.transfers.sources(place[0], place[1], place[2], artifact)
    if pieces and pieces[0].url is None:
        kind = "artifacts" if area == "outputs" else "inputs"
        whole = {"offset": 0, "size": artifact.size, "url": f"/v1/jobs/{id}/{kind}/{quote(name)}"}
        listed: list[Any] = [whole]
    else:
        listed = list(pieces)
    return answer({"name": name, "size": artifact.size, "sha256": artifact.sha256, "pieces": listed})


async def opened(parts: Services, tenant: str, id: str, area: str, body: FileInput, base: str) -> Response:
    transfer = await parts.archive.transfers.open(tenant, id, area, body.announced())
    if not transfer.done:
        missing = [part for part in transfer.parts if not part.is_here]
        # what comes through the API is counted as it comes
        signed = any(part.url is not None for part in missing)
        await take(parts, tenant, id, sum(part.size for part in missing), count=signed)
    listed = [
        {
            "number": p.number,
            "offset": p.offset,
            "size": p.size,
            "here": p.is_here,
            "url": p.url or _own(base, transfer.id, p.number),
        }
        for p in transfer.parts
    ]
    return answer({"id": transfer.id, "done": transfer.done, "parts": listed}, 200 if transfer.done else 201)


async def took(
    parts: Services, tenant: str, id: str, transfer: str, number: int, request: Request, sha256: str | None
) -> Response:
    most = parts.archive.transfers.part
    await take(parts, tenant, id, declared_bytes(request, most))
    body = read_stream(request, max_bytes=most)
    await parts.archive.transfers.put(tenant, id, transfer, number, body, sha256)
    return Response(status_code=204)


async def finished(parts: Services, tenant: str, id: str, area: str, transfer: str, body: SentInput) -> Response:
    if transfer != transfer_id(area, body.announced()):
        raise Conflict(
            "this transfer is of another file", hint="finish it with the name, size and sha256 it began with"
        )
    kept = await parts.archive.transfers.finish(tenant, id, area, body.announced(), body.parts)
    return answer({"name": kept.name, "size": kept.size, "sha256": kept.sha256}, 201)


async def take(parts: Services, tenant: str, id: str, size: int, *, count: bool = True) -> None:
    """Count what is about to come against the limits; TooLarge."""
    job, whole = parts.settings.job_files_max_gb * GB, parts.settings.tenant_files_max_gb * GB
    await parts.archive.usage.take(tenant, id, size, job_most=job, tenant_most=whole, count=count)


def _own(base: str, transfer: str, number: int) -> str:
    return f"{base}/transfers/{transfer}/{number}"
