"""A node that is lost before the first test, because the control plane takes a minute to believe it."""

import asyncio
import signal
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from msgspec.structs import replace
from tests.cluster.node.process import NodeProcess
from tests.cluster.space import Namespace, Raw, Where, is_running, prefers, shell

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
    await client.patch(NODES, LOST, {"spec": {"unschedulable": None}})
    env = [{"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}]
    script = f'test "$NODE" = {LOST} && exec sleep 600; echo "done on $NODE"'
    await space.job(shell(script, env=env), pod=prefers(LOST), backoffLimit=1)
    pod = await first_pod(space)
    assert pod["spec"]["nodeName"] == LOST
    await space.until(is_running, pod["metadata"]["name"])
    await node.end(signal.SIGKILL)
    await kill_leftovers(node.root)
    await client.delete(NODES, LOST)
    yield space
    await space.close()


async def first_pod(space: Namespace) -> Raw:
    async with space.within(30):
        while True:
            for pod in await space.pods_of("job"):
                if "nodeName" in pod["spec"]:
                    return pod
            await asyncio.sleep(0.1)
