"""What a stranger sends before anybody knows him is bounded, in time and in bytes; over real connections."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from longshore.serve import listen
from longshore.web import doorway
from longshore.web.doorway import MOST_HEAD, Doorway
from longshore.web.serving import Server

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def length(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


async def deaf(_: Request) -> PlainTextResponse:
    return PlainTextResponse("no")


@pytest.fixture
async def port() -> AsyncIterator[int]:
    config = uvicorn.Config(
        Starlette(routes=[Route("/", length, methods=["GET", "POST"]), Route("/deaf", deaf, methods=["POST"])]),
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


DEAF = b"POST /deaf HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n"


async def test_the_rest_of_a_body_that_nobody_reads_is_not_taken_for_ever(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doorway, "LINGER_SECONDS", 0.3)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(30):
        writer.write(DEAF)
        assert (await reader.readuntil(b"\r\n\r\nno")).startswith(b"HTTP/1.1 200")
        with pytest.raises(ConnectionError):
            await sends_on(writer)
    writer.close()


async def sends_on(writer: asyncio.StreamWriter) -> None:
    """A byte now and then, which would keep it open."""
    while True:
        writer.write(b"b")
        await writer.drain()
        await asyncio.sleep(0.001)


async def is_closed(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read() == b""
    except ConnectionError:
        return True


async def test_who_sends_the_rest_of_it_in_time_goes_on_with_his_connection(port: int) -> None:
    last = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(30):
        writer.write(DEAF)
        await reader.readuntil(b"\r\n\r\nno")
        writer.write(b"b" * 100_000 + last)
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
    writer.close()
    assert not Doorway.lingering


async def test_only_so_many_linger_and_only_so_many_wait_to_be_known(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
    monkeypatch.setattr(doorway, "MOST_LINGER", 1)
    monkeypatch.setattr(doorway, "most_unknown", lambda: 1)
    async with asyncio.timeout(30):
        first, first_writer = await asyncio.open_connection("127.0.0.1", port)
        first_writer.write(DEAF)
        await first.readuntil(b"\r\n\r\nno")
        second, second_writer = await asyncio.open_connection("127.0.0.1", port)
        second_writer.write(DEAF)
        await second.readuntil(b"\r\n\r\nno")
        assert await is_closed(first)
        silent, silent_writer = await asyncio.open_connection("127.0.0.1", port)
        assert (await answer(port, asked)).startswith(b"HTTP/1.1 200")
        assert await is_closed(silent), "the oldest of those who have said nothing"
    for writer in (first_writer, second_writer, silent_writer):
        writer.close()


@pytest.mark.parametrize("path", [b"/", b"/deaf"])
@pytest.mark.parametrize("endless", [[b"x: y\r\n" * 1000] * 400, [b"x: ", *[b"y" * 8192] * 400]])
async def test_endless_trailers_are_not_kept(
    port: int, path: bytes, endless: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the body before them is read or not."""
    monkeypatch.setattr(doorway, "LINGER_SECONDS", 1000)
    post = b"POST %s HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n" % path
    assert len(await answer(port, post, *endless)) < 300
