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
from longshore.kube.objects import PODS, SERVICE_ACCOUNTS


@pytest.fixture
async def busy(tmp_path: Path) -> AsyncIterator[LocalCluster]:
    """A cluster whose node runs a pod of two processes that ignore SIGTERM."""
    cluster = LocalCluster("leftovers", state_root=tmp_path, fsync=False)
    await cluster.up(extra_parts=[cluster.node_part("node0")])
    script = "trap '' TERM; sleep 4001 & while true; do sleep 4002; done"
    container = {"name": "main", "image": "longshore/host", "command": ["sh", "-c", script]}
    pod = {"metadata": {"name": "stubborn"}, "spec": {"containers": [container], "terminationGracePeriodSeconds": 1}}
    async with Client(Config.load(cluster.kubeconfig_path)) as admin:

        async def has_account() -> bool:
            return bool((await admin.list_page(SERVICE_ACCOUNTS, "default")).items)

        async def is_running() -> bool:
            return (await admin.get(PODS, "stubborn", "default")).status.phase == "Running"

        await until(has_account)
        await admin.create(PODS, pod, "default")
        await until(is_running)
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
        if words[:2] in ([b"sleep", b"4001"], [b"sleep", b"4002"]):
            found.append(entry.parent.name)
    return found


async def test_down_ends_pods_that_ignore_it(busy: LocalCluster) -> None:
    assert len(sleepers()) == 2
    await busy.down()
    assert sleepers() == []
    assert marked(busy.folder.root) == []


async def test_down_ends_pods_whose_node_and_supervisor_were_killed(busy: LocalCluster) -> None:
    assert len(sleepers()) == 2
    pids = {part.name: part.pid for part in (await busy.status()).parts}
    for name in ("supervisor", "node0"):
        os.kill(pids[name] or 0, signal.SIGKILL)
    await busy.down()
    assert sleepers() == []
    assert marked(busy.folder.root) == []
