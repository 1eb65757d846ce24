"""Simulated nodes beside a real one."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.cluster.space import RAW_PODS, Raw, is_ready, shell

from longshore.cluster import nodes
from longshore.cluster.addons import installed, kwok
from longshore.errors import Forbidden, NotFound
from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.kube.objects import CLUSTER_ROLES, JOBS, NODES, PODS, SECRETS

from .conftest import Equipped

NAMES = [f"simulated{number}" for number in range(20)]
PODS_OF_JOB = 50
RAW_NODES = NODES.read_as(Raw)


async def until(ask: Callable[[], Awaitable[Any]], deadline: float = 60.0) -> Any:
    """The first answer that is true."""
    async with asyncio.timeout(deadline):
        while True:
            if answer := await ask():
                return answer
            await asyncio.sleep(0.1)


def job(lasting: str) -> Raw:
    """Of pods that want simulated nodes."""
    spec = {
        "restartPolicy": "Never",
        "nodeSelector": kwok.LABEL,
        "tolerations": [{"key": kwok.MARK, "operator": "Exists"}],
        "containers": [{"name": "main", "image": "no/such:image"}],
    }
    template = {"metadata": {"annotations": {kwok.DURATION: lasting}}, "spec": spec}
    return {
        "metadata": {"name": "many", "namespace": "default"},
        "spec": {"completions": PODS_OF_JOB, "parallelism": PODS_OF_JOB, "template": template},
    }


async def ready_nodes(admin: Client) -> set[str]:
    return {node["metadata"]["name"] for node in (await admin.list_page(RAW_NODES)).items if is_ready(node)}


async def test_fifty_pods_end_on_twenty_nodes_that_nobody_stands_behind_while_a_real_one_runs(
    equipped: Equipped,
) -> None:
    admin = equipped.admin
    assert await nodes.simulate(equipped.cluster, len(NAMES)) == NAMES

    async def all_ready() -> bool:
        return {*NAMES, "node0"} <= await ready_nodes(admin)

    async def succeeded() -> bool:
        return (await admin.get(JOBS, "many", "default")).status.succeeded == PODS_OF_JOB

    async def said() -> bool:
        return (await equipped.shell("kubectl", "--", "logs", "real")).out == "I am real\n"

    await until(all_ready)
    spec = {"terminationGracePeriodSeconds": 1, "containers": [shell("echo I am real; exec sleep 1000")]}
    await admin.create(PODS, {"metadata": {"name": "real", "namespace": "default"}, "spec": spec})
    await admin.create(JOBS, job(lasting="2s"))
    await until(succeeded)
    pods = (await admin.list_page(RAW_PODS, "default", label_selector="job-name=many")).items
    assert {pod["spec"]["nodeName"] for pod in pods} <= set(NAMES)
    assert len({pod["status"]["podIP"] for pod in pods}) == PODS_OF_JOB
    for pod in pods:
        ended = pod["status"]["containerStatuses"][0]["state"]["terminated"]
        assert ended["finishedAt"] > ended["startedAt"]
    await until(said)
    assert (await admin.get(PODS, "real", "default")).spec.node_name == "node0"
    typed = await equipped.shell("kubectl", "--", "logs", pods[0]["metadata"]["name"])
    assert "no logs found" in typed.err
    await admin.delete(JOBS, "many", "default")
    await admin.delete(PODS, "real", "default")


async def test_it_may_say_how_nodes_and_pods_are_and_little_else(equipped: Equipped) -> None:
    login = equipped.cluster.addon_site("kwok").login()
    async with Client(Config.load(login)) as itself:
        assert (await itself.list_page(NODES)).items
        own = {"metadata": {"name": "own", "namespace": "default"}, "spec": {}}
        for refused in (
            lambda: itself.delete(NODES, "node0"),
            lambda: itself.patch(NODES, "node0", {"spec": {"unschedulable": True}}),
            lambda: itself.create(PODS, own),
            lambda: itself.list_page(SECRETS, "kube-system"),
        ):
            with pytest.raises(Forbidden):
                await refused()


async def test_removed_it_takes_its_nodes_along_and_leaves_the_real_one(equipped: Equipped) -> None:
    admin = equipped.admin
    await kwok.create_nodes(admin, ["last", "removed"])
    assert (await equipped.shell("node", "remove", "removed")).err == "removed is gone\n"
    typed = await equipped.shell("addon", "remove", "kwok")
    assert typed.code == 0, typed.err
    assert [node.metadata.name for node in (await admin.list_page(NODES)).items] == ["node0"]
    roles = (await admin.list_page(CLUSTER_ROLES)).items
    assert kwok.ROLE not in {role.metadata.name for role in roles}
    assert "kwok" not in {part.name for part in (await equipped.cluster.status()).parts}
    with pytest.raises(NotFound, match="not installed"):
        await installed.remove(equipped.cluster, "kwok")


async def test_without_it_nothing_is_simulated_and_the_way_there_is_told(equipped: Equipped) -> None:
    typed = await equipped.shell("node", "add", "--simulated")
    assert typed.code == 2
    assert "addon install kwok" in typed.err
