"""A crowd at one replica of its own: a page's ticket from elsewhere, a thousand sockets, and one that does not read."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.cluster.product.serving import Serving, knows, replica_env, serving

from longshore.cli.local import LocalApi
from longshore.cluster.cluster import LocalCluster
from longshore.kube.client import Client
from longshore.kube.objects import JOBS

NewTenant = Callable[..., Awaitable[Any]]
READERS, CHANGES = 50, 60
SNAPSHOTS = 500  # that the one who does not read asks for: more than the kernel takes for him
BIG = 6_000  # characters, twice in a record, so that what one socket leaves unread is soon much
MOST_GROWTH_MB = 48


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
    await knows(replica, tenant.key)
    async with aiohttp.ClientSession() as page:
        async with page.post(f"{api.url}/v1/stream/ticket", headers={"X-API-Key": tenant.key}) as answer:
            offers = ("longshore", f"ticket.{(await answer.json())['ticket']}")
        said = []
        for _ in range(2):
            async with page.ws_connect(f"{replica.url}/v1/stream", protocols=offers) as ws:
                said.append((await ws.receive(timeout=60)).data)
    assert json.loads(said[0])["type"] == "hello"
    assert said[1] == 4401, "it is good once"


async def test_a_thousand_sockets_share_one_watch(new_tenant: NewTenant, replica: Serving, client: Client) -> None:
    tenant = await new_tenant()
    await knows(replica, tenant.key)
    job = await tenant.client.jobs.submit("bash", ["bash", "-c", "sleep 600"])
    async with _session(replica, tenant.key) as session:
        before = await _watches(client)
        sockets, listening = [], []
        for _ in range(1000):
            sockets.append(await _subscribed(session))
            # at once: who does not listen answers no pings
            listening.append(asyncio.ensure_future(_until_stopped(sockets[-1])))
        assert await _watches(client) <= before + 40  # those that are taken up again may be counted twice
        await tenant.client.jobs.stop(job.id)
        last = await asyncio.gather(*listening)
        assert last == [job.id] * 1000
        for socket in sockets:
            await socket.close()


@pytest.mark.timeout(400)
async def test_who_does_not_read_is_told_so_and_cut_off_while_fifty_others_have_each_change_before_the_next(
    new_tenant: NewTenant, replica: Serving, client: Client
) -> None:
    tenant = await new_tenant()
    await knows(replica, tenant.key)
    job = await tenant.client.jobs.submit("bash", ["bash", "-c", "sleep 600", "x" * BIG, "y" * BIG])
    name = job.id
    async with _session(replica, tenant.key) as session, asyncio.timeout(200):
        readers = [await _subscribed(session) for _ in range(READERS)]
        asleep = await _asleep(replica, tenant.key)
        cut_off = asyncio.ensure_future(_cut_off(session, asleep))
        before, delays = _memory_mb(replica), []
        for number in range(CHANGES):
            began = time.monotonic()
            annotation = {"metadata": {"annotations": {"test/number": str(number)}}}
            changed = await client.patch(JOBS, name, annotation, tenant.namespace)
            version = int(changed.metadata.resource_version)
            await asyncio.gather(*(_until_version(reader, version) for reader in readers))
            delays.append(time.monotonic() - began)
        grown = _memory_mb(replica) - before
        assert await cut_off == (4408, "you read too slowly: connect again and go on after your last position")
        changed = await client.patch(
            JOBS, name, {"metadata": {"annotations": {"test/number": "last"}}}, tenant.namespace
        )
        version = int(changed.metadata.resource_version)
        await asyncio.gather(*(_until_version(reader, version) for reader in readers))
        for reader in readers:
            await reader.close()
    await tenant.client.jobs.stop(job.id)
    print(f"median {sorted(delays)[CHANGES // 2] * 1000:.0f} ms for {READERS} readers, {grown:.1f} MB more")
    assert grown < MOST_GROWTH_MB


async def _subscribed(session: aiohttp.ClientSession) -> aiohttp.ClientWebSocketResponse:
    ws: aiohttp.ClientWebSocketResponse = await session.ws_connect("/v1/stream")
    await ws.send_json({"type": "subscribe", "id": "s", "to": {}})
    said = [json.loads((await ws.receive(timeout=60)).data)["type"] for _ in range(2)]
    assert said == ["hello", "snapshot"]
    return ws


async def _until_stopped(ws: aiohttp.ClientWebSocketResponse) -> str:
    """The job's id, once it is told that it was stopped; numbers only grow on the way."""
    seq = 0
    async with asyncio.timeout(100):
        while True:
            said = json.loads((await ws.receive()).data)
            assert said["seq"] > seq
            seq = said["seq"]
            if said["type"] == "job" and said["job"]["status"] == "Stopped":
                return str(said["job"]["id"])


async def _until_version(ws: aiohttp.ClientWebSocketResponse, version: int) -> None:
    """Return when this socket has been told of the job in this version."""
    while True:
        said = json.loads((await ws.receive(timeout=60)).data)
        if said["type"] == "job" and int(said["job"]["resource_version"]) >= version:
            return


async def _asleep(replica: Serving, key: str) -> socket.socket:
    """A client that subscribes to everything and never reads, with as little room as the kernel gives."""
    port = int(replica.url.rpartition(":")[2])
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    one.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(one, ("127.0.0.1", port))
    head = (
        f"GET /v1/stream HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"X-API-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    text = json.dumps({"type": "subscribe", "id": "s"}).encode()
    frame = bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text
    await loop.sock_sendall(one, head.encode())
    said = b""
    while b"hello" not in said:
        said += (chunk := await loop.sock_recv(one, 4096))
        assert chunk, said
    await loop.sock_sendall(one, frame * SNAPSHOTS)
    return one


async def _cut_off(session: aiohttp.ClientSession, asleep: socket.socket) -> tuple[int, str]:
    """How it ends, which it must read soon after it is cut off, whatever the others do meanwhile."""
    while 'code="too_slow"} 1.0' not in await _metrics(session):  # noqa: ASYNC110 - of another process
        await asyncio.sleep(0.2)
    return await _end_of(asleep)


async def _end_of(asleep: socket.socket) -> tuple[int, str]:
    """All that it was sent, read at last: the code and reason of its end."""
    said, loop = bytearray(), asyncio.get_running_loop()
    while chunk := await loop.sock_recv(asleep, 1 << 20):
        said += chunk
        place = said.rfind(b"\x88", max(0, len(said) - 125))
        if place >= 0 and len(said) > place + 3 and len(said) == place + 2 + said[place + 1]:
            break
    asleep.close()
    return int.from_bytes(said[place + 2 : place + 4]), said[place + 4 :].decode()


async def _metrics(session: aiohttp.ClientSession) -> str:
    async with session.get("/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return "\n".join(line for line in lines if line.startswith("longshore_stream_let_go"))


def _memory_mb(replica: Serving) -> float:
    """What is resident of its memory."""
    status = Path(f"/proc/{replica.process.pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) / 1024


async def _watches(client: Client) -> int:
    """How many watches of Jobs and Pods the API server serves now."""
    text = (await client.call("GET", "/metrics")).decode()
    lines = re.findall(r'^apiserver_longrunning_requests\{(.*verb="WATCH".*)\} (\d+)$', text, re.MULTILINE)
    return sum(int(count) for labels, count in lines if re.search(r'resource="(jobs|pods)"', labels))
