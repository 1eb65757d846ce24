"""Bodies of bounded size: forms with files, and raw streams; knows no kind."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.types import Message

from longshore.errors import TooLarge, UserMistake

# what a form has beside its file
FORM_SLACK = 1 << 20


async def read_form(request: Request, *, max_bytes: int) -> FormData:
    """The multipart form of this request, files spooled to disk. Raises TooLarge past `max_bytes` of body."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise UserMistake("a multipart form is expected", hint="send it with curl -F name=value -F file=@path")
    counted = Request(request.scope, _counting(request, max_bytes + FORM_SLACK))
    return await counted.form(max_files=4, max_fields=200, max_part_size=FORM_SLACK)


async def read_stream(request: Request, *, max_bytes: int) -> AsyncIterator[bytes]:
    """The raw body in chunks. Raises TooLarge past `max_bytes`."""
    _refuse_declared(request, max_bytes)
    seen = 0
    async for chunk in request.stream():
        seen += len(chunk)
        if seen > max_bytes:
            raise _too_large(max_bytes)
        if chunk:
            yield chunk


def _counting(request: Request, max_bytes: int) -> _Receive:
    _refuse_declared(request, max_bytes)
    return _Receive(request, max_bytes)


class _Receive:
    """ASGI receive that stops a body at a number of bytes, also when its length was not declared."""

    def __init__(self, request: Request, max_bytes: int) -> None:
        self._receive = request.receive
        self._left = max_bytes
        self._most = max_bytes

    async def __call__(self) -> Message:
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise _too_large(self._most)
        return message


def _refuse_declared(request: Request, max_bytes: int) -> None:
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > max_bytes:
        raise _too_large(max_bytes)


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f"the upload has more than {max_bytes >> 20} MiB", hint="leave out what the job does not need")
