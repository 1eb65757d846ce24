"""Logs of real pods whose connections break: cut on the way, or with the API server or the node killed.

The log must be the same to the byte. The cluster is this module's own, because its parts are killed.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from uuid import uuid4

import pytest

from longshore.cluster.cluster import LocalCluster
from longshore.errors import NotFound
from longshore.kube import logs
from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.kube.objects import PODS, SERVICE_ACCOUNTS

pytestmark = pytest.mark.timeout(180)
NODE = "node0"
# Lines of the same time, lines that are long, and one that grows slowly
SCRIPT = """
for i in $(seq 1 $LINES); do
  echo line $i; echo err $i >&2
  [ $((i % 50)) = 0 ] && { head -c 40000 /dev/zero | tr '\\0' x; echo; }
  [ $((i % 20)) = 0 ] && sleep 0.05
done
for i in 1 2 3 4 5; do printf "$i..."; sleep 0.2; done; echo end
"""


@pytest.fixture(scope="module")
async def own(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalCluster]:
    cluster = LocalCluster("logs", state_root=tmp_path_factory.mktemp("logs"), fsync=False)
    await cluster.up(extra_parts=[cluster.node_part(NODE)])
    async with asyncio.timeout(60), Client(Config.load(cluster.kubeconfig_path)) as admin:
        while True:
            with suppress(NotFound):
                await admin.get(SERVICE_ACCOUNTS, "default", "default")
                break
            await asyncio.sleep(0.1)
    yield cluster
    await cluster.reset()


@pytest.fixture
def config(own: LocalCluster) -> Config:
    return Config.load(own.kubeconfig_path)


@pytest.fixture
async def admin(config: Config) -> AsyncIterator[Client]:
    async with Client(config) as client:
        yield client


@pytest.fixture
async def pod(admin: Client) -> str:
    """One that writes its log for about 4 s, and has begun."""
    name = f"writer-{uuid4().hex[:8]}"
    container = {
        "name": "main",
        "image": "bash",
        "command": ["bash", "-c", SCRIPT],
        "env": [{"name": "LINES", "value": "1000"}],
    }
    body = {"metadata": {"name": name}, "spec": {"restartPolicy": "Never", "containers": [container]}}
    await admin.create(PODS, body, "default")
    async with asyncio.timeout(60):
        while True:
            if (await admin.get(PODS, name, "default")).status.phase != "Pending":
                return name
            await asyncio.sleep(0.05)


async def whole(client: Client, pod: str) -> bytes:
    """The log over one connection, when it is complete."""
    async with asyncio.timeout(60):
        while True:
            if (await client.get(PODS, pod, "default")).status.phase == "Succeeded":
                return b"".join([chunk async for chunk in client.logs(pod, "default")])
            await asyncio.sleep(0.1)


async def kill_meanwhile(cluster: LocalCluster, part: str, following: asyncio.Task[bytes]) -> None:
    """Kill a part when the log has been followed for a second."""
    done, _ = await asyncio.wait([following], timeout=1)
    assert not done
    pid = next(one.pid for one in (await cluster.status()).parts if one.name == part)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


@asynccontextmanager
async def cutting(config: Config, seconds: float) -> AsyncIterator[tuple[Config, list[int]]]:
    """The same server behind a relay that cuts every connection after so many seconds; counts the connections."""
    host, port = config.server.removeprefix("https://").split(":")
    count: list[int] = []

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        count.append(1)
        to_server = await asyncio.open_connection(host, int(port))

        async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                target.write(data)
                await target.drain()

        with suppress(TimeoutError, ConnectionError, ExceptionGroup):
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as both:
                both.create_task(copy(reader, to_server[1]))
                both.create_task(copy(to_server[0], writer))
        for end in (writer, to_server[1]):
            end.transport.abort()

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    try:
        yield replace(config, server=f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"), count
    finally:
        server.close()


async def follow(client: Client, pod: str, **options: int | None) -> bytes:
    return b"".join([chunk async for chunk in logs.read(client, pod, "default", follow=True, **options)])  # type: ignore[arg-type]


async def test_a_log_whose_connections_are_cut_is_the_same_to_the_byte(admin: Client, config: Config, pod: str) -> None:
    async with cutting(config, 0.3) as (behind, connections), Client(behind) as client:
        followed = await follow(client, pod)
    assert len(connections) > 5
    assert followed == await whole(admin, pod)


async def test_a_log_survives_its_api_server_killed(own: LocalCluster, admin: Client, pod: str) -> None:
    following = asyncio.create_task(follow(admin, pod))
    await kill_meanwhile(own, "kube-apiserver", following)
    followed = await following
    assert followed == await whole(admin, pod)


async def test_a_log_survives_its_node_killed(own: LocalCluster, admin: Client, pod: str) -> None:
    following = asyncio.create_task(follow(admin, pod))
    await kill_meanwhile(own, own.node_part(NODE).name, following)
    followed = await following
    assert followed == await whole(admin, pod)


async def test_a_tail_is_followed_without_a_gap(admin: Client, config: Config, pod: str) -> None:
    async with cutting(config, 0.3) as (behind, _), Client(behind) as client:
        followed = await follow(client, pod, tail_lines=0)
    assert followed
    assert (await whole(admin, pod)).endswith(followed)


async def test_times_are_those_of_the_node(admin: Client, pod: str) -> None:
    complete = await whole(admin, pod)
    timed = b"".join([chunk async for chunk in logs.read(admin, pod, "default", timestamps=True)])
    assert b"".join(line.partition(b" ")[2] + b"\n" for line in timed.splitlines()) == complete
    assert timed == b"".join([chunk async for chunk in admin.logs(pod, "default", timestamps=True)])
