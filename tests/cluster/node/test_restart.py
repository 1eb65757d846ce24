"""The node process killed, stopped and started: running pods are adopted, exit codes and logs are not lost."""

import os
import signal
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import pytest
from tests.cluster.node.process import NodeProcess, until

from longshore.cluster.cluster import LocalCluster
from longshore.cluster.node.attempts import kill_leftovers, leftovers
from longshore.cluster.processes import is_running
from longshore.errors import NotFound
from longshore.kube.client import Client
from longshore.kube.objects import CONFIG_MAPS, NAMESPACES, NODES, PODS

Raw = dict[str, Any]
RAW_PODS = PODS.read_as(Raw)
NODE = "restarted"


class Here:
    """The namespace of one test, and its pods on that node."""

    def __init__(self, client: Client, namespace: str) -> None:
        self._client = client
        self.namespace = namespace

    async def create(self, script: str, name: str = "pod", container: Raw | None = None, **spec: Any) -> None:
        container = {"name": "main", "image": "busybox", "command": ["sh", "-c", script], **(container or {})}
        fields = {"nodeName": NODE, "restartPolicy": "Never", "terminationGracePeriodSeconds": 3, **spec}
        body = {"metadata": {"name": name}, "spec": {"containers": [container], **fields}}
        await self._client.create(RAW_PODS, body, self.namespace)

    async def until(self, holds: Callable[[Raw], bool], name: str = "pod") -> Raw:
        pod: Raw = {}

        async def look() -> bool:
            nonlocal pod
            pod = await self._client.get(RAW_PODS, name, self.namespace)
            return holds(pod)

        await until(look)
        return pod

    async def log(self, name: str = "pod") -> str:
        return b"".join([chunk async for chunk in self._client.logs(name, self.namespace)]).decode()


def _container(pod: Raw) -> Raw:
    statuses: list[Raw] = pod["status"].get("containerStatuses") or [{}]
    return statuses[0]


def _runs(pod: Raw) -> bool:
    return "running" in _container(pod).get("state", {})


def _is_over(pod: Raw) -> bool:
    return pod["status"]["phase"] in ("Succeeded", "Failed")


@pytest.fixture
async def node(cluster: LocalCluster, client: Client) -> AsyncIterator[NodeProcess]:
    node = NodeProcess(cluster.node_part(NODE), client)
    await node.start()
    yield node
    await node.end(signal.SIGKILL)
    await kill_leftovers(node.root)
    await client.delete(NODES, NODE)


@pytest.fixture
async def here(client: Client, node: NodeProcess) -> AsyncIterator[Here]:
    namespace = f"restart-{uuid.uuid4().hex[:8]}"
    await client.create(NAMESPACES, {"metadata": {"name": namespace}})

    async def is_filled() -> bool:
        try:
            await client.get(CONFIG_MAPS, "kube-root-ca.crt", namespace)
        except NotFound:
            return False
        return True

    await until(is_filled)
    yield Here(client, namespace)
    for pod in (await client.list_page(RAW_PODS, namespace)).items:
        with suppress(NotFound):  # its node was quicker
            await client.delete(RAW_PODS, pod["metadata"]["name"], namespace, grace_period_seconds=0)
    await client.delete(NAMESPACES, namespace)


async def test_a_pod_that_runs_on_is_adopted(node: NodeProcess, here: Here) -> None:
    await here.create("echo before; sleep 4; echo after; exit 7")
    before = await here.until(_runs)
    await node.end(signal.SIGKILL)
    await node.start()
    pod = await here.until(_is_over)
    assert _container(pod)["state"]["terminated"]["exitCode"] == 7
    assert _container(pod)["containerID"] == _container(before)["containerID"]
    assert _container(pod)["restartCount"] == 0
    assert pod["status"]["podIP"] == before["status"]["podIP"]
    assert await here.log() == "before\nafter\n"


async def test_an_exit_code_is_not_lost_while_no_node_runs(node: NodeProcess, here: Here) -> None:
    volume: Raw = {"volumes": [{"name": "v", "emptyDir": {}}]}
    mount: Raw = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    await here.create("until test -e /v/end; do sleep 0.05; done; echo said; exit 9", container=mount, **volume)
    pod = await here.until(_runs)
    await node.end(signal.SIGKILL)
    (node.root / "pods" / pod["metadata"]["uid"] / "volumes/v/end").touch()

    async def has_ended() -> bool:
        return not leftovers(node.root)

    await until(has_ended)
    await node.start()
    pod = await here.until(_is_over)
    assert _container(pod)["state"]["terminated"]["exitCode"] == 9
    assert await here.log() == "said\n"


async def test_processes_killed_with_their_node_are_told_as_such(node: NodeProcess, here: Here) -> None:
    await here.create("sleep 600")
    await here.until(_runs)
    await node.end(signal.SIGKILL)
    assert len(leftovers(node.root)) >= 2  # the container's holder and its command
    await kill_leftovers(node.root)
    assert leftovers(node.root) == []
    await node.start()
    pod = await here.until(_is_over)
    assert pod["status"]["phase"] == "Failed"
    assert _container(pod)["state"]["terminated"]["exitCode"] == 137


async def test_a_holder_that_was_killed_takes_its_container_along(node: NodeProcess, here: Here) -> None:
    await here.create("sleep 600")
    await here.until(_runs)
    holder, *commands = leftovers(node.root)
    os.kill(holder.pid, signal.SIGKILL)
    pod = await here.until(_is_over)
    assert _container(pod)["state"]["terminated"]["reason"] == "ContainerStatusUnknown"
    assert commands
    assert not any(is_running(command) for command in commands)


async def test_a_stopped_node_ends_its_pods_and_says_that_it_was_not_their_fault(node: NodeProcess, here: Here) -> None:
    await here.create("trap '' TERM; while :; do sleep 0.05; done")
    await here.create("sleep 600", name="lasting", restartPolicy="Always")
    await here.until(_runs)
    await here.until(_runs, "lasting")
    assert await node.end(signal.SIGTERM) == 0
    assert leftovers(node.root) == []
    pod = await here.until(_is_over)
    assert pod["status"]["reason"] == "Terminated"
    conditions = {c["type"]: c for c in pod["status"]["conditions"]}
    assert conditions["DisruptionTarget"]["reason"] == "TerminationByKubelet"
    await node.start()
    lasting = await here.until(lambda pod: _runs(pod) and _container(pod)["restartCount"] > 0, "lasting")
    assert _container(lasting)["restartCount"] == 1


async def test_a_pod_deleted_while_no_node_runs_is_ended_by_the_next_one(
    node: NodeProcess, here: Here, client: Client
) -> None:
    await here.create("sleep 600")
    await here.until(_runs)
    await node.end(signal.SIGKILL)
    await client.delete(RAW_PODS, "pod", here.namespace, grace_period_seconds=0)
    assert leftovers(node.root)
    await node.start()

    async def is_clean() -> bool:
        return not leftovers(node.root) and not list((node.root / "pods").iterdir())

    await until(is_clean)


async def test_a_pod_deleted_by_force_leaves_no_process(node: NodeProcess, here: Here, client: Client) -> None:
    await here.create("trap '' TERM; while :; do sleep 0.05; done", terminationGracePeriodSeconds=600)
    await here.until(_runs)
    assert leftovers(node.root)
    await client.delete(RAW_PODS, "pod", here.namespace, grace_period_seconds=0)

    async def is_clean() -> bool:
        return not leftovers(node.root) and not list((node.root / "pods").iterdir())

    await until(is_clean)
