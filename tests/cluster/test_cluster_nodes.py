"""What a cluster has and remembers, as people type it: nodes that come and go, an audit log, images, all clusters."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from longshore.cluster.processes import marked
from longshore.errors import NotFound
from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.kube.objects import NODES, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, SECRETS, Resource

from .shell import Shell

pytestmark = pytest.mark.timeout(300)

Raw = dict[str, Any]
RAW_PODS = PODS.read_as(Raw)
CLAIMS = PERSISTENT_VOLUME_CLAIMS.read_as(Raw)
DEPLOYMENTS: Resource[Raw] = Resource("apps", "v1", "deployments", "Deployment", True, Raw)
BUDGETS: Resource[Raw] = Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", True, Raw)


@pytest.fixture(scope="module")
async def typed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shell]:
    """A cluster with the one node that a new one gets."""
    shell = Shell(tmp_path_factory.mktemp("home"))
    ran = await shell("up", "--no-fsync")
    assert ran.code == 0, ran.err
    yield shell
    assert (await shell("reset", "--yes")).code == 0
    assert marked(shell.folder.root) == []


@pytest.fixture
async def admin(typed: Shell) -> AsyncIterator[Client]:
    async with Client(Config.load(typed.folder.kubeconfig)) as client:
        yield client


async def pod_of(admin: Client, holds: Callable[[Raw], bool]) -> Raw:
    """The one pod of the deployment, once `holds`."""
    async with asyncio.timeout(60):
        while True:
            pods = (await admin.list_page(RAW_PODS, "default", label_selector="app=web")).items
            if len(pods) == 1 and holds(pods[0]):
                return pods[0]
            await asyncio.sleep(0.1)


async def said(admin: Client, pod: Raw, lines: int) -> str:
    """The pod's log, once it has so many lines: who runs may not have said anything yet."""
    async with asyncio.timeout(60):
        while True:
            log = b"".join([chunk async for chunk in admin.logs(pod["metadata"]["name"], "default")])
            if log.count(b"\n") >= lines:
                return log.decode()
            await asyncio.sleep(0.1)


async def let_in(admin: Client, node: str) -> None:
    """The deployment's pod may come to this node too; a preference would be no use before the node is known."""
    await admin.patch(NODES, node, {"metadata": {"labels": {"web": "here"}}})


def runs(pod: Raw) -> bool:
    return bool(pod.get("status", {}).get("phase") == "Running" and not pod["metadata"].get("deletionTimestamp"))


async def nodes(typed: Shell) -> dict[str, Raw]:
    return {node["name"]: node for node in (await typed("node", "list", "--json")).json}


async def claim(admin: Client, name: str) -> None:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    await admin.apply(
        CLAIMS, {"metadata": {"name": name, "namespace": "default"}, "spec": spec}, field_manager="test", force=False
    )


async def bound(admin: Client, claim: str) -> None:
    async with asyncio.timeout(60):
        while (await admin.get(CLAIMS, claim, "default"))["status"].get("phase") != "Bound":  # noqa: ASYNC110 - polled
            await asyncio.sleep(0.05)


async def deploy(admin: Client, node: str) -> Raw:
    """One pod that comes to this node, and counts in its volume how often it was started; once it has."""
    await claim(admin, "web")
    await let_in(admin, node)
    container = {
        "name": "main",
        "image": "busybox",
        "command": ["sh", "-c", "echo start >> /data/starts; cat /data/starts; exec sleep 1000"],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    spec = {
        "containers": [container],
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "web"}}],
        "terminationGracePeriodSeconds": 1,
        "nodeSelector": {"web": "here"},
    }
    labels = {"app": "web"}
    body = {
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": {**labels, "first": node}}, "spec": spec},
        },
    }
    await admin.apply(DEPLOYMENTS, body, field_manager="test")
    pod = await pod_of(admin, lambda pod: runs(pod) and pod["metadata"]["labels"]["first"] == node)
    await said(admin, pod, lines=1)
    return pod


async def test_a_node_is_added_drained_and_removed(typed: Shell, admin: Client) -> None:
    assert (await nodes(typed))["node0"]["ready"]
    assert (await typed("node", "add")).out == "node1\n"
    assert (await nodes(typed)).keys() == {"node0", "node1"}
    first = await deploy(admin, "node1")
    assert first["spec"]["nodeName"] == "node1"

    await let_in(admin, "node0")
    ran = await typed("node", "remove", "node1")
    assert (ran.code, ran.err.splitlines()[-1]) == (0, "node1 is gone")
    moved = await pod_of(admin, runs)
    assert moved["spec"]["nodeName"] == "node0"
    assert await said(admin, moved, lines=2) == "start\nstart\n"
    assert (await nodes(typed)).keys() == {"node0"}
    left = [
        Path(folder, name)
        for folder, folders, files in os.walk(typed.folder.root)
        for name in (*folders, *files)
        if "node1" in name
    ]
    assert [path for path in left if path.parent != typed.folder.logs] == []


async def test_a_node_whose_pods_may_not_leave_stays_unless_forced(typed: Shell, admin: Client) -> None:
    before = await deploy(admin, "node0")
    budget = {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}
    await admin.apply(
        BUDGETS, {"metadata": {"name": "web", "namespace": "default"}, "spec": budget}, field_manager="test"
    )
    assert (await typed("node", "add", "other")).code == 0
    await let_in(admin, "other")
    ran = await typed("node", "remove", before["spec"]["nodeName"], "--timeout", "0")
    assert ran.code == 3
    assert f"default/{before['metadata']['name']}" in ran.err
    assert "disruption budget" in ran.err
    assert "--force" in ran.err
    assert (await nodes(typed))[before["spec"]["nodeName"]]["schedulable"]
    assert (await pod_of(admin, runs))["metadata"]["uid"] == before["metadata"]["uid"]

    assert (await typed("node", "remove", "node0", "--force")).code == 0
    assert (await nodes(typed)).keys() == {"other"}


async def makes_volumes(typed: Shell, pids: dict[str, int]) -> str:
    """The node that holds the lock, once one does; Linux lists those who hold one with the inode of the file."""
    inode = (typed.folder.root / ".volumes.lock").stat().st_ino
    async with asyncio.timeout(60):
        while True:
            locks = Path("/proc/locks").read_text().splitlines()  # noqa: ASYNC240 - no file on a disk
            holders = [line.split()[4] for line in locks if f":{inode} " in line]
            for name, pid in pids.items():
                if str(pid) in holders:
                    return name
            await asyncio.sleep(0.05)


async def test_when_the_node_that_makes_volumes_is_killed_another_does(typed: Shell, admin: Client) -> None:
    assert (await typed("node", "add")).code == 0
    pids = {part["name"]: part["pid"] for part in (await typed("status", "--json")).json["parts"]}
    os.kill(pids[await makes_volumes(typed, pids)], signal.SIGKILL)
    for number in range(8):
        await claim(admin, f"claim-{number}")
    for number in range(8):
        await bound(admin, f"claim-{number}")
    volumes = (await admin.list_page(PERSISTENT_VOLUMES)).items
    claimed = [name for volume in volumes if (name := volume.spec["claimRef"]["name"]).startswith("claim-")]
    assert sorted(claimed) == [f"claim-{number}" for number in range(8)]
    assert len(list(typed.folder.volumes.glob("default-claim-*"))) == 8


async def test_a_pod_that_nobody_makes_anew_keeps_its_node_and_goes_with_it_when_forced(
    typed: Shell, admin: Client
) -> None:
    assert (await typed("node", "add", "lonely")).code == 0
    container = {"name": "main", "image": "busybox", "command": ["sleep", "1000"]}
    spec = {"nodeName": "lonely", "containers": [container]}
    await admin.create(PODS, {"metadata": {"name": "alone", "namespace": "default"}, "spec": spec})
    ran = await typed("node", "remove", "lonely")
    assert ran.code == 2
    assert "default/alone" in ran.err
    assert (await nodes(typed))["lonely"]["schedulable"]
    assert (await typed("node", "remove", "lonely", "--force")).code == 0
    with pytest.raises(NotFound):
        await admin.get(PODS, "alone", "default")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("add", "Upper"), "cannot name a node"),
        (("add", "twice", "twice"), "has a node twice already"),
        (("add", "--count", "11"), "addon install kwok"),
        (("add", "one", "--count", "2"), "exclude each other"),
        (("remove", "nobody"), "There are: "),
        (("add", "--sandbox", "docker"), "namespaces"),
    ],
)
async def test_a_node_that_cannot_be_is_told_why(typed: Shell, words: tuple[str, ...], said: str) -> None:
    before = await nodes(typed)
    ran = await typed("node", *words)
    assert ran.code == 2
    assert said in ran.err
    assert (await nodes(typed)).keys() == before.keys()


async def test_nodes_and_settings_come_back_with_the_next_up(typed: Shell, admin: Client) -> None:
    assert (await typed("up", "--audit")).code == 0
    secret = {"metadata": {"name": "known", "namespace": "default"}, "stringData": {"key": "not-for-a-log"}}
    await admin.create(SECRETS, secret, "default")
    before = await nodes(typed)
    assert (await typed("down")).code == 0
    listed = (await typed("list", "--json")).json
    assert [(one["name"], one["running"]) for one in listed] == [("typed", False)]
    assert {name: node["ready"] for name, node in (await nodes(typed)).items()} == dict.fromkeys(before, False)
    assert (await typed("node", "add", "later")).err.startswith("cluster typed is down")
    assert "cannot be moved" in (await typed("node", "remove", "later")).err

    assert (await typed("up")).code == 0
    after = await nodes(typed)
    assert {name for name, node in after.items() if node["ready"]} == {*before, "later"}
    assert (await typed("list")).out.splitlines()[1].split()[:2] == ["typed", "up"]
    lines = (await typed("logs", "audit", "-n", "10000")).out.splitlines()
    assert any(json.loads(line).get("objectRef", {}).get("name") == "known" for line in lines)
    assert "not-for-a-log" not in "".join(lines)


async def test_an_image_is_listed_pulled_and_removed(typed: Shell, tmp_path: Path) -> None:
    before, typed.env = typed.env, {**typed.env, "XDG_CACHE_HOME": str(tmp_path)}
    try:
        assert (await typed("images", "pull", "python")).out.startswith("environment://longshore-python")
        listed = {one["names"][0]: one for one in (await typed("images", "list", "--json")).json}
        assert listed["longshore/python"]["installed"]
        assert not listed["longshore/sumo"]["installed"]
        assert (await typed("images", "remove", "python")).err == "python is removed\n"
        assert (await typed("images", "remove", "python")).err == "python was not installed\n"
        assert "images.toml" in (await typed("images", "pull", "nobody/knows")).err
    finally:
        typed.env = before
