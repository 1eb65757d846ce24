"""Commands over WebSocket, against a scripted server that speaks the protocol, or does not."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from aiohttp import WSMsgType, web

from longshore.errors import Conflict, NotFound, Terminal, TooLarge, Unauthenticated, Unavailable, UserMistake
from longshore.kube import remote_command
from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.kube.remote_command import CLOSE, OUTCOME, RESIZE, STDERR, STDOUT

from .faulty import Faulty, refuse

Play = Callable[[web.WebSocketResponse], Awaitable[None]]
SUCCESS = b'{"kind":"Status","status":"Success"}'
PATH = "/api/v1/namespaces/ns/pods/p/exec"


def failure(code: int) -> bytes:
    causes = [{"reason": "ExitCode", "message": str(code)}]
    return json.dumps({"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": causes}}).encode()


class Container:
    """A server whose every command is `play`. `asked` is how it was called."""

    def __init__(self, play: Play, protocols: tuple[str, ...]) -> None:
        self.asked: list[web.BaseRequest] = []
        self.url = ""
        self._play = play
        self._protocols = protocols

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(request)
        socket = web.WebSocketResponse(protocols=self._protocols, timeout=0.1, autoping=False)
        await socket.prepare(request)
        await self._play(socket)
        await socket.close()
        return socket


@asynccontextmanager
async def container(
    play: Play, protocols: tuple[str, ...] = remote_command.PROTOCOLS
) -> AsyncIterator[tuple[Container, Client]]:
    served = Container(play, protocols)
    runner = web.ServerRunner(web.Server(served), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    served.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        async with asyncio.timeout(60), Client(Config(served.url)) as client:
            yield served, client
    finally:
        await runner.cleanup()


def say(*messages: tuple[int, bytes]) -> Play:
    async def play(socket: web.WebSocketResponse) -> None:
        for channel, data in messages:
            await socket.send_bytes(bytes([channel]) + data)

    return play


async def echo(socket: web.WebSocketResponse) -> None:
    """`cat`: says what it is told until its input is over."""
    async for message in socket:
        if message.data[0] == CLOSE:
            break
        await socket.send_bytes(bytes([STDOUT]) + message.data[1:])
    await socket.send_bytes(bytes([OUTCOME]) + SUCCESS)


async def test_a_command_ends_with_its_outputs_and_exit_code() -> None:
    async with container(say((STDOUT, b"out"), (STDERR, b"err"), (STDOUT, b"put"), (OUTCOME, failure(3)))) as (
        served,
        client,
    ):
        done = await remote_command.run(client, "p", "ns", ["ls", "-l", "a b"], container="main")
    assert done == remote_command.Completed(3, b"output", b"err")
    asked = served.asked[0]
    assert asked.path == PATH
    assert asked.query.getall("command") == ["ls", "-l", "a b"]
    assert {name: asked.query[name] for name in ("container", "stdin", "stdout", "stderr", "tty")} == {
        "container": "main",
        "stdin": "false",
        "stdout": "true",
        "stderr": "true",
        "tty": "false",
    }
    assert asked.headers["Audit-ID"]


async def test_what_comes_after_the_outcome_is_not_lost() -> None:
    async with container(say((OUTCOME, SUCCESS), (STDOUT, b"late"))) as (_, client):
        assert await remote_command.run(client, "p", "ns", ["x"]) == remote_command.Completed(0, b"late", b"")


async def test_input_is_fed_in_pieces_and_closed() -> None:
    data = bytes(range(256)) * 1000
    async with container(echo) as (_, client):
        done = await remote_command.run(client, "p", "ns", ["cat"], stdin=data)
    assert done.stdout == data


async def test_a_server_of_the_older_protocol_cannot_be_told_that_the_input_is_over() -> None:
    async with (
        container(echo, ("v4.channel.k8s.io",)) as (_, client),
        remote_command.start(client, "p", "ns", ["cat"], stdin=True) as process,
    ):
        await process.stdin.write(b"hello")
        assert await anext(process.stdout) == b"hello"
        with pytest.raises(UserMistake, match="input is over"):
            await process.stdin.close()


async def test_a_server_without_a_protocol_of_ours_is_refused() -> None:
    async with container(echo, ()) as (_, client):
        with pytest.raises(Terminal, match="speaks none of"):
            await remote_command.run(client, "p", "ns", ["cat"])


async def test_a_terminal_has_a_size_and_one_output() -> None:
    told = asyncio.get_running_loop().create_future()

    async def play(socket: web.WebSocketResponse) -> None:
        told.set_result(await socket.receive_bytes())

    async with (
        container(play) as (served, client),
        remote_command.start(client, "p", "ns", ["sh"], stdin=True, tty=True) as process,
    ):
        await process.resize(columns=80, rows=24)
        message = await told
    assert message[0] == RESIZE
    assert json.loads(message[1:]) == {"Width": 80, "Height": 24}
    assert (served.asked[0].query["tty"], served.asked[0].query["stderr"]) == ("true", "false")


async def test_a_command_that_could_not_start_says_why() -> None:
    status = {"status": "Failure", "reason": "InternalError", "code": 500, "message": "no such program"}
    async with container(say((OUTCOME, json.dumps(status).encode()))) as (_, client):
        with pytest.raises(Unavailable, match="exec nope in ns/p: no such program"):
            await remote_command.run(client, "p", "ns", ["nope"])


@pytest.mark.parametrize("said", [b"<html>", b"", b'{"status":7}'])
async def test_an_outcome_that_cannot_be_read_is_no_success(said: bytes) -> None:
    async with container(say((OUTCOME, said))) as (_, client):
        with pytest.raises(Unavailable, match="outcome"):
            await remote_command.run(client, "p", "ns", ["x"])


async def test_a_connection_that_breaks_is_neither_success_nor_the_end_of_the_output() -> None:
    async with (
        container(say((STDOUT, b"half"))) as (_, client),
        remote_command.start(client, "p", "ns", ["x"]) as process,
    ):
        assert await anext(process.stdout) == b"half"
        with pytest.raises(Unavailable, match="broke before"):
            await anext(process.stdout)
        with pytest.raises(Unavailable, match="broke before"):
            await process.wait()


async def test_writing_to_a_command_that_has_ended_is_a_conflict() -> None:
    async with (
        container(say((OUTCOME, SUCCESS))) as (_, client),
        remote_command.start(client, "p", "ns", ["true"], stdin=True) as process,
    ):
        assert await process.wait() == 0
        with pytest.raises(Conflict):
            await process.stdin.write(b"x")


async def test_more_output_than_is_wanted_is_refused() -> None:
    async with container(say((STDOUT, b"x" * 100), (OUTCOME, SUCCESS))) as (_, client):
        with pytest.raises(TooLarge, match="more than 99 bytes"):
            await remote_command.run(client, "p", "ns", ["x"], limit=99)


async def test_a_command_waits_for_a_slow_reader() -> None:
    sent = 0
    more = asyncio.Event()

    async def flood(socket: web.WebSocketResponse) -> None:
        nonlocal sent
        with suppress(ConnectionError):
            while sent < 256 * 1024 * 1024:
                await socket.send_bytes(bytes([STDOUT]) + bytes(32768))
                sent += 32768
                more.set()

    async def until_it_stops() -> None:
        await more.wait()
        with suppress(TimeoutError):
            while True:
                more.clear()
                await asyncio.wait_for(more.wait(), 0.3)

    async with container(flood) as (_, client), remote_command.start(client, "p", "ns", ["yes"]) as process:
        await until_it_stops()
        held = sent
        for _ in range(200):
            await anext(process.stdout)
        while sent == held:  # it goes on as it is read
            more.clear()
            await more.wait()
    assert 0 < held < 32 * 1024 * 1024  # what sockets and queues hold, and no more


async def test_the_connection_is_closed_with_the_block() -> None:
    closed = asyncio.Event()

    async def play(socket: web.WebSocketResponse) -> None:
        assert (await socket.receive()).type is WSMsgType.CLOSE
        closed.set()

    async with container(play) as (_, client):
        async with remote_command.start(client, "p", "ns", ["sleep", "60"]):
            pass
        await closed.wait()


async def test_the_connection_is_closed_when_the_caller_is_cancelled() -> None:
    began, closed = asyncio.Event(), asyncio.Event()

    async def play(socket: web.WebSocketResponse) -> None:
        began.set()
        assert (await socket.receive()).type in (WSMsgType.CLOSE, WSMsgType.CLOSED)
        closed.set()

    async with container(play) as (_, client):
        waiting = asyncio.create_task(remote_command.run(client, "p", "ns", ["sleep", "60"]))
        await began.wait()
        waiting.cancel()
        await closed.wait()
        await asyncio.wait([waiting])
        assert waiting.cancelled()


async def test_a_silent_connection_is_kept_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_command, "PING", 0.01)
    pinged = asyncio.Event()

    async def play(socket: web.WebSocketResponse) -> None:
        while (await socket.receive()).type is not WSMsgType.PING:
            pass
        pinged.set()

    async with container(play) as (_, client), remote_command.start(client, "p", "ns", ["sleep", "60"]):
        await pinged.wait()


async def test_a_refusal_is_told_in_the_servers_words(server: Faulty, client: Client) -> None:
    server.script = [refuse(404, "NotFound"), refuse(400, "BadRequest")]
    with pytest.raises(NotFound, match="told to say 404") as caught:
        await remote_command.run(client, "p", "ns", ["x"])
    assert caught.value.request_id == server.asked[0].headers["audit-id"]
    with pytest.raises(UserMistake, match="told to say 400"):
        await remote_command.run(client, "p", "ns", ["x"])
    assert len(server.asked) == 2


async def test_a_redirect_is_not_followed(server: Faulty, client: Client) -> None:
    server.script = [refuse(302, "", Location=f"{server.url}/elsewhere")]
    with pytest.raises(Unavailable):
        await remote_command.run(client, "p", "ns", ["x"])
    assert [asked.path for asked in server.asked] == [PATH]


async def test_a_token_that_was_refused_is_fetched_again_once(server: Faulty) -> None:
    tokens = ["old", "new", "newer"]
    server.script = [refuse(401, "Unauthorized"), refuse(401, "Unauthorized")]
    async with Client(Config(server.url, token=lambda: tokens[0], refused=lambda: tokens.remove(tokens[0]))) as client:
        with pytest.raises(Unauthenticated):
            await remote_command.run(client, "p", "ns", ["x"])
    assert [asked.headers["authorization"] for asked in server.asked] == ["Bearer old", "Bearer new"]


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    async with Client(Config("http://127.0.0.1:1")) as client:
        with pytest.raises(Unavailable, match="exec"):
            await remote_command.run(client, "p", "ns", ["x"])


async def test_it_goes_through_the_proxy_whose_password_is_in_no_error() -> None:
    config = Config("http://k8s.example", proxy="http://me:s3cret@127.0.0.1:1")
    async with Client(config) as client:
        with pytest.raises(Unavailable) as caught:
            await remote_command.run(client, "p", "ns", ["x"])
    assert "s3cret" not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.hint}"
