"""`api`: a loopback HTTP server that answers from a script and remembers what it was asked."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from aiohttp import web

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Api:
    """Answers `on("GET /v1/jobs", ...)` in the order they were given; the last one again and again."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[Asked] = []
        self._script: defaultdict[str, list[Answer]] = defaultdict(list)

    def on(
        self,
        what: str,
        document: object = None,
        *,
        status: int = 200,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Answer with a JSON document or with a body."""
        content = msgspec.json.encode(document) if body is None else body

        async def answer(_: web.Request) -> web.StreamResponse:
            return web.Response(status=status, body=content, headers=headers, content_type="application/json")

        self._script[what].append(answer)

    def answer(self, what: str, answer: Answer) -> None:
        """Answer as a function does that may look at the request, or wait."""
        self._script[what].append(answer)

    def problem(self, what: str, status: int, detail: str, **members: object) -> None:
        """Refuse with a problem document; `headers` goes into the header."""
        headers = members.pop("headers", None)
        assert headers is None or isinstance(headers, dict)
        self.on(
            what, {"title": "refused", "status": status, "detail": detail, **members}, status=status, headers=headers
        )

    def broken(self, what: str, sent: bytes, *, headers: Mapping[str, str] | None = None) -> None:
        """Promise more than is sent, then close the connection."""

        async def answer(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(headers=headers)
            response.enable_chunked_encoding()
            await response.prepare(request)
            await response.write(sent)
            assert request.transport is not None
            request.transport.close()
            return response

        self._script[what].append(answer)

    def asked_for(self, what: str) -> list[Asked]:
        return [asked for asked in self.asked if f"{asked.method} {asked.path}" == what]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.asked.append(Asked(request.method, request.path, dict(request.query), request.headers.copy(), body))
        answers = self._script[f"{request.method} {request.path}"]
        if not answers:
            return web.Response(status=404, body=b'{"detail": "not in the script"}', content_type="application/json")
        return await (answers.pop(0) if len(answers) > 1 else answers[0])(request)


@pytest.fixture
def api() -> Iterator[Api]:
    """Runs on a thread of its own, so that it also answers code that has its own event loop."""
    served = Api()
    loop = asyncio.new_event_loop()

    async def start() -> web.AppRunner:
        app = web.Application(client_max_size=200 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", served.handle)
        runner = web.AppRunner(app, shutdown_timeout=1.0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        served.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return runner

    runner = loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield served
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(60)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(60)
    loop.close()
