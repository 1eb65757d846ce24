"""Clients that mean harm: whatever they send is answered or ends their socket, costs little, and is not logged."""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import AsyncIterator

import pytest
from tests.unit.web.stream.board import Place, place
from tests.unit.web.stream.raw import CONT, FIN, PING, PONG, TEXT, Raw

from longshore.web.stream import wire
from longshore.web.stream.messages import MOST_BYTES, Code
from longshore.web.stream.socket import MOST_SUBSCRIPTIONS


@pytest.fixture
async def here(caplog: pytest.LogCaptureFixture) -> AsyncIterator[Place]:
    """A place whose log stays empty, whatever is done to it."""
    with caplog.at_level(logging.INFO):
        async with place() as one:
            yield one
    told = [*caplog.get_records("call"), *caplog.records]
    assert not [each for each in told if each.levelno >= logging.WARNING]


async def connected(here: Place) -> Raw:
    one = await Raw.connect(int(here.url.rpartition(":")[2]), "/ws", "a")
    assert (await one.hear())["type"] == "hello"
    return one


async def alone(here: Place) -> None:
    """Return when nobody is connected any more, and nothing of anybody is left."""
    async with asyncio.timeout(30):
        while len(here.stage.audience) or here.server.server_state.connections:  # noqa: ASYNC110 - the server's own
            await asyncio.sleep(0.01)
    assert not here.board.hub._listeners


async def test_a_giant_frame_ends_its_socket_before_it_is_read(here: Place) -> None:
    one = await connected(here)
    one.writer.write(bytes([FIN | TEXT, 0xFF]) + struct.pack("!Q", 1 << 40) + bytes(4))
    assert await one.end() == 1009
    two = await connected(here)
    two.send(TEXT, b" " * MOST_BYTES)
    two.send(FIN | CONT, b"{}")
    assert await two.end() == 1009
    await alone(here)


async def test_fragments_without_end_are_not_collected(here: Place) -> None:
    one = await connected(here)
    one.send(TEXT)
    for _ in range(wire.MOST_FRAGMENTS + 10):
        one.send(CONT)
    assert await one.end() == 1009
    await alone(here)


@pytest.mark.parametrize("pieces", [[b"\xff\xfe"], [b'{"type": "ping", "id": "\xe2\x82', b'"}'], [b"\xed\xa0\x80"]])
async def test_a_text_that_is_no_utf8_ends_its_socket_and_is_not_logged(here: Place, pieces: list[bytes]) -> None:
    one = await connected(here)
    for number, piece in enumerate(pieces):
        one.send((CONT if number else TEXT) | (FIN if piece is pieces[-1] else 0), piece)
    assert await one.end() == 1007
    await alone(here)


async def test_a_character_may_lie_across_two_fragments(here: Place) -> None:
    one = await connected(here)
    one.send(TEXT, b'{"type": "ping", "id": "\xe2\x82')
    one.send(FIN | CONT, b'\xac"}')
    assert await one.hear() == {"type": "pong", "id": "€"}
    one.writer.close()


@pytest.mark.parametrize("opcode", [0x3, 0xB, 0x40 | FIN | TEXT, CONT])
async def test_a_frame_of_no_known_kind_ends_its_socket(here: Place, opcode: int) -> None:
    one = await connected(here)
    one.send(FIN | opcode, b"x")
    assert await one.end() == 1002
    await alone(here)


async def test_of_ten_thousand_subscriptions_64_are_had_and_each_is_answered(here: Place) -> None:
    one = await connected(here)

    async def ask() -> None:
        for number in range(10_000):
            one.say(type="subscribe", id=f"n{number}")
            await one.writer.drain()

    asking = asyncio.ensure_future(ask())
    told = [await one.hear() for _ in range(10_000)]
    await asking
    assert [each["type"] for each in told] == ["snapshot"] * MOST_SUBSCRIPTIONS + ["error"] * (
        10_000 - MOST_SUBSCRIPTIONS
    )
    assert {each["status"] for each in told[MOST_SUBSCRIPTIONS:]} == {429}
    assert sum(map(len, here.board.hub._listeners.values())) == MOST_SUBSCRIPTIONS
    one.writer.close()
    await alone(here)


async def test_a_storm_of_coming_and_going_leaves_nothing_behind(here: Place) -> None:
    one = await connected(here)
    here.board.put("a1", 1)
    for number in range(500):
        one.say(type="subscribe", id="s")
        one.say(type="unsubscribe", id="s" if number % 2 else "never")
    kinds = [(await one.hear())["type"] for _ in range(1000)]
    assert kinds == ["snapshot", "unsubscribed"] * 500
    assert not here.board.hub._listeners
    one.send(FIN | TEXT, b'{"type": "shout"}')
    assert await one.end() == Code.BAD_MESSAGE
    await alone(here)


async def test_pings_are_answered_and_a_flood_of_them_by_who_does_not_read_costs_nothing(
    here: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "CUT_SECONDS", 0.2)
    one = await connected(here)
    one.send(FIN | PING, b"here")
    assert await one.frame() == (PONG, b"here")
    (connection,) = here.server.server_state.connections
    assert isinstance(connection, wire.Wire)
    one.sleep()
    ping = bytes([FIN | PING, 0x80 | 125]) + bytes(4) + b"x" * 125
    most = 0
    async with asyncio.timeout(30):
        for _ in range(300):  # 12 MB, which is more than the kernel takes
            one.writer.write(ping * 300)
            await one.writer.drain()
            most = max(most, connection.transport.get_write_buffer_size())
        assert most < 1 << 20, "no more than what came in at once"
        connection.keepalive_timeout()  # as after 40 s in which it has not answered ours
    await alone(here)
    one.writer.close()
