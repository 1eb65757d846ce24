"""What the routes of files answer, for the API's document: what a job takes in and gives out, whole or in parts."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from msgspec import Struct

from longshore.archive.uploads import Upload
from longshore.kinds.jobs.openapi import AT, ID
from longshore.web.openapi import Answer, Operation, Operations


class FileRow(Struct, frozen=True):
    """A file: bytes, and sha256 in hex."""

    name: str
    size: int
    sha256: str


class ArtifactRow(FileRow, frozen=True):
    """A file that a job keeps, and where to read it."""

    url: str


class ArtifactRows(Struct, frozen=True):
    """The files of one job."""

    items: tuple[ArtifactRow, ...]


class UploadRow(Struct, frozen=True):
    """A place for files, until it expires."""

    id: str
    expires: datetime
    items: tuple[FileRow, ...]


class PartRow(Struct, frozen=True):
    """One part of a transfer. A `url` that begins with a slash is the API's own, any other takes no credential."""

    number: int
    offset: int
    size: int
    here: bool
    url: str


class TransferRow(Struct, frozen=True):
    """How to send a file in parts; `done`: it is there already."""

    id: str
    done: bool
    parts: tuple[PartRow, ...]


class Piece(Struct, frozen=True):
    """Some bytes of a file, and where to read them."""

    offset: int
    size: int
    url: str


class Sources(Struct, frozen=True):
    """Where to read a file, piece by piece."""

    name: str
    size: int
    sha256: str
    pieces: tuple[Piece, ...]


_SHA: Final = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
_URL: Final = f"/v1/jobs/{ID}/artifacts/result.csv"
_TRANSFER_ID: Final = "0cc175b9c0f1b6a831c399e269772661"
FILES: Final = Answer(
    schema=ArtifactRows, example=ArtifactRows((ArtifactRow("result.csv", 1024, _SHA, _URL),)), says="The files."
)
_BYTES: Final = {"type": "string", "format": "binary"}
_STREAM: Final = {"application/octet-stream": {"schema": _BYTES, "example": "a,b\n1,2\n"}}
_READ: Final = Operation(
    answers={
        200: Answer(schema=_BYTES, media="application/octet-stream", says="The file."),
        206: Answer(schema=_BYTES, media="application/octet-stream", says="The range of it that was asked for."),
    },
    problems=(416,),
)
_KEPT: Final = Answer(schema=FileRow, example=FileRow("result.csv", 1024, _SHA), says="Kept.")
_WRITTEN: Final = Operation(body=_STREAM, answers={201: _KEPT}, problems=(400, 409, 413))
_DONE: Final = Answer(says="Done.")
_PARTS: Final = TransferRow(_TRANSFER_ID, False, (PartRow(0, 0, 1024, False, f"/v1/jobs/{ID}/transfers/x/0"),))
_FILE: Final[dict[str, Any]] = {"name": "result.csv", "size": 1024, "sha256": _SHA}
_OPENED: Final = Operation(
    request=_FILE,
    answers={
        201: Answer(schema=TransferRow, example=_PARTS, says="Begun, or gone on with."),
        200: Answer(schema=TransferRow, example=TransferRow(_TRANSFER_ID, True, ()), says="The file is there already."),
    },
    problems=(409,),
)
_PART: Final = Operation(body=_STREAM, answers={204: _DONE}, problems=(400, 409, 413))
_FINISHED: Final = Operation(request=_FILE | {"parts": [_SHA]}, answers={201: _KEPT}, problems=(409,))

OPERATIONS: Final[Operations] = {
    "GET /v1/jobs/{id}/artifacts": Operation(answers={200: FILES}),
    "GET /v1/jobs/{id}/artifacts/{name}": _READ,
    "GET /v1/jobs/{id}/inputs/{name}": _READ,
    "PUT /v1/jobs/{id}/artifacts/{name}": _WRITTEN,
    "GET /v1/jobs/{id}/sources/{area}/{name}": Operation(
        answers={
            200: Answer(
                schema=Sources,
                example=Sources("result.csv", 1024, _SHA, (Piece(0, 1024, _URL),)),
                says="The pieces, in order.",
            )
        }
    ),
    "POST /v1/jobs/{id}/progress": Operation(
        request={"fraction": 0.5, "stage": "train", "message": "epoch 5 of 10", "values": {"loss": 0.25}},
        answers={204: _DONE},
    ),
    "POST /v1/jobs/{id}/outputs": Operation(
        request={"outputs": "complete", "files": [{"name": "result.csv", "size": 1024}]}, answers={204: _DONE}
    ),
    "POST /v1/jobs/{id}/transfers": _OPENED,
    "PUT /v1/jobs/{id}/transfers/{transfer}/{number}": _PART,
    "POST /v1/jobs/{id}/transfers/{transfer}/finish": _FINISHED,
    "POST /v1/uploads": Operation(
        answers={201: Answer(schema=Upload, example=Upload(ID, AT), says="The place.")}, problems=(429,)
    ),
    "GET /v1/uploads/{id}": Operation(
        answers={
            200: Answer(
                schema=UploadRow, example=UploadRow(ID, AT, (FileRow("a.csv", 1024, _SHA),)), says="What is there."
            )
        }
    ),
    "DELETE /v1/uploads/{id}": Operation(answers={204: _DONE}),
    "PUT /v1/uploads/{id}/files/{name}": _WRITTEN,
    "POST /v1/uploads/{id}/transfers": _OPENED,
    "PUT /v1/uploads/{id}/transfers/{transfer}/{number}": _PART,
    "POST /v1/uploads/{id}/transfers/{transfer}/finish": _FINISHED,
}
