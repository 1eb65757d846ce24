"""What a stranger sends before anybody knows him is bounded, in time and in bytes; over real connections."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from longshore.serve import listen
from longshore.web import doorway
from longshore.web.auth import Authentication, Caller, current_caller
from longshore.web.doorway import MOST_HEAD, Doorway
from longshore.web.serving import Server
from longshore.web.stream.wire import Wire

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def length(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


async def deaf(_: Request) -> PlainTextResponse:
    return PlainTextResponse("no")


BIG = 50_000_000


async def big(request: Request) -> PlainTextResponse:
    if request.headers.get("x-api-key"):
        await current_caller(request)
    return PlainTextResponse(b"b" * BIG)


async def somebody(_: str) -> Caller | None:
    return Caller("somebody")


async def hello(request: Request) -> PlainTextResponse:
    return PlainTextResponse((await current_caller(request)).name)


async def follow(connection: WebSocket) -> None:
    await connection.accept()
    await connection.receive()


UPGRADE = (
    b"GET /follow HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


@pytest.fixture
async def port(server: Server) -> AsyncIterator[int]:
    listening = listen("127.0.0.1", 0)
    running = asyncio.create_task(server.serve(sockets=[listening]))
    yield listening.getsockname()[1]
    server.should_exit = True
    async with asyncio.timeout(60):
        await running


@pytest.fixture
def server() -> Server:
    routes = [Route("/", length, methods=["GET", "POST"]), Route("/deaf", deaf, methods=["POST"]), Route("/big", big)]
    routes.append(Route("/hello", hello))
    app = Starlette(routes=[*routes, WebSocketRoute("/follow", follow)])
    app.state.authentication = Authentication([somebody])
    config = uvicorn.Config(
        app,
        http=Doorway,
        ws=Wire,
        log_config=None,
        lifespan="off",
        timeout_keep_alive=60,
        timeout_graceful_shutdown=1,
    )
    return Server(config, lambda: None)


async def connected(port: int, first: bytes = b"") -> Streams:
    """What is said first is there before the server knows of the connection, so that no clock of its can be faster."""
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(first)
    return await asyncio.open_connection(sock=connection)


async def answer(port: int, first: bytes = b"", *more: bytes) -> bytes:
    """All that comes until the connection is closed."""
    reader, writer = await connected(port, first)
    try:
        async with asyncio.timeout(60):
            for part in more:
                writer.write(part)
                await writer.drain()
            return await reader.read()
    except ConnectionError:  # a reset, or a broken pipe where its end came first
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
    for slow in (b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nhost: a\r\n"):
        assert (await answer(port, slow)).startswith(b"HTTP/1.1 408")


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
    async with asyncio.timeout(60):
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


async def test_who_sends_the_rest_of_it_in_time_goes_on_with_his_connection(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doorway, "LINGER_SECONDS", 1000)
    last = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(60):
        writer.write(DEAF)
        await reader.readuntil(b"\r\n\r\nno")
        writer.write(b"b" * 100_000 + last)
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
    writer.close()
    assert not Doorway.lingering


@pytest.mark.parametrize(
    ("asked", "then"),
    [
        (b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", b"\r\n"),
        (b"POST /deaf HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\n", b"rest"),
        (b"POST /deaf HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n", b"0\r\n\r\n"),
    ],
)
async def test_an_idle_connection_is_given_up_whatever_came_after_the_answer(
    server: Server, port: int, monkeypatch: pytest.MonkeyPatch, asked: bytes, then: bytes
) -> None:
    monkeypatch.setattr(doorway, "HEAD_SECONDS", 1)
    server.config.timeout_keep_alive = 1
    reader, writer = await connected(port, asked)
    async with asyncio.timeout(60):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(then)
        with suppress(ConnectionError):
            await reader.read()
    writer.close()


async def test_a_connection_that_becomes_a_socket_is_given_up_by_the_socket_alone(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(60):
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n0")
        writer.write(UPGRADE)
        assert b" 101 " in await reader.readline()
        assert not Doorway.unknown
    writer.close()


async def test_only_so_many_linger_and_only_so_many_wait_to_be_known(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
    monkeypatch.setattr(doorway, "MOST_LINGER", 1)
    monkeypatch.setattr(doorway, "most_unknown", lambda: 1)
    async with asyncio.timeout(60):
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


async def asks_for_much(port: int, key: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """And reads only the head."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 12)
    writer.write(b"GET /big HTTP/1.1\r\nhost: a\r\nconnection: close\r\n%s\r\n" % key)
    await reader.readuntil(b"\r\n\r\n")
    return reader, writer


async def test_a_stranger_who_does_not_read_what_he_asked_for_is_cut_off(
    port: int, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doorway, "READ_SECONDS", 0.2)
    async with asyncio.timeout(60):
        _, writer = await asks_for_much(port, b"")
        while server.server_state.connections:  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0.01)
    writer.close()


async def test_one_who_is_known_may_read_when_he_likes(
    port: int, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doorway, "READ_SECONDS", 0.05)
    looked, enough = 0, asyncio.Event()

    def look(connection: Doorway, before: int) -> None:
        nonlocal looked
        looked += 1
        if looked == 5:
            enough.set()
        check(connection, before)

    check = Doorway._check_reader
    monkeypatch.setattr(Doorway, "_check_reader", look)
    async with asyncio.timeout(60):
        reader, writer = await asks_for_much(port, b"x-api-key: k\r\n")
        await enough.wait()
        assert server.server_state.connections
        assert sum([len(chunk) async for chunk in chunks(reader)]) == BIG
    writer.close()


async def chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while chunk := await reader.read(1 << 20):
        yield chunk


async def test_who_is_known_may_be_idle_for_longer_than_clients_are_and_a_stranger_may_not(
    server: Server, port: int
) -> None:
    server.config.timeout_keep_alive = 0  # of whom is not known
    known = b"GET /hello HTTP/1.1\r\nhost: a\r\nx-api-key: k\r\n\r\n"
    async with asyncio.timeout(60):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(known)
            assert (await reader.readuntil(b"somebody")).startswith(b"HTTP/1.1 200")
            stranger, strangers = await asyncio.open_connection("127.0.0.1", port)
            strangers.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            assert (await stranger.read()).startswith(b"HTTP/1.1 200"), "and then it is closed"
            strangers.close()
    writer.close()
