"""The stream as server-sent events: positions as ids, nothing missed, nothing held back by proxies."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from tests.unit.web.stream.board import Place, place

from longshore.web.stream.messages import Code


@pytest.fixture
async def here() -> AsyncIterator[Place]:
    async with place() as one:
        yield one


class Events:
    """One event stream as a browser reads it."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.last_id = ""

    async def next(self) -> dict[str, Any]:
        """The data of the next event; comments and `retry` are passed over."""
        data = ""
        async with asyncio.timeout(30):
            async for raw in self.response.content:
                line = raw.decode().rstrip("\n")
                if line.startswith("data: "):
                    data += line[6:]
                elif line.startswith("id: "):
                    self.last_id = line[4:]
                elif not line and data:
                    said: dict[str, Any] = json.loads(data)
                    return said
        raise EOFError


@asynccontextmanager
async def events(here: Place, after: str | None = None, key: str = "a") -> AsyncIterator[Events]:
    headers = {"X-API-Key": key, **({"Last-Event-ID": after} if after else {})}
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{here.url}/events", headers=headers) as response,
    ):
        yield Events(response)


async def test_a_snapshot_then_each_change_and_what_was_missed_by_its_last_id(here: Place) -> None:
    here.board.put("a1", 1)
    async with events(here) as stream:
        assert stream.response.headers["content-type"].startswith("text/event-stream")
        assert stream.response.headers["cache-control"] == "no-store"
        assert stream.response.headers["x-accel-buffering"] == "no"
        assert (await stream.next())["things"] == {"a1": 1}
        here.board.put("b1", 1)
        here.board.put("a1", 2)
        assert (await stream.next())["value"] == 2
        last = stream.last_id
    here.board.put("a1", 3)
    here.board.put("a2", 4)
    async with events(here, last) as stream:
        assert [(await stream.next())["value"] for _ in range(2)] == [3, 4]
        here.board.put("a2", 5)
        assert (await stream.next())["value"] == 5
    async with events(here, "another-replica-7") as stream:
        assert (await stream.next())["type"] == "snapshot"


async def test_when_numbers_begin_anew_nobody_is_given_a_place_among_them_that_he_has_not_reached(here: Place) -> None:
    async with events(here) as stream:
        await stream.next()
        before = stream.last_id
        here.board.put("a1", 1)
        here.board.hub.restart()
        here.board.put("a1", 2)
        assert (await stream.next())["code"] == Code.GOING_AWAY
        assert stream.last_id == before
    async with events(here, stream.last_id) as stream:
        assert (await stream.next())["things"] == {"a1": 2}


async def test_who_has_gone_is_forgotten(here: Place) -> None:
    async with events(here) as stream:
        await stream.next()
        assert len(here.stage.audience) == 1
    async with asyncio.timeout(30):
        while len(here.stage.audience):  # noqa: ASYNC110 - the server's own clean-up
            await asyncio.sleep(0)


async def test_whose_key_is_revoked_is_told_so_and_ended(here: Place) -> None:
    async with events(here) as stream:
        await stream.next()
        del here.keys["a"]
        await here.stage.audience.check()
        said = await stream.next()
        assert (said["type"], said["code"]) == ("closing", Code.UNAUTHENTICATED)
        with pytest.raises(EOFError):
            await stream.next()


async def test_when_the_server_ends_everybody_is_sent_away() -> None:
    async with place() as here, events(here) as stream:
        await stream.next()
        here.server.should_exit = True
        assert (await stream.next())["code"] == Code.GOING_AWAY
