"""What a position says of how far the cluster was seen: never more than can be seen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from aiohttp import web
from tests.unit.kinds.jobs.test_listing import World, job

from longshore.errors import Gone, Unavailable
from longshore.kinds.jobs.history import History
from longshore.kinds.jobs.stream.interest import Jobs, Select, interest
from longshore.kinds.jobs.stream.news import Feed, caught_up
from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.web.auth import Caller


async def test_when_a_backup_of_the_cluster_was_put_back_nobody_is_told_to_wait_for_what_was_before(
    tmp_path: Path,
) -> None:
    world = World(str(tmp_path))
    world.writer.replace([], 1)
    feed = Feed(world.parts)
    running = asyncio.create_task(feed.run())

    async def knows(known: str) -> None:
        async with asyncio.timeout(30):
            while feed.hub.known != known:  # noqa: ASYNC110 - the feed's own turn
                await asyncio.sleep(0)

    world.version = 900
    before = world.put(job(1, 1))
    await knows("901.0")
    meta = msgspec.structs.replace(before.metadata, resource_version="7")
    world.writer.replace([msgspec.structs.replace(before, metadata=meta)], 8)
    await knows("8.0")
    world.writer.heard()
    await caught_up(world.parts, "8")
    running.cancel()
    await asyncio.wait([running])


@asynccontextmanager
async def server_at(version: int) -> AsyncIterator[tuple[str, list[str]]]:
    """An API server whose lists are of this version, and what it was asked."""
    asked: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        asked.append(request.path_qs)
        return web.json_response(
            {"kind": "JobList", "apiVersion": "batch/v1", "metadata": {"resourceVersion": str(version)}, "items": []}
        )

    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", asked
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(("server", "behind"), [(8, False), (900, True)])
async def test_only_who_can_never_see_what_was_told_begins_anew_and_the_server_is_asked_once_for_all(
    tmp_path: Path, server: int, behind: bool
) -> None:
    world = World(str(tmp_path))
    for writer in (world.writer, world.pods):
        writer.replace([], 8)
        writer.heard()
    who = Caller("someone", tenant="a")
    async with server_at(server) as (url, asked), Client(Config(url)) as client:
        vars(world.parts)["history"] = History(client, asyncio.get_running_loop().time)
        assert await caught_up(world.parts, "8.8")
        assert asked == []
        answers = await asyncio.gather(
            *(interest(world.parts, who, Select(), "900.8") for _ in range(5)), return_exceptions=True
        )
        assert len(asked) == 1
        if behind:
            assert all(isinstance(answer, Unavailable) for answer in answers)
            return
        for each in answers:
            assert isinstance(each, Jobs)
            assert not each.resumable
            assert (await each.snapshot())["anew"] is True
        with pytest.raises(Gone, match="backup"):
            await world.parts.history.wait_for(world.parts.stores.jobs, 900)
    assert "anew" not in await (await interest(world.parts, who, Select(), "8.8")).snapshot()
