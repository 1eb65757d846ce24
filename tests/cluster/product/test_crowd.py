"""A crowd at one replica of its own: a page's ticket from elsewhere, and a thousand sockets."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from tests.cluster.product.serving import Serving, replica_env, serving

from longshore.cli.local import LocalApi
from longshore.cluster.cluster import LocalCluster
from longshore.kube.client import Client

NewTenant = Callable[..., Awaitable[Any]]


@pytest.fixture(scope="module")
async def replica(
    cluster: LocalCluster, api: LocalApi, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Serving]:
    async with serving(tmp_path_factory.mktemp("crowd"), replica_env(cluster)) as one:
        yield one


def _session(replica: Serving, key: str) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        replica.url, headers={"X-API-Key": key}, connector=aiohttp.TCPConnector(limit=0), read_bufsize=1 << 20
    )


async def test_a_page_comes_in_at_another_replica_than_the_one_that_made_its_ticket(
    new_tenant: NewTenant, replica: Serving, api: LocalApi
) -> None:
    tenant = await new_tenant()
    async with aiohttp.ClientSession() as page:
        async with page.post(f"{api.url}/v1/stream/ticket", headers={"X-API-Key": tenant.key}) as answer:
            offers = ("longshore", f"ticket.{(await answer.json())['ticket']}")
        said = []
        for _ in range(2):
            async with page.ws_connect(f"{replica.url}/v1/stream", protocols=offers) as ws:
                said.append((await ws.receive(timeout=30)).data)
    assert json.loads(said[0])["type"] == "hello"
    assert said[1] == 4401, "it is good once"


async def test_a_thousand_sockets_share_one_watch(new_tenant: NewTenant, replica: Serving, client: Client) -> None:
    tenant = await new_tenant()
    job = await tenant.client.jobs.submit("bash", ["bash", "-c", "sleep 600"])
    async with _session(replica, tenant.key) as session:
        before = await _watches(client)
        sockets = [await _subscribed(session) for _ in range(1000)]
        assert await _watches(client) <= before + 4  # one that is taken up again may be counted twice
        await tenant.client.jobs.stop(job.id)
        last = await asyncio.gather(*(_until_stopped(socket) for socket in sockets))
        assert last == [job.id] * 1000
        for socket in sockets:
            await socket.close()


async def _subscribed(session: aiohttp.ClientSession) -> aiohttp.ClientWebSocketResponse:
    ws: aiohttp.ClientWebSocketResponse = await session.ws_connect("/v1/stream")
    await ws.send_json({"type": "subscribe", "id": "s", "to": {}})
    said = [json.loads((await ws.receive(timeout=60)).data)["type"] for _ in range(2)]
    assert said == ["hello", "snapshot"]
    return ws


async def _until_stopped(ws: aiohttp.ClientWebSocketResponse) -> str:
    """The job's id, once it is told that it was stopped; numbers only grow on the way."""
    seq = 0
    async with asyncio.timeout(90):
        while True:
            said = json.loads((await ws.receive()).data)
            assert said["seq"] > seq
            seq = said["seq"]
            if said["type"] == "job" and said["job"]["status"] == "Stopped":
                return str(said["job"]["id"])


async def _watches(client: Client) -> int:
    """How many watches of Jobs and Pods the API server serves now."""
    text = (await client.call("GET", "/metrics")).decode()
    lines = re.findall(r'^apiserver_longrunning_requests\{(.*verb="WATCH".*)\} (\d+)$', text, re.MULTILINE)
    return sum(int(count) for labels, count in lines if re.search(r'resource="(jobs|pods)"', labels))
