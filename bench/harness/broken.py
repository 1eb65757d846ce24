"""An API server that is broken, in each of these ways on a port of its own, and counts who comes.

A real API server falls like this while it starts, is overloaded, is upgraded or has lost its authenticator, and a
proxy in front of it does; what a client then sends decides whether it gets up again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import msgspec
from aiohttp import web

from bench.harness.jobs import identity, job

VERSION = 10
JOBS = "/apis/batch/v1/jobs"
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def _refuse(code: int, reason: str, _: web.Request) -> web.StreamResponse:
    return _json(msgspec.json.encode(_status(code, reason)), code)


async def _html(_: web.Request) -> web.StreamResponse:
    return web.Response(text="<html><body>Please log in.</body></html>", content_type="text/html")


async def _truncated(_: web.Request) -> web.StreamResponse:
    return _json(_list()[:-100])


async def _silent(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError("the wait has no end")


async def _closing(request: web.Request) -> web.StreamResponse:
    """Lists well, and each watch is a 200 that ends at once."""
    return await _watched(request, b"")


async def _gone(request: web.Request) -> web.StreamResponse:
    """Lists well, and each watch says that it begins too long ago."""
    event = {"type": "ERROR", "object": _status(410, "Expired")}
    return await _watched(request, msgspec.json.encode(event) + b"\n")


async def _watched(request: web.Request, said: bytes) -> web.StreamResponse:
    if "watch" not in request.query:
        return _json(_list())
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    if said:
        await response.write(said)
    return response


MODES: dict[str, Answer] = {
    "500": partial(_refuse, 500, "InternalError"),
    "429": partial(_refuse, 429, "TooManyRequests"),
    "401": partial(_refuse, 401, "Unauthorized"),
    "403": partial(_refuse, 403, "Forbidden"),
    "html": _html,
    "truncated": _truncated,
    "silent": _silent,
    "closing": _closing,
    "gone": _gone,
}


class Counting:
    """Notes when each request came, in seconds, and answers none more once there were `most`: peers would go on."""

    def __init__(self, answer: Answer, most: int) -> None:
        self.at: list[float] = []
        self._answer = answer
        self._most = most
        self._began = time.monotonic()

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self.at.append(round(time.monotonic() - self._began, 3))
        if len(self.at) > self._most:
            return await _silent(request)
        return await self._answer(request)


@asynccontextmanager
async def serve(most: int) -> AsyncIterator[dict[str, object]]:
    """The url of each mode, and where to ask for what came."""
    counts = {mode: Counting(answer, most) for mode, answer in MODES.items()}

    async def report(_: web.Request) -> web.StreamResponse:
        return _json(msgspec.json.encode({mode: counting.at for mode, counting in counts.items()}))

    async with AsyncExitStack() as stack:
        urls = {mode: await stack.enter_async_context(_site(JOBS, counting)) for mode, counting in counts.items()}
        yield {"urls": urls, "report": await stack.enter_async_context(_site("/", report)) + "/"}


@asynccontextmanager
async def _site(path: str, answer: Answer) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get(path, answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    yield f"http://{host}:{port}"
    await runner.cleanup()


def _list() -> bytes:
    return b'{"kind":"JobList","apiVersion":"batch/v1","metadata":{"resourceVersion":"%d"},"items":[%s]}' % (
        VERSION,
        job(identity(0), VERSION),
    )


def _status(code: int, reason: str) -> dict[str, object]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "broken on purpose",
        "reason": reason,
        "code": code,
    }


def _json(body: bytes, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, content_type="application/json")
