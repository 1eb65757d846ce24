"""The sockets over stores that the test changes, through a real server: many at once, and the API server away."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest
import uvicorn
from fastapi import FastAPI
from tests.unit.kinds.tasks.cluster import World
from tests.unit.web.stream.raw import Raw

from longshore.kinds.kind import Services
from longshore.kinds.tasks import compat, desk, outbox, sockets, watching
from longshore.runtime.bus import Bus
from longshore.services import open_archive
from longshore.settings import Settings
from longshore.web import problems
from longshore.web.auth import Authentication, Caller, PodIdentity
from longshore.web.stream import wire
from longshore.web.stream.audience import Audience
from longshore.web.stream.messages import Code
from longshore.web.stream.socket import Stage
from longshore.web.stream.tickets import Tickets
from longshore.web.stream.wire import Wire

CROWD = 300


KEYS = {"good"}


async def known(credential: str) -> Caller | None:
    if credential == "pod":
        return Caller("pod p", pod=PodIdentity("longshore-t-a", "p", "u"))
    return Caller("key k", tenant="a") if credential in KEYS else None


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def app() -> FastAPI:
    return FastAPI()


@pytest.fixture
def stage(app: FastAPI) -> Stage:
    """With room for two sockets of each caller."""
    authentication = Authentication([known])
    nothing = cast(Any, None)
    stage = Stage(nothing, Audience(authentication.recognise, most_each=2), Tickets(), nothing, nothing)
    app.state.stage = stage
    return stage


@pytest.fixture
async def session(world: World, tmp_path: Path, app: FastAPI) -> AsyncIterator[aiohttp.ClientSession]:
    settings = Settings(archive=tmp_path.as_uri())
    bus = Bus()
    archive = open_archive(settings.archive)
    parts = Services(settings, cast(Any, None), world.stores, archive, bus, lambda: datetime.now(UTC))
    app.state.authentication = Authentication([known])
    app.include_router(compat.router)
    app.include_router(sockets.router)
    problems.install(app)
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", ws=Wire))
    app.state.server = server
    async with desk.opened(settings, parts, bus, parts.now) as app.state.tasks:
        serving = asyncio.ensure_future(server.serve(sockets=[listening]))
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(url, headers={"X-API-Key": "good"}, connector=connector) as session:
            yield session
        server.should_exit = True
        await serving


async def test_while_the_api_server_is_away_sockets_say_so_and_stay_open(
    world: World, session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(watching, "PATIENCE_SECONDS", 0.1)
    world.job("t1")
    path = "/api/task-status?job_name=t1"
    async with session.ws_connect("/ws/task-status/t1") as one, asyncio.timeout(60):
        assert (await one.receive_json())["status"] == "Pending"
        world.jobs.trouble("the API server is away")
        said = await one.receive_json()
        assert said == {"status": "Error", "message": "the API server is away"}
        async with session.ws_connect("/ws/task-status/t1") as late:
            assert (await late.receive_json())["status"] == "Error"
            async with session.get(path) as answer:
                assert (answer.status, (await answer.json())["status"]) == (503, "Error")
                assert answer.headers["Retry-After"]
            world.pod("t1", "Running")
            world.jobs.trouble(None)
            assert (await one.receive_json())["status"] == "Running"
            assert (await late.receive_json())["status"] == "Running"
            async with session.get(path) as answer:
                assert (answer.status, (await answer.json())["status"]) == (200, "Running")
            world.job("t1", "Complete")
            assert (await late.receive_json())["status"] == "Succeeded"
        assert (await one.receive_json())["status"] == "Succeeded"
        assert (await one.receive()).type is aiohttp.WSMsgType.CLOSE
        assert one.close_code == 1000


async def test_a_crowd_of_sockets_has_one_watch_and_each_hears_its_own_to_the_end(
    world: World, session: aiohttp.ClientSession
) -> None:
    for number in range(10):
        world.job(f"t{number}", suspend=True)

    async def follow(number: int) -> list[str]:
        async with session.ws_connect(f"/ws/task-status/t{number}") as one, asyncio.timeout(90):
            said = [json.loads((await one.receive()).data)["status"]]
            connected.release()
            said += [json.loads(message.data)["status"] async for message in one]
            assert one.close_code == 1000
            return said

    connected = asyncio.Semaphore(0)
    crowd = [asyncio.create_task(follow(number % 10)) for number in range(CROWD)]
    for _ in crowd:
        await connected.acquire()
    assert (world.stores.jobs.subscribers, world.stores.pods.subscribers) == (1, 1)
    for number in range(10):
        world.pod(f"t{number}", "Running")
        world.job(f"t{number}")
    await asyncio.sleep(0)
    for number in range(10):
        world.job(f"t{number}", "Complete" if number % 2 else "Failed")
    heard = await asyncio.gather(*crowd)
    for number, said in enumerate(heard):
        assert said[0] == "Pending"
        assert said[-1] == ("Succeeded" if number % 2 else "Failed")
        assert len(said) == len(set(said))


@pytest.mark.parametrize("headers", [{}, {"X-API-Key": "bad"}])
async def test_who_shows_no_key_is_closed_with_a_code_that_says_so(
    session: aiohttp.ClientSession, headers: dict[str, str]
) -> None:
    url = str(session._base_url)
    async with aiohttp.ClientSession(url, headers=headers) as stranger, stranger.ws_connect("/ws/tasks") as one:
        assert (await one.receive()).type is aiohttp.WSMsgType.CLOSE
        assert one.close_code == 4401


async def test_a_page_shows_its_key_as_a_subprotocol_which_is_never_sent_back(session: aiohttp.ClientSession) -> None:
    url = str(session._base_url)
    async with (
        aiohttp.ClientSession(url) as page,
        page.ws_connect("/ws/tasks", protocols=("longshore", "bearer.good")) as one,
    ):
        assert one.protocol == "longshore"
        await one.send_json({"type": "ping"})
        assert await one.receive_json() == {"type": "pong"}


async def test_a_key_that_is_revoked_ends_its_sockets(
    world: World, session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "LOOK_AGAIN_SECONDS", 0.1)
    world.job("t1")
    KEYS.add("lent")
    url = str(session._base_url)
    async with (
        aiohttp.ClientSession(url, headers={"X-API-Key": "lent"}) as guest,
        guest.ws_connect("/ws/task-status/t1") as one,
        guest.ws_connect("/ws/tasks") as many,
        session.ws_connect("/ws/tasks") as ours,
        asyncio.timeout(60),
    ):
        assert (await one.receive_json())["status"] == "Pending"
        KEYS.remove("lent")
        for socket_ in (one, many):
            assert (await socket_.receive()).type is aiohttp.WSMsgType.CLOSE
            assert socket_.close_code == 4401
        await ours.send_json({"type": "ping"})
        assert await ours.receive_json() == {"type": "pong"}


async def test_a_key_that_is_revoked_ends_a_socket_that_never_stops_talking(
    session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "LOOK_AGAIN_SECONDS", 0.2)
    KEYS.add("lent")
    url = str(session._base_url)
    async with (
        aiohttp.ClientSession(url, headers={"X-API-Key": "lent"}) as guest,
        guest.ws_connect("/ws/tasks") as one,
        asyncio.timeout(60),
    ):
        KEYS.remove("lent")
        while not one.closed:
            await one.send_json({"type": "ping"})
            if (await one.receive()).type is aiohttp.WSMsgType.CLOSE:
                break
        assert one.close_code == 4401


async def test_a_pods_token_opens_no_socket(session: aiohttp.ClientSession) -> None:
    url = str(session._base_url)
    for path in ("/ws/tasks", "/ws/task-status/t1"):
        async with (
            aiohttp.ClientSession(url, headers={"X-API-Key": "pod"}) as pod,
            pod.ws_connect(path) as one,
            asyncio.timeout(60),
        ):
            assert (await one.receive()).type is aiohttp.WSMsgType.CLOSE
            assert one.close_code == 4401


async def test_sockets_of_one_caller_are_counted_and_room_is_given_back(
    world: World, session: aiohttp.ClientSession, stage: Stage
) -> None:
    world.job("t1")
    async with asyncio.timeout(60):
        async with session.ws_connect("/ws/tasks") as one, session.ws_connect("/ws/task-status/t1") as other:
            assert (await other.receive_json())["status"] == "Pending"
            await one.send_json({"type": "ping"})
            assert await one.receive_json() == {"type": "pong"}
            async with session.ws_connect("/ws/tasks") as more:
                assert (await more.receive()).type is aiohttp.WSMsgType.CLOSE
                assert more.close_code == 4429
        while len(stage.audience):  # noqa: ASYNC110 - the server's own clean-up
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "nonsense", ["[" * 4000, "{", '{"type": "shout"}', '{"type": "ping", "task_id": "%s"}' % ("x" * 400), ""]
)
async def test_what_is_no_message_is_answered_and_the_socket_stays(
    session: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture, nonsense: str
) -> None:
    async with session.ws_connect("/ws/tasks") as ws, asyncio.timeout(60):
        await ws.send_str(nonsense)
        assert (await ws.receive_json())["type"] == "error"
        await ws.send_json({"type": "ping"})
        assert await ws.receive_json() == {"type": "pong"}
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]


@pytest.mark.parametrize(("seconds", "waiting"), [(0.2, 1_000_000), (600.0, 50)])
async def test_who_asks_and_does_not_read_is_cut_off_with_a_code(
    session: aiohttp.ClientSession, app: FastAPI, monkeypatch: pytest.MonkeyPatch, seconds: float, waiting: int
) -> None:
    monkeypatch.setattr(outbox, "SEND_SECONDS", seconds)
    monkeypatch.setattr(outbox, "MOST_WAITING", waiting)
    monkeypatch.setattr(wire, "CUT_SECONDS", 60.0)
    assert session._base_url is not None
    one = await Raw.connect(session._base_url.port or 0, "/ws/tasks", "good")
    asleep = one.sleep()
    async with asyncio.timeout(60):
        for number in range(30_000):  # whose answers are more than the kernel takes
            one.say(type="unsubscribe", task_id=f"{number}{'x' * 280}")
            await one.writer.drain()
        connections = app.state.server.server_state.connections
        while not any(each.close_sent for each in connections):  # noqa: ASYNC110 - the server's own doing
            await asyncio.sleep(0.01)
        asleep.resume_reading()
        assert await one.end() == Code.TOO_SLOW
