"""A node where the kernel lets nobody make namespaces, and without bubblewrap."""

import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.cluster.node.process import NodeProcess
from tests.cluster.space import Namespace, Raw, Where, shell

from longshore.cluster.cluster import LocalCluster
from longshore.cluster.node.attempts import kill_leftovers
from longshore.kube.client import Client
from longshore.kube.objects import NODES

NAME = "confined"
CONFINED = Path(__file__).with_name("confined.py")


def without(program: str, folder: Path) -> Path:
    """A folder for PATH with all programs but one."""
    for path in os.environ["PATH"].split(os.pathsep):
        for entry in os.scandir(path) if os.path.isdir(path) else ():
            if entry.name != program and not os.path.lexists(folder / entry.name):
                (folder / entry.name).symlink_to(entry.path)
    return folder


@pytest.fixture(scope="module")
async def confined(
    cluster: LocalCluster, client: Client, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[NodeProcess]:
    path = without("bwrap", tmp_path_factory.mktemp("programs"))
    part = cluster.node_part(NAME)
    node = NodeProcess(replace(part, argv=("env", f"PATH={path}", sys.executable, str(CONFINED), *part.argv)), client)
    await node.start()
    yield node
    await node.end(signal.SIGKILL)
    await kill_leftovers(node.root)
    await client.delete(NODES, NAME)


@pytest.fixture
async def space(client: Client, confined: NodeProcess) -> AsyncIterator[Namespace]:
    """Its pods name the node, which nobody else's come to."""
    space = Namespace(client, f"confined-{uuid.uuid4().hex[:8]}", Where(on_process_node=True))
    await space.open()
    yield space
    await space.close()


async def test_the_node_is_ready_and_says_what_would_change_it(confined: NodeProcess, client: Client) -> None:
    node: Raw = await client.get(NODES.read_as(Raw), NAME)
    assert node["metadata"]["labels"]["longshore.dev/sandbox"] == "none"
    conditions = {c["type"]: c for c in node["status"]["conditions"]}
    assert conditions["Ready"]["status"] == "True"
    said = conditions["Isolated"]["message"]
    assert "unshare: no further namespaces are allowed" in said
    assert "bubblewrap: bwrap is not on PATH" in said
    assert "sysctl -w user.max_user_namespaces=" in said
    assert "install bubblewrap" in said


async def test_a_pod_without_volumes_runs_as_a_process(space: Namespace) -> None:
    assert await space.output("echo $HOSTNAME; id -u", nodeName=NAME) == ["pod", "1000"]


async def test_a_pod_with_a_volume_is_refused_with_the_field_the_reason_and_what_to_do(space: Namespace) -> None:
    await space.config_map("files", a="b")
    mount: Raw = {"volumeMounts": [{"name": "v", "mountPath": "/etc/mine"}]}
    pod = await space.run(
        shell("true", **mount), volumes=[{"name": "v", "configMap": {"name": "files"}}], nodeName=NAME
    )
    assert (pod["status"]["phase"], pod["status"]["reason"]) == ("Failed", "NotOnProcessNode")
    message = pod["status"]["message"]
    assert message.startswith("spec.containers[0].volumeMounts[0].mountPath: nothing can be shown at /etc/mine (")
    assert "unshare: no further namespaces are allowed" in message
    assert "sysctl -w user.max_user_namespaces=" in message
    assert "install bubblewrap" in message
    assert await space.event("NotOnProcessNode") == message
