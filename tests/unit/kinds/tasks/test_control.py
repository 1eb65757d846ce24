"""What the leader says of tasks in the log."""

from __future__ import annotations

import asyncio
import math
from typing import Any, cast

from structlog.testing import capture_logs
from tests.unit.kinds.tasks.cluster import World

from longshore.kinds.tasks.control import Announcer
from longshore.runtime.term import Term


class Parts:
    """As much of Services as is asked for."""

    def __init__(self, world: World) -> None:
        self.stores = world.stores


async def test_each_change_of_a_tasks_status_is_one_line_of_the_log() -> None:
    world = World()
    world.job("before", "Complete")
    with capture_logs() as lines:
        announcing = asyncio.create_task(Announcer(cast(Any, Parts(world))).run(Term(math.inf)))
        await _turns()
        world.job("t1", suspend=True)
        await _turns()
        world.job("t1")
        await _turns()
        world.pod("t1", "Running")
        await _turns()
        world.pod("t1", "Running")
        world.job("theirs", tenant="")
        await _turns()
        world.job("t1", "Failed")
        await _turns()
        world.gone("t1")
        await _turns()
        announcing.cancel()
        await asyncio.wait([announcing])
    told = [(line["task"], line["status"]) for line in lines if line["event"] == "task status"]
    assert told == [("t1", "Pending"), ("t1", "Running"), ("t1", "Failed")]


async def _turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)
