"""The stream over real sockets: what is said on both sides, who is let go and how, and nobody waits for him."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from tests.unit.web.stream.board import Place, place

from longshore.web.stream import reader, wire
from longshore.web.stream.messages import Code


@pytest.fixture
async def here() -> AsyncIterator[Place]:
    async with place() as one:
        yield one


class Client:
    """One socket, or several, of one caller."""

    def __init__(self, session: aiohttp.ClientSession, here: Place) -> None:
        self.session = session
        self.here = here

    async def connect(self, key: str | None = "a", **options: Any) -> aiohttp.ClientWebSocketResponse:
        headers = {"X-API-Key": key} if key else {}
        made: aiohttp.ClientWebSocketResponse = await self.session.ws_connect(
            f"{self.here.url}/ws", headers=headers, **options
        )
        return made


@pytest.fixture
async def client(here: Place) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession() as session:
        yield Client(session, here)


async def hear(ws: aiohttp.ClientWebSocketResponse) -> dict[str, Any]:
    said: dict[str, Any] = await ws.receive_json(timeout=30)
    return said


async def follow(ws: aiohttp.ClientWebSocketResponse, after: str | None = None, **to: Any) -> dict[str, Any]:
    """The answer to a subscription, after the greeting."""
    await ws.send_json({"type": "subscribe", "id": "s", "to": to, **({"after": after} if after else {})})
    said = await hear(ws)
    return await hear(ws) if said["type"] == "hello" else said


async def end_of(ws: aiohttp.ClientWebSocketResponse) -> tuple[int | None, str]:
    async with asyncio.timeout(30):
        while (received := await ws.receive()).type is aiohttp.WSMsgType.TEXT:
            pass
    return ws.close_code, received.extra or ""


async def test_a_snapshot_then_each_change_with_a_number_that_grows(client: Client, here: Place) -> None:
    here.board.put("a1", 1)
    here.board.put("b1", 1)
    async with await client.connect() as ws:
        snapshot = await follow(ws)
        assert (snapshot["type"], snapshot["things"]) == ("snapshot", {"a1": 1})
        here.board.put("b1", 2)
        here.board.put("a1", 3)
        here.board.drop("a1")
        first, second = await hear(ws), await hear(ws)
        assert (first["key"], first["value"], second["value"]) == ("a1", 3, "gone")
        assert first["seq"] < second["seq"]
        await ws.send_json({"type": "ping", "id": "p"})
        assert await hear(ws) == {"type": "pong", "id": "p"}
        await ws.send_json({"type": "unsubscribe", "id": "s"})
        assert await hear(ws) == {"type": "unsubscribed", "id": "s"}
        here.board.put("a1", 4)
        await ws.send_json({"type": "ping"})
        assert await hear(ws) == {"type": "pong"}


async def test_who_comes_back_is_told_exactly_what_he_missed_and_who_was_elsewhere_a_snapshot(
    client: Client, here: Place
) -> None:
    async with await client.connect() as ws:
        position = (await follow(ws))["position"]
    for value in (1, 2):
        here.board.put("a1", value)
        here.board.put("b1", value)
    here.board.put("a2", 5)
    async with await client.connect() as ws:
        resumed = await follow(ws, after=position)
        assert resumed["type"] == "resumed"
        assert [(each["key"], each["value"]) for each in resumed["messages"]] == [("a1", 2), ("a2", 5)]
        assert (await follow(ws, after=resumed["position"]))["messages"] == []
        for nonsense in ("elsewhere-1", "x", position.split("-")[0] + "-999"):
            assert (await follow(ws, after=nonsense))["type"] == "snapshot"


async def test_who_knows_more_from_elsewhere_is_told_nothing_older(client: Client, here: Place) -> None:
    async with await client.connect() as ws:
        behind = await follow(ws, after="elsewhere-7-2")
        assert (behind["type"], behind["status"]) == ("error", 503)
        here.board.hub.known = "2"
        snapshot = await follow(ws, after="elsewhere-7-2")
        assert snapshot["type"] == "snapshot"
        assert snapshot["position"].endswith("-0-2")
        assert (await follow(ws, after=snapshot["position"]))["type"] == "resumed"


async def test_what_cannot_be_followed_is_an_error_and_the_socket_stays(client: Client, here: Place) -> None:
    async with await client.connect() as ws:
        error = await follow(ws, nothing=True)
        assert error == {
            "type": "error",
            "id": "s",
            "status": 404,
            "detail": "there is no such thing",
            "hint": "follow another",
        }
        assert (await follow(ws))["type"] == "snapshot"
        for number in range(70):
            await ws.send_json({"type": "subscribe", "id": f"n{number}"})
        statuses = [(await hear(ws)).get("status") for _ in range(70)]
        assert statuses.count(429) == 7


@pytest.mark.parametrize("nonsense", ["{", "[]", '{"type": "shout"}', '{"type": "subscribe"}', "[" * 5000, b"\xff\x00"])
async def test_what_is_no_message_closes_with_a_code(client: Client, nonsense: str | bytes) -> None:
    async with await client.connect() as ws:
        await (ws.send_bytes(nonsense) if isinstance(nonsense, bytes) else ws.send_str(nonsense))
        assert (await end_of(ws))[0] == Code.BAD_MESSAGE


async def test_nobody_comes_in_without_a_credential_and_a_page_comes_in_by_a_ticket_once(
    client: Client, here: Place
) -> None:
    for key in (None, "wrong"):
        async with await client.connect(key) as ws:
            code, reason = await end_of(ws)
            assert code == Code.UNAUTHENTICATED
            assert "wrong" not in reason
    ticket = here.stage.tickets.issue("a")
    for good in (True, False):
        async with await client.connect(None, protocols=["longshore", f"ticket.{ticket}"]) as ws:
            assert ws.protocol == "longshore"
            assert (ws.close_code is None) if good else True
            if good:
                assert (await follow(ws))["type"] == "snapshot"
            else:
                assert (await end_of(ws))[0] == Code.UNAUTHENTICATED
    async with await client.connect(None, protocols=["longshore", "bearer.a"]) as ws:
        assert (await follow(ws))["type"] == "snapshot"


async def test_whose_key_is_revoked_is_let_go_and_the_others_stay(client: Client, here: Place) -> None:
    async with await client.connect("a") as ws, await client.connect("b") as other:
        await follow(ws)
        await follow(other)
        del here.keys["a"]
        await here.stage.audience.check()
        assert (await end_of(ws))[0] == Code.UNAUTHENTICATED
        here.board.put("b1", 1)
        assert (await hear(other))["key"] == "b1"
    async with asyncio.timeout(30):
        while len(here.stage.audience):  # noqa: ASYNC110 - the server's own clean-up
            await asyncio.sleep(0)


async def test_too_many_are_refused_with_a_code() -> None:
    async with place(most=3, most_each=2) as here, aiohttp.ClientSession() as session:
        client = Client(session, here)
        sockets = [await client.connect(key) for key in ("a", "a", "b")]
        for ws in sockets:
            assert (await follow(ws))["type"] == "snapshot"
        for key in ("a", "root"):
            assert (await end_of(await client.connect(key)))[0] == Code.TOO_MANY
        await sockets[0].close()
        async with asyncio.timeout(30):
            while len(here.stage.audience) == 3:  # noqa: ASYNC110 - the server's own clean-up
                await asyncio.sleep(0)
        assert (await follow(await client.connect("a")))["type"] == "snapshot"


async def test_when_the_server_ends_all_are_sent_away_with_different_moments_to_come_back() -> None:
    async with aiohttp.ClientSession() as session:
        async with place() as here:
            client = Client(session, here)
            sockets = [await client.connect() for _ in range(20)]
            for ws in sockets:
                await follow(ws)
            ends = [asyncio.ensure_future(end_of(ws)) for ws in sockets]
        said = [await each for each in ends]
    assert {code for code, _ in said} == {Code.GOING_AWAY}
    assert len({reason for _, reason in said}) > 5


async def test_who_does_not_read_is_cut_with_a_code_and_nobody_waits_for_him(
    client: Client, here: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "CUT_SECONDS", 60.0)
    with monkeypatch.context() as impatient:  # with him alone
        impatient.setattr(reader, "SLOW_SECONDS", 0.2)
        asleep = await _handshake(here)
    async with await client.connect() as ws:
        await follow(ws)
        sent = 0
        cut = wait_for_fewer(here, 1)
        while not cut.done():
            for number in range(200):
                here.board.put(f"a{number:03}{'x' * 2000}", sent)
            sent += 1
            for _ in range(200):
                assert (await hear(ws))["value"] == sent - 1
        await cut
    code = int.from_bytes((await asyncio.to_thread(_read_until, asleep, b"you read too slowly"))[-2:])
    assert code == Code.TOO_SLOW
    asleep.close()


async def test_who_does_not_even_take_the_code_is_dropped(
    client: Client, here: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "SLOW_SECONDS", 0.2)
    monkeypatch.setattr(wire, "CUT_SECONDS", 0.2)
    asleep = await _handshake(here)
    cut = wait_for_fewer(here, 0)
    number = 0
    while not cut.done():
        number += 1
        here.board.put(f"a{number % 200:03}{'x' * 2000}", number)
        await asyncio.sleep(0)
    await cut
    async with asyncio.timeout(30):
        while here.server.server_state.connections:  # noqa: ASYNC110 - the server's own clean-up
            await asyncio.sleep(0)
    asleep.close()


def wait_for_fewer(here: Place, count: int) -> asyncio.Future[None]:
    async def wait() -> None:
        async with asyncio.timeout(60):
            while len(here.stage.audience) > count:  # noqa: ASYNC110 - the server's own clean-up
                await asyncio.sleep(0)

    return asyncio.ensure_future(wait())


async def _handshake(here: Place) -> socket.socket:
    """A client that subscribes and never reads."""
    port = int(here.url.rpartition(":")[2])
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    one.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(one, ("127.0.0.1", port))
    head = (
        f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-API-Key: a\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    text = json.dumps({"type": "subscribe", "id": "s"}).encode()
    frame = bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text
    await loop.sock_sendall(one, head.encode())
    async with asyncio.timeout(30):
        while b"hello" not in await loop.sock_recv(one, 4096):
            pass
        await loop.sock_sendall(one, frame)
        while b"snapshot" not in await loop.sock_recv(one, 4096):
            pass
    return one


def _read_until(one: socket.socket, wanted: bytes) -> bytes:
    """What came before that."""
    one.setblocking(True)
    one.settimeout(30)
    said = b""
    while wanted not in said:
        chunk = one.recv(1 << 16)
        assert chunk, "it was closed before"
        said = said[-1000:] + chunk
    return said.partition(wanted)[0]
