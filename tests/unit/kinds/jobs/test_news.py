"""What a position says of how far the cluster was seen: never more than can be seen."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
from tests.unit.kinds.jobs.test_listing import World, job

from longshore.kinds.jobs.stream.news import Feed, caught_up


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
