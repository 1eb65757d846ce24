"""The process nodes of the session's cluster: one for all tests, and others, with other sandboxes, for some."""

from contextlib import suppress
from typing import Any

from msgspec.structs import replace
from tests.programs import require

from longshore.cluster.cluster import LocalCluster
from longshore.cluster.parts import Part
from longshore.errors import AlreadyExists
from longshore.kube.client import Client
from longshore.kube.objects import NODES

NODE = "node0"
TAINT = "longshore.dev/sandbox"


def node(cluster: LocalCluster, name: str, sandbox: str) -> Part:
    if sandbox == "bubblewrap":
        require("bwrap")
    part = cluster.node_part(name)
    return replace(part, argv=(*part.argv, "--sandbox", sandbox))


async def other_node(cluster: LocalCluster, client: Client, sandbox: str) -> str:
    """The name of a node that no pod comes to unless it tolerates the taint; started by the first test that asks."""
    name = f"node-{sandbox}"
    with suppress(AlreadyExists):
        body = {"metadata": {"name": name}, "spec": {"taints": [{"key": TAINT, "effect": "NoSchedule"}]}}
        await client.create(NODES.read_as(dict[str, Any]), body)
        await cluster.up(extra_parts=[node(cluster, name, sandbox)])
    return name
