"""Events about pods, against an API that refuses the first one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from longshore.cluster.node.events import Events
from longshore.cluster.node.model import Pod
from longshore.kube.client import Client
from longshore.kube.config import Config

if TYPE_CHECKING:
    from tests.unit.conftest import Api

POST = "POST /api/v1/namespaces/n/events"


async def test_an_event_that_could_not_be_written_is_told_anew_the_next_time(api: Api) -> None:
    api.problem(POST, 422, "not this time")
    api.on(POST, {"metadata": {"name": "e"}})
    pod = msgspec.convert({"metadata": {"name": "p", "namespace": "n"}, "spec": {}}, Pod)
    async with Client(Config(api.url)) as client, asyncio.timeout(60):
        events = Events(client, "node")
        running = asyncio.create_task(events.run())
        for _ in range(2):
            events.warning(pod, "Failed", "no luck")
        while len(api.asked) < 2:  # noqa: ASYNC110 - of another thread
            await asyncio.sleep(0.01)
        running.cancel()
    assert [f"{asked.method} {asked.path}" for asked in api.asked] == [POST, POST]
