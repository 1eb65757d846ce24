"""A node that is lost before the first test, because the control plane takes a minute to believe it."""

import signal
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from msgspec.structs import replace
from tests.cluster.node.process import NodeProcess, label
from tests.cluster.nodes import NODE
from tests.cluster.space import Namespace, Where, shell

from longshore.cluster.cluster import LocalCluster
from longshore.cluster.node.attempts import kill_leftovers
from longshore.kube.client import Client
from longshore.kube.objects import NODES

LOST = "lost"


@pytest.fixture(scope="session")
async def lost_node(cluster: LocalCluster, client: Client, usual: Where) -> AsyncIterator[Namespace]:
    """A Job's pod ran on a node that was killed with all its processes, and that somebody deleted then."""
    space = Namespace(client, f"lost-{uuid4().hex[:8]}", replace(usual, node_selector={}))
    await space.open()
    node = NodeProcess(cluster.node_part(LOST), client)
    await node.start()
    await node.open()
    await label(client, LOST, heir_of=LOST)
    env = [{"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}]
    script = f'test "$NODE" = {LOST} && exec sleep 600; echo "done on $NODE"'
    await space.job(shell(script, env=env), pod={"nodeSelector": {"heir_of": LOST}}, backoffLimit=1)
    await space.job_until(lambda job: job.get("status", {}).get("ready") == 1)
    await label(client, NODE, heir_of=LOST)
    await node.end(signal.SIGKILL)
    await kill_leftovers(node.root)
    await client.delete(NODES, LOST)
    yield space
    await label(client, NODE, heir_of=None)
    await space.close()
