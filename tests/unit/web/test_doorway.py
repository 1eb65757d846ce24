"""What a stranger sends before anybody knows him is bounded, in time and in bytes; over real connections."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from longshore.app import listen
from longshore.web import doorway
from longshore.web.doorway import MOST_HEAD, Doorway
from longshore.web.serving import Server

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def length(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


@pytest.fixture
async def port() -> AsyncIterator[int]:
    config = uvicorn.Config(
        Starlette(routes=[Route("/", length, methods=["GET", "POST"])]),
        http=Doorway,
        log_config=None,
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    socket = listen("127.0.0.1", 0)
    server = Server(config, lambda: None)
    running = asyncio.create_task(server.serve(sockets=[socket]))
    yield socket.getsockname()[1]
    server.should_exit = True
    async with asyncio.timeout(30):
        await running


async def answer(port: int, *sent: bytes) -> bytes:
    """All that comes until the connection is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(30):
            for part in sent:
                writer.write(part)
                await writer.drain()
            return await reader.read()
    except ConnectionResetError:
        return b"reset"
    finally:
        writer.close()


async def test_an_endless_head_is_refused(port: int) -> None:
    name = b"GET / HTTP/1.1\r\nhost: a\r\n"
    for endless in ([name, b"x: " + b"y" * 2000, *[b"y" * 8192] * 400], [name, *[b"x: y\r\n" * 1000] * 400]):
        assert (await answer(port, *endless)).startswith((b"HTTP/1.1 431", b"reset"))


async def test_who_does_not_say_what_he_wants_is_sent_away(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorway, "HEAD_SECONDS", 0.3)
    assert await answer(port) == b"", "who says nothing is told nothing"
    for slow in ((b"GET / HTTP/1.1\r\n",), (b"GET / HTTP/1.1\r\n", b"host: a\r\n")):
        assert (await answer(port, *slow)).startswith(b"HTTP/1.1 408")


async def test_bodies_are_not_counted_and_the_next_request_of_a_connection_is_answered(port: int) -> None:
    size = 4 * MOST_HEAD
    post = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % size
    last = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
    told = await answer(port, post, b"b" * size, post, b"b" * size, last)
    assert told.count(b"HTTP/1.1 200") == 3
    assert told.count(str(size).encode()) == 2
