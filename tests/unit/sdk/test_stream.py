"""Watching jobs: over a socket that is taken up again, by polling where there is none, and what a close code means."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from aiohttp import web
from tests.unit.conftest import Api

from longshore import errors
from longshore.sdk import stream
from longshore.sdk.client import LongshoreClient

Script = Callable[[web.WebSocketResponse, dict[str, Any]], Awaitable[None]]


def record(status: str, id: str = "j1") -> dict[str, Any]:
    return {"id": id, "status": status}


@asynccontextmanager
async def streaming(*scripts: Script) -> AsyncIterator[str]:
    """Each connection plays the next script, with the subscription it began with."""
    left = list(scripts)

    async def handle(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"type": "hello", "position": "e-0"})
        await left.pop(0)(socket, json.loads(await socket.receive_str()))
        return socket

    app = web.Application()
    app.router.add_get("/v1/stream", handle)
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_a_connection_that_breaks_goes_on_after_its_last_number() -> None:
    subscriptions: list[dict[str, Any]] = []

    async def breaks(socket: web.WebSocketResponse, said: dict[str, Any]) -> None:
        subscriptions.append(said)
        await socket.send_json({"type": "snapshot", "id": "watch", "position": "e-3", "jobs": [record("Queued")]})
        await socket.send_json({"type": "job", "seq": 7, "job": record("Running")})
        await socket.close(code=4503, message=b"connect again in 0.1 s: this replica ends")

    async def goes_on(socket: web.WebSocketResponse, said: dict[str, Any]) -> None:
        subscriptions.append(said)
        missed = {"type": "job", "seq": 9, "job": record("Succeeded")}
        await socket.send_json({"type": "resumed", "id": "watch", "position": "e-9", "messages": [missed]})
        with suppress(TypeError):
            await socket.receive()

    async with streaming(breaks, goes_on) as url, LongshoreClient(url, "k") as client, asyncio.timeout(60):
        seen = [(each.type, (each.job or each.jobs[0]).status) async for each in client.jobs.watch("j1")]
    assert seen == [("snapshot", "Queued"), ("job", "Running"), ("job", "Succeeded")]
    assert [said["to"] for said in subscriptions] == [{"job": "j1"}] * 2
    assert [said.get("after") for said in subscriptions] == [None, "e-7"]


async def test_a_replica_that_is_behind_what_another_told_is_asked_again() -> None:
    said: list[str | None] = []

    async def breaks(socket: web.WebSocketResponse, first: dict[str, Any]) -> None:
        said.append(first.get("after"))
        jobs = [record("Pending")]
        await socket.send_json({"type": "snapshot", "id": "watch", "position": "e-3-10.4", "jobs": jobs})
        await socket.send_json({"type": "job", "seq": 4, "known": "9.12", "job": record("Running")})
        await socket.close()

    async def is_behind(socket: web.WebSocketResponse, first: dict[str, Any]) -> None:
        said.append(first.get("after"))
        await socket.send_json({"type": "error", "id": "watch", "status": 503, "detail": "behind", "hint": "later"})
        with suppress(TypeError):
            await socket.receive()

    async def caught_up(socket: web.WebSocketResponse, first: dict[str, Any]) -> None:
        said.append(first.get("after"))
        await socket.send_json({"type": "snapshot", "position": "f-1-12.12", "jobs": [record("Succeeded")]})
        with suppress(TypeError):
            await socket.receive()

    async with streaming(breaks, is_behind, caught_up) as url, LongshoreClient(url, "k") as client, asyncio.timeout(60):
        seen = [(each.job or each.jobs[0]).status async for each in client.jobs.watch("j1")]
    assert seen == ["Pending", "Running", "Succeeded"]
    assert said == [None, "e-4-10.12", "e-4-10.12"]


async def test_a_replica_that_stays_behind_is_away() -> None:
    async def is_behind(socket: web.WebSocketResponse, _said: dict[str, Any]) -> None:
        await socket.send_json({"type": "error", "id": "watch", "status": 503, "detail": "behind", "hint": "later"})
        with suppress(TypeError):
            await socket.receive()

    async with streaming(*[is_behind] * 50) as url, LongshoreClient(url, "k") as client, asyncio.timeout(60):
        with pytest.raises(errors.Unavailable, match="behind"):
            await anext(aiter(client.jobs.watch("j1", outage=0.2)))


async def test_after_a_backup_of_the_cluster_was_put_back_a_watch_goes_on_with_what_is_so() -> None:
    said: list[str | None] = []

    async def breaks(socket: web.WebSocketResponse, first: dict[str, Any]) -> None:
        said.append(first.get("after"))
        await socket.send_json({"type": "snapshot", "position": "e-3-900.901", "jobs": [record("Running")]})
        await socket.close()

    async def is_set_back(socket: web.WebSocketResponse, first: dict[str, Any]) -> None:
        said.append(first.get("after"))
        jobs = [record("Pending")]
        await socket.send_json({"type": "snapshot", "position": "f-1-8.7", "anew": True, "jobs": jobs})
        await socket.close()

    async def ends(socket: web.WebSocketResponse, first: dict[str, Any]) -> None:
        said.append(first.get("after"))
        await socket.send_json({"type": "snapshot", "position": "g-1-9.9", "jobs": [record("Succeeded")]})
        with suppress(TypeError):
            await socket.receive()

    async with streaming(breaks, is_set_back, ends) as url, LongshoreClient(url, "k") as client, asyncio.timeout(60):
        seen = [each.jobs[0].status async for each in client.jobs.watch("j1")]
    assert seen == ["Running", "Pending", "Succeeded"]
    assert said == [None, "e-3-900.901", "f-1-8.7"]


async def test_when_a_window_has_become_another_its_rows_are_asked_for_again() -> None:
    async def changes(socket: web.WebSocketResponse, said: dict[str, Any]) -> None:
        assert said["to"] == {"window": True, "limit": 2}
        await socket.send_json({"type": "snapshot", "position": "e-1", "jobs": [record("Running", "j1")]})
        await socket.send_json({"type": "changed", "id": "watch"})
        assert "after" not in json.loads(await socket.receive_str())
        await socket.send_json({"type": "snapshot", "position": "e-2", "jobs": [record("Running", "j2")]})
        with suppress(TypeError):
            await socket.receive()

    async with streaming(changes) as url, LongshoreClient(url, "k") as client, asyncio.timeout(60):
        rows = []
        async for change in client.jobs.watch(limit=2, window=True):
            rows.append([job.id for job in change.jobs])
            if len(rows) == 2:
                break
    assert rows == [["j1"], ["j2"]]


@pytest.mark.parametrize(
    ("code", "error"), [(4401, errors.Unauthenticated), (4403, errors.Forbidden), (4400, errors.LongshoreError)]
)
async def test_a_code_that_says_no_is_an_error(code: int, error: type[errors.LongshoreError]) -> None:
    async def refuses(socket: web.WebSocketResponse, _: dict[str, Any]) -> None:
        await socket.close(code=code, message=b"this is why")

    async with streaming(refuses) as url, LongshoreClient(url, "k") as client, asyncio.timeout(60):
        with pytest.raises(error, match="this is why"):
            [each async for each in client.jobs.watch("j1")]


async def test_what_cannot_be_followed_is_the_error_it_is() -> None:
    async def refuses(socket: web.WebSocketResponse, _: dict[str, Any]) -> None:
        await socket.send_json({"type": "error", "id": "watch", "status": 404, "detail": "no job", "hint": "look"})

    async with streaming(refuses) as url, LongshoreClient(url, "k") as client, asyncio.timeout(60):
        with pytest.raises(errors.NotFound, match="no job"):
            [each async for each in client.jobs.watch("j1")]


async def test_where_no_socket_can_be_had_it_polls_and_tells_only_what_is_new(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "POLL_SECONDS", 0.01)
    for status in ("Queued", "Queued", "Running", "Succeeded"):
        api.on("GET /v1/jobs/j1", record(status))
    async with LongshoreClient(api.url, "k") as client, asyncio.timeout(60):
        seen = [(each.type, each.jobs[0].status) async for each in client.jobs.watch("j1")]
    assert seen == [("snapshot", "Queued"), ("snapshot", "Running"), ("snapshot", "Succeeded")]


async def test_an_api_that_stays_away_is_told_at_last() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and nobody else gets it
        async with LongshoreClient(f"http://127.0.0.1:{nobody.getsockname()[1]}", "k") as client, asyncio.timeout(60):
            with pytest.raises(errors.Unavailable):
                [each async for each in client.jobs.watch("j1", outage=0.3)]
