"""Bodies of bounded size: forms with files, and raw streams; knows no kind."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable

from python_multipart.exceptions import FormParserError
from starlette.datastructures import FormData, Headers
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from longshore.errors import TooLarge, UserMistake
from longshore.web.problems import problem

# what a form has beside its file
FORM_SLACK = 1 << 20


async def read_form(request: Request, *, max_bytes: int) -> FormData:
    """The multipart form of this request, files spooled to disk. Raises TooLarge past `max_bytes` of body."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise UserMistake("a multipart form is expected", hint="send it with curl -F name=value -F file=@path")
    _refuse_declared(request, max_bytes + FORM_SLACK)
    body = _bounded(request, max_bytes + FORM_SLACK)
    parser = MultiPartParser(request.headers, body, max_files=4, max_fields=200, max_part_size=FORM_SLACK)
    try:
        return await parser.parse()
    except _TooLong:
        raise _too_large(max_bytes) from None
    except _CutOff as cut:
        raise cut.why from None
    except (MultiPartException, FormParserError) as error:
        raise UserMistake(f"the form cannot be read: {error}", hint="was it cut off on the way?") from None


class _TooLong(MultiPartException):
    """The parser closes its temporary files at exceptions of its own kind only."""


class _CutOff(MultiPartException):
    """The body goes on no more, or is not waited for."""

    def __init__(self, why: Exception) -> None:
        super().__init__(str(why))
        self.why = why


async def _bounded(request: Request, max_bytes: int) -> AsyncGenerator[bytes, None]:
    """The body, up to a number of bytes, also when its length was not declared."""
    left = max_bytes
    try:
        async for chunk in request.stream():
            left -= len(chunk)
            if left < 0:
                raise _TooLong("too long")
            yield chunk
    except (HTTPException, ClientDisconnect) as why:
        raise _CutOff(why) from None


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


class BoundedBodies:
    """ASGI middleware: no body over `max_bytes`, whoever sends it, but on the routes that read theirs as a stream.

    What FastAPI reads it keeps in memory.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, streamed: Callable[[str, str], bool]) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._streamed = streamed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._streamed(scope["method"], scope["path"]):
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdigit() and int(declared) > self._max_bytes:
            hint = "large values belong into files: pass them as inputs"
            detail = f"the body has more than {self._max_bytes >> 10} KiB"
            await problem(Request(scope), 413, detail, hint=hint)(scope, receive, send)
            return
        await self._app(scope, self._counting(receive), send)

    def _counting(self, receive: Receive) -> Receive:
        left = self._max_bytes

        async def counted() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise HTTPException(413, f"the body has more than {self._max_bytes >> 10} KiB")
            return message

        return counted


def declared_bytes(request: Request, most: int) -> int:
    """What the body will have by its own header; `most` where it does not say."""
    declared = request.headers.get("content-length", "")
    return min(int(declared), most) if declared.isdigit() else most


def _refuse_declared(request: Request, max_bytes: int) -> None:
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > max_bytes:
        raise _too_large(max_bytes)


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f"the upload has more than {max_bytes >> 20} MiB", hint="leave out what the job does not need")
