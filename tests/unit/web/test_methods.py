"""What a path takes: HEAD and OPTIONS everywhere, 405 with all that is allowed, JSON and nothing else, docs offline."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest
import uvicorn
from pydantic import BaseModel
from starlette.responses import StreamingResponse

from longshore.api import routed
from longshore.web import problems
from longshore.web.methods import JsonBodies, Methods


class Body(BaseModel):
    name: str = ""


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield b"x" * 65536


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    app = routed()
    app.add_middleware(JsonBodies, streamed=lambda method, path: path == "/things/stream")
    app.add_middleware(Methods)
    problems.install(app)

    @app.get("/things")
    async def things() -> list[str]:
        return ["a"]

    @app.get("/things/endless")
    async def forever() -> StreamingResponse:
        return StreamingResponse(endless(), headers={"X-Kept": "yes"})

    @app.post("/things")
    async def make(body: Body) -> str:
        return body.name

    @app.post("/things/stop")
    async def stop() -> None: ...

    @app.post("/things/stream")
    async def stream() -> None: ...

    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", timeout_keep_alive=60))
    serving = asyncio.ensure_future(server.serve(sockets=[listening]))
    async with aiohttp.ClientSession(f"http://127.0.0.1:{listening.getsockname()[1]}") as opened:
        yield opened
    server.should_exit = True
    await serving


async def test_head_answers_as_get_does_without_its_body(session: aiohttp.ClientSession) -> None:
    async with session.head("/things") as answer:
        assert (answer.status, answer.headers["Content-Length"], await answer.read()) == (200, "5", b"")
    async with session.head("/things/stop") as answer:
        assert answer.status == 405


async def test_head_does_not_wait_for_a_body_without_end(session: aiohttp.ClientSession) -> None:
    async with asyncio.timeout(30), session.head("/things/endless") as answer:
        assert (answer.status, answer.headers["X-Kept"]) == (200, "yes")
    async with session.get("/things") as answer:
        assert answer.status == 200


async def test_options_and_405_name_every_method_of_a_path(session: aiohttp.ClientSession) -> None:
    async with session.options("/things") as answer:
        assert (answer.status, answer.headers["Allow"]) == (204, "GET, POST, HEAD, OPTIONS")
    async with session.delete("/things") as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, POST, HEAD, OPTIONS")
        assert (await answer.json(content_type=None))["hint"]
    async with session.options("/nothing") as answer:
        assert answer.status == 404


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "json", ""])
async def test_a_body_that_is_not_json_is_415_with_a_hint(session: aiohttp.ClientSession, kind: str) -> None:
    async with session.post("/things", data=b'{"name": "a"}', headers={"Content-Type": kind}) as answer:
        assert answer.status == 415
        assert answer.headers["Accept"] == "application/json"
        assert "application/json" in (await answer.json(content_type=None))["hint"]


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8", "application/x+json"])
async def test_json_by_any_name_is_read(session: aiohttp.ClientSession, kind: str) -> None:
    async with session.post("/things", data=b'{"name": "a"}', headers={"Content-Type": kind}) as answer:
        assert (answer.status, await answer.json()) == (200, "a")


async def test_where_there_is_no_body_or_a_stream_no_type_is_asked_for(session: aiohttp.ClientSession) -> None:
    for path, data in (("/things/stop", None), ("/things/stream", b"anything")):
        async with session.post(path, data=data) as answer:
            assert answer.status == 200


async def test_a_slash_too_many_is_told_and_not_redirected(session: aiohttp.ClientSession) -> None:
    async with session.get("/things/", allow_redirects=False) as answer:
        assert answer.status == 404
        assert "/things" in (await answer.json(content_type=None))["hint"]


async def test_the_page_of_the_documentation_needs_nobody_else(session: aiohttp.ClientSession) -> None:
    async with session.get("/docs") as answer:
        page = await answer.text()
    assert re.findall(r"https?://", page) == []
    for needed in re.findall(r'(?:src|href)="([^"]+)"', page):
        async with session.get(needed) as answer:
            assert answer.status == 200, needed
