"""A node whose disk is full: it says so, pods wait and are told why, and all goes on by itself once there is room."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from tests.cluster.node.process import NodeProcess, until
from tests.cluster.space import Namespace, Raw, Where, is_over, is_running, shell, status_of, waits_for

from longshore.cluster.cluster import LocalCluster
from longshore.cluster.node.attempts import kill_leftovers
from longshore.kube.client import Client
from longshore.kube.objects import NODES

NODE = "full"
RAW_NODES = NODES.read_as(Raw)
SIZE = "16m"
CORDONED = [{"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}]

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        sys.platform != "linux" or os.geteuid() != 0, reason="a small disk takes root: it is a tmpfs that is mounted"
    ),
]


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """While it lasts `folder` is a file system of its own."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "longshore-test", str(folder)]
    mount = subprocess.run(command, capture_output=True, text=True, check=False)
    if mount.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mount.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
async def node(cluster: LocalCluster, client: Client) -> AsyncIterator[NodeProcess]:
    node = NodeProcess(cluster.node_part(NODE), client)
    node.root.mkdir(parents=True, exist_ok=True)
    with small_disk(node.root):
        await node.start()
        yield node
        await node.end(signal.SIGKILL)
        await kill_leftovers(node.root)
    await client.delete(NODES, NODE)


@pytest.fixture
async def small(client: Client, node: NodeProcess) -> AsyncIterator[Namespace]:
    """A namespace whose pods go to that node, although it is cordoned for those of others."""
    where = Where(on_process_node=True, node_selector={"kubernetes.io/hostname": NODE})
    space = Namespace(client, f"disk-{uuid4().hex[:8]}", where)
    await space.open()
    yield space
    await space.close()


async def says(client: Client, status: str) -> str:
    """Wait until the Node says so of its disk, and the control plane has drawn its conclusion; the message."""
    message = ""

    async def holds() -> bool:
        nonlocal message
        node = await client.get(RAW_NODES, NODE)
        pressure = next(c for c in node["status"]["conditions"] if c["type"] == "DiskPressure")
        message = pressure["message"]
        tainted = any(t["key"] == "node.kubernetes.io/disk-pressure" for t in node["spec"].get("taints", []))
        return bool(pressure["status"] == status) and tainted == (status == "True")

    await until(holds)
    return message


async def not_placed(small: Namespace) -> tuple[list[str], str]:
    """The pods up to one that the scheduler, which may know of the full disk later than we, leaves alone; and why."""
    names: list[str] = []
    while True:
        names.append(await small.create(shell("true"), name=f"waiting{len(names)}", tolerations=CORDONED))
        pod = await small.until(lambda pod: bool(pod["status"].get("conditions")), names[-1])
        scheduled = next(c for c in pod["status"]["conditions"] if c["type"] == "PodScheduled")
        if scheduled["status"] == "False":
            return names, scheduled["message"]


def fill(path: Path) -> None:
    """To the last byte."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096):
            try:
                while True:
                    file.write(os.urandom(size))
            except OSError:
                continue


async def test_a_full_disk_is_told_and_waited_out(client: Client, node: NodeProcess, small: Namespace) -> None:
    assert "of 16.0 MiB are free" in await says(client, "False")
    mount: Raw = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    volume: Raw = {"volumes": [{"name": "v", "emptyDir": {}}]}
    script = "test -e /v/end && exit 0; until test -e /v/end; do sleep 0.05; done; exit 3"
    await small.create(shell(script, **mount), name="again", tolerations=CORDONED, restartPolicy="OnFailure", **volume)
    again = await small.until(is_running, "again")

    filler = node.root / "filler"
    await asyncio.to_thread(fill, filler)
    assert "pods wait for 0.8 MiB" in await says(client, "True")
    (node.root / "pods" / again["metadata"]["uid"] / "volumes" / "v" / "end").touch()
    await small.create(shell("true"), name="placed", nodeName=NODE)
    pods, message = await not_placed(small)
    assert "untolerated taint" in message

    again = await small.until(waits_for("CreateContainerError"), "again")
    assert status_of(again)["lastState"]["terminated"]["exitCode"] == 3  # there was room kept for that
    waiting = status_of(again)["state"]["waiting"]["message"]
    assert "No space left on device (ENOSPC)" in waiting
    assert f"{node.root}/pods/{again['metadata']['uid']}" in waiting
    placed = await small.until(lambda pod: "message" in status_of(pod).get("state", {}).get("waiting", {}), "placed")
    assert "No space left on device (ENOSPC)" in status_of(placed)["state"]["waiting"]["message"]
    assert "No space left on device (ENOSPC)" in await small.event("FailedMount")

    filler.unlink()
    await says(client, "False")
    for name in ("again", "placed", *pods):
        pod = await small.until(is_over, name)
        assert pod["status"]["phase"] == "Succeeded"
