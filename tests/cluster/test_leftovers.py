"""Pods are processes too: nothing of them is left when a cluster goes down, even after the node was killed."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from longshore.cluster.cluster import LocalCluster
from longshore.cluster.processes import marked
from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.kube.objects import PODS

SECONDS = f"4000.{os.getpid()}"  # nobody else's


@pytest.fixture
async def busy(tmp_path: Path) -> AsyncIterator[LocalCluster]:
    """A cluster whose node runs a pod of two processes that ignore SIGTERM."""
    cluster = LocalCluster("leftovers", state_root=tmp_path, fsync=False)
    await cluster.up(extra_parts=[cluster.node_part("node0")])
    script = f"trap '' TERM; sleep {SECONDS} & while true; do sleep {SECONDS}; done"
    container = {"name": "main", "image": "longshore/host", "command": ["sh", "-c", script]}
    pod = {"metadata": {"name": "stubborn"}, "spec": {"containers": [container], "terminationGracePeriodSeconds": 1}}
    async with Client(Config.load(cluster.kubeconfig_path)) as admin:

        async def both_run() -> bool:
            return len(sleepers()) == 2

        await admin.create(PODS, pod, "default")
        await until(both_run)
    yield cluster
    await cluster.reset()


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while True:
            if await holds():
                return
            await asyncio.sleep(0.05)


def sleepers() -> list[str]:
    """The pod's processes, however they were started and whatever they carry."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().split(b"\0")
        except OSError:
            continue
        if words[:2] == [b"sleep", SECONDS.encode()]:
            found.append(entry.parent.name)
    return found


async def test_down_ends_pods_that_ignore_it(busy: LocalCluster) -> None:
    await busy.down()
    assert sleepers() == []
    assert marked(busy.folder.root) == []


async def test_down_ends_pods_whose_node_and_supervisor_were_killed(busy: LocalCluster) -> None:
    pids = {part.name: part.pid for part in (await busy.status()).parts}
    for name in ("supervisor", "node0"):
        os.kill(pids[name] or 0, signal.SIGKILL)
    await busy.down()
    assert sleepers() == []
    assert marked(busy.folder.root) == []
