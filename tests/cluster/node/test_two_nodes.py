"""Nodes that are drained, and nodes that are lost."""

import asyncio
import signal
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace
from tests.cluster.node.process import NodeProcess, label
from tests.cluster.nodes import NODE
from tests.cluster.space import (
    DEADLINE,
    DEPLOYMENTS,
    POLL_SECONDS,
    RAW_PODS,
    Kubectl,
    Namespace,
    Raw,
    Where,
    has,
    is_ready,
    shell,
)

from longshore.cluster.cluster import LocalCluster
from longshore.cluster.node.attempts import kill_leftovers, leftovers
from longshore.kube.client import Client
from longshore.kube.objects import NODES, PERSISTENT_VOLUME_CLAIMS

SECOND = "second"
MOUNTS: Raw = {"volumeMounts": [{"name": "own", "mountPath": "/own"}, {"name": "kept", "mountPath": "/kept"}]}
SLOW_TO_END = (
    "trap 'sleep 1; echo ended by itself >> /kept/log; exit 0' TERM; touch /own/up; while :; do sleep 0.05; done"
)


@pytest.fixture
async def where(usual: Where) -> Where:
    """Pods go where they like."""
    return replace(usual, node_selector={})


@pytest.fixture
async def second(cluster: LocalCluster, client: Client) -> AsyncIterator[NodeProcess]:
    node = NodeProcess(cluster.node_part(SECOND), client)
    await node.start()
    await node.open()
    await label(client, SECOND, pool="web")
    yield node
    await label(client, NODE, pool=None)
    await node.end(signal.SIGKILL)
    await kill_leftovers(node.root)
    await client.delete(NODES, SECOND)


async def deploy(space: Namespace) -> None:
    """Two pods on the second node, which may go to the first, with a folder of their own and one that is kept."""
    claim = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
    await space.client.create(PERSISTENT_VOLUME_CLAIMS, {"metadata": {"name": "kept"}, "spec": claim}, space.name)
    volumes = [
        {"name": "own", "emptyDir": {}},
        {"name": "kept", "persistentVolumeClaim": {"claimName": "kept"}},
    ]
    spec = {
        "containers": [shell(SLOW_TO_END, startupProbe=has("/own/up"), **MOUNTS)],
        "volumes": volumes,
        "nodeSelector": {"pool": "web"},
    }
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": spec}
    body = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    await space.make(DEPLOYMENTS, {"metadata": {"name": "web"}, "spec": body})


async def nodes_of(space: Namespace) -> list[str]:
    """Where the pods of the deployment are that are ready."""
    page = await space.client.list_page(RAW_PODS, space.name, label_selector="app=web")
    return [
        pod["spec"]["nodeName"] for pod in page.items if is_ready(pod) and "deletionTimestamp" not in pod["metadata"]
    ]


async def test_kubectl_drain_moves_pods_to_the_other_node_with_their_grace(
    space: Namespace, kubectl: Kubectl, second: NodeProcess
) -> None:
    await deploy(space)
    code, _, err = await kubectl("rollout", "status", "deployment/web", "--timeout=60s", deadline=90)
    assert code == 0, err
    assert await nodes_of(space) == [SECOND, SECOND]
    await label(space.client, NODE, pool="web")
    code, _, err = await kubectl("drain", SECOND)
    assert code != 0
    assert "local storage" in err
    code, out, err = await kubectl(
        "drain", SECOND, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=60s", deadline=90
    )
    assert code == 0, err
    assert out.splitlines()[-1] == f"node/{SECOND} drained"
    assert leftovers(second.root) == []
    code, _, err = await kubectl("rollout", "status", "deployment/web", "--timeout=60s", deadline=90)
    assert code == 0, err
    async with space.within(DEADLINE):  # the deployment's status may still be of those before
        while await nodes_of(space) != [NODE, NODE]:  # noqa: ASYNC110
            await asyncio.sleep(POLL_SECONDS)
    _, out, _ = await kubectl("exec", "deployment/web", "--", "cat", "/kept/log")
    assert out == "ended by itself\n" * 2


@pytest.mark.slow("lost_node")
async def test_the_pods_of_a_node_that_is_lost_for_good_are_replaced_on_the_other(lost_node: Namespace) -> None:
    job = await lost_node.job_until(lambda job: job["status"].get("succeeded") == 1, deadline=90)
    assert job["status"]["failed"] == 1
    (pod,) = await lost_node.pods_of("job")
    assert pod["spec"]["nodeName"] == NODE
    assert await lost_node.log(pod["metadata"]["name"]) == f"done on {NODE}\n"
