"""Logs of real pods whose connections break: cut on the way, or with the API server or the node killed.

The log must be the same to the byte. The cluster is this module's own, because its parts are killed.
"""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from msgspec import Struct

from longshore.cluster.cluster import LocalCluster
from longshore.errors import NotFound
from longshore.kube import logs
from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.kube.objects import PODS, SERVICE_ACCOUNTS

from .watched import until

pytestmark = pytest.mark.timeout(400)
NODE = "node0"
# Lines of the same time, lines that are long, some for as long as nobody listens at the gate, and one that grows slowly
SCRIPT = """
for i in $(seq 1 $LINES); do
  echo line $i; echo err $i >&2
  [ $((i % 50)) = 0 ] && { head -c 40000 /dev/zero | tr '\\0' x; echo; }
  [ $((i % 20)) = 0 ] && sleep 0.05
done
until (: < /dev/tcp/127.0.0.1/$GATE) 2> /dev/null; do echo waiting; sleep 0.1; done
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


class Writer(Struct, frozen=True):
    """A pod that writes its log, and goes on for as long as it is not told to come to an end."""

    name: str
    gate: socket.socket

    def come_to_an_end(self) -> None:
        self.gate.listen()


@pytest.fixture
async def pod(admin: Client) -> AsyncIterator[Writer]:
    """One that has begun."""
    with socket.socket() as gate:
        gate.bind(("127.0.0.1", 0))
        name = f"writer-{uuid4().hex[:8]}"
        container = {
            "name": "main",
            "image": "bash",
            "command": ["bash", "-c", SCRIPT],
            "env": [{"name": "LINES", "value": "1000"}, {"name": "GATE", "value": f"{gate.getsockname()[1]}"}],
        }
        body = {"metadata": {"name": name}, "spec": {"restartPolicy": "Never", "containers": [container]}}
        await admin.create(PODS, body, "default")
        async with asyncio.timeout(60):
            while (await admin.get(PODS, name, "default")).status.phase == "Pending":  # noqa: ASYNC110
                await asyncio.sleep(0.05)  # a pod has no event of its own
        yield Writer(name, gate)


async def whole(client: Client, pod: Writer) -> bytes:
    """The log over one connection, when it is complete."""
    async with asyncio.timeout(60):
        while True:
            if (await client.get(PODS, pod.name, "default")).status.phase == "Succeeded":
                return b"".join([chunk async for chunk in client.logs(pod.name, "default")])
            await asyncio.sleep(0.1)


class Following:
    """Reads a log; `said` is what it has so far."""

    def __init__(self, client: Client, pod: Writer, **options: Any) -> None:
        self.said: list[bytes] = []
        self._task = asyncio.create_task(self._read(logs.read(client, pod.name, "default", follow=True, **options)))

    async def _read(self, log: AsyncGenerator[bytes, None]) -> None:
        async with aclosing(log):
            async for chunk in log:
                self.said.append(chunk)

    async def hears_more(self) -> None:
        before = len(self.said)
        await until(lambda: len(self.said) > before or self._task.done())

    async def all(self) -> bytes:
        await self._task
        return b"".join(self.said)


async def kill_meanwhile(cluster: LocalCluster, part: str, following: Following, pod: Writer) -> None:
    """Kill a part in the midst of the log, which ends some time after it is followed again."""
    await following.hears_more()
    pid = await pid_of(cluster, part)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(60):
        while await pid_of(cluster, part) in (pid, None):  # noqa: ASYNC110
            await asyncio.sleep(0.05)  # a process of another has no event
    await following.hears_more()
    pod.come_to_an_end()


async def pid_of(cluster: LocalCluster, part: str) -> int | None:
    return next(one.pid for one in (await cluster.status()).parts if one.name == part)


@asynccontextmanager
async def cutting(config: Config, seconds: float) -> AsyncIterator[tuple[Config, list[int]]]:
    """The same server behind a relay that cuts every connection after so many seconds; counts the connections.

    Each may live a little longer than the one before: a slow machine gets on, too.
    """
    host, port = config.server.removeprefix("https://").split(":")
    count: list[int] = []

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        count.append(1)
        lives = seconds * 1.05 ** len(count)
        to_server = await asyncio.open_connection(host, int(port))

        async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                target.write(data)
                await target.drain()

        with suppress(TimeoutError, ConnectionError, ExceptionGroup):
            async with asyncio.timeout(lives), asyncio.TaskGroup() as both:
                both.create_task(copy(reader, to_server[1]))
                both.create_task(copy(to_server[0], writer))
        for end in (writer, to_server[1]):
            end.transport.abort()

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    try:
        yield replace(config, server=f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"), count
    finally:
        server.close()


async def test_a_log_whose_connections_are_cut_is_the_same_to_the_byte(
    admin: Client, config: Config, pod: Writer
) -> None:
    async with cutting(config, 0.3) as (behind, connections), Client(behind) as client:
        following = Following(client, pod)
        await until(lambda: len(connections) > 5)
        pod.come_to_an_end()
        followed = await following.all()
    assert followed == await whole(admin, pod)


async def test_a_log_survives_its_api_server_killed(own: LocalCluster, admin: Client, pod: Writer) -> None:
    following = Following(admin, pod)
    await kill_meanwhile(own, "kube-apiserver", following, pod)
    assert await following.all() == await whole(admin, pod)


async def test_a_log_survives_its_node_killed(own: LocalCluster, admin: Client, pod: Writer) -> None:
    following = Following(admin, pod)
    await kill_meanwhile(own, own.node_part(NODE).name, following, pod)
    assert await following.all() == await whole(admin, pod)


async def test_a_tail_is_followed_without_a_gap(admin: Client, config: Config, pod: Writer) -> None:
    async with cutting(config, 0.3) as (behind, _), Client(behind) as client:
        following = Following(client, pod, tail_lines=0)
        await following.hears_more()
        pod.come_to_an_end()
        followed = await following.all()
    assert followed
    assert (await whole(admin, pod)).endswith(followed)


async def test_times_are_those_of_the_node(admin: Client, pod: Writer) -> None:
    pod.come_to_an_end()
    complete = await whole(admin, pod)
    timed = b"".join([chunk async for chunk in logs.read(admin, pod.name, "default", timestamps=True)])
    assert b"".join(line.partition(b" ")[2] + b"\n" for line in timed.splitlines()) == complete
    assert timed == b"".join([chunk async for chunk in admin.logs(pod.name, "default", timestamps=True)])
