"""Adds process nodes to a cluster, and takes them away so that nothing on them is lost. For the command line.

A node that goes is drained first, as `kubectl drain` does: its pods are evicted, within their budgets and graces, and
whoever made them makes others elsewhere. Which nodes a cluster has is kept in its settings, so `up` brings them back.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from longshore.cluster.addons import kwok
from longshore.cluster.addons.catalog import ADDONS
from longshore.cluster.cluster import LocalCluster
from longshore.cluster.controlplane import AUDIT, CONTROL_PLANE
from longshore.cluster.drain import cordon, delete_all, drain
from longshore.cluster.progress import Report, Step, silent
from longshore.cluster.state import NodeSettings, Settings
from longshore.errors import NotFound, UserMistake
from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.kube.objects import NODES, PODS

MOST = 10  # each is a process of 50 MB
DRAIN_SECONDS = 60.0
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
Nodes = tuple[NodeSettings, ...]
_OTHER_PARTS = {*CONTROL_PLANE, *(addon.name for addon in ADDONS), AUDIT, "supervisor"}
_RAW_NODES = NODES.read_as(dict[str, Any])
_RAW_PODS = PODS.read_as(dict[str, Any])


class NodeStatus(Struct, frozen=True):
    """One Node object, or a process node that has none yet. `sandbox` is what holds its pods, "" where nothing says."""

    name: str
    kind: str
    ready: bool
    schedulable: bool = True
    sandbox: str = ""
    pods: int = 0
    cpu: str = ""
    memory: str = ""
    why: str = ""


def settings(cluster: LocalCluster) -> Nodes:
    """The process nodes that this cluster is to have."""
    return cluster.folder.read_settings().nodes or ()


@contextmanager
def wanted(cluster: LocalCluster, count: int | None = None) -> Iterator[None]:
    """Give the cluster `count` nodes at least; None: one if nobody has said yet, else as many as there are.

    They are forgotten again when what is done with them, which is to bring them up, fails.
    """

    def missing(present: Nodes | None) -> Nodes:
        least = (1 if present is None else len(present)) if count is None else count
        names = _free(least - len(present or ()), [node.name for node in present or ()])
        return tuple(map(NodeSettings, names))

    with _added(cluster, missing):
        yield


async def add(
    cluster: LocalCluster, names: Sequence[str] = (), *, count: int = 1, progress: Report = silent, **flags: Any
) -> list[str]:
    """Add nodes by these names, or `count` whose names are free; they run when this returns if the cluster does.

    `flags` as in NodeSettings. Answers the names. UserMistake: a name is taken or cannot be one, or there are too many.
    """

    def new(present: Nodes | None) -> Nodes:
        taken = [node.name for node in present or ()]
        wanted = list(names) or _free(count, taken)
        _check(cluster, wanted, taken)
        return tuple(NodeSettings(name, **flags) for name in wanted)

    with _added(cluster, new) as nodes:
        if cluster.is_supervised:
            await cluster.up(progress=progress)
    return [node.name for node in nodes]


async def simulate(cluster: LocalCluster, count: int) -> list[str]:
    """Add nodes that kwok plays, and answer their names. UserMistake unless the cluster is up and has that add-on."""
    if "kwok" not in cluster.folder.read_settings().addons or not cluster.is_supervised:
        raise UserMistake(
            f"Cluster {cluster.name} cannot simulate nodes: kwok does not run in it.",
            hint=f"longshore cluster addon install kwok --cluster {cluster.name}",
        )
    async with Client(Config.load(cluster.kubeconfig_path)) as client:
        page = await client.list_page(NODES, limit=None)
        names = _free(count, [node.metadata.name for node in page.items], "simulated")
        await kwok.create_nodes(client, names)
    return names


async def remove(
    cluster: LocalCluster, name: str, *, force: bool = False, deadline: float = DRAIN_SECONDS, progress: Report = silent
) -> None:
    """Drain the node, stop it and delete it. With `force` its pods are not waited for: they end with it.

    NotFound when there is no such node; UserMistake when the cluster is down; Unavailable when pods are still there
    after `deadline` seconds: then the node is schedulable again and nothing is lost.
    """
    present = settings(cluster)
    if await _remove_simulated(cluster, name):
        return
    if all(node.name != name for node in present):
        known = ", ".join(node.name for node in present) or "none"
        raise NotFound(f"Cluster {cluster.name} has no process node {name}.", hint=f"There are: {known}.")
    if not cluster.is_supervised:
        raise UserMistake(
            f"Cluster {cluster.name} is down: what is on {name} cannot be moved.",
            hint=f"Start it first: longshore cluster up --cluster {cluster.name}",
        )
    async with Client(Config.load(cluster.kubeconfig_path)) as client:
        await cordon(client, name, True)
        if not force:
            try:
                await drain(client, name, deadline, progress)
            except BaseException:
                await asyncio.shield(cordon(client, name, False))
                raise
        progress(Step(f"stopping {name}"))
        with _removed(cluster, name):
            await cluster.up(without=[name], progress=progress)
        with suppress(NotFound):  # it never got as far as to register
            await client.delete(NODES, name)
        if force:  # Kubernetes would take a minute to see that they are gone
            await delete_all(client, name)
    await cluster.forget_node(name)


async def _remove_simulated(cluster: LocalCluster, name: str) -> bool:
    """Delete the node if it is one that kwok plays: nothing runs on it that could be lost. Whether it was."""
    if "kwok" not in cluster.folder.read_settings().addons or not cluster.is_supervised:
        return False
    async with Client(Config.load(cluster.kubeconfig_path)) as client:
        with suppress(NotFound):
            if kwok.is_simulated((await client.get(NODES, name)).metadata.annotations):
                await kwok.delete_nodes(client, [name])
                return True
    return False


async def listed(cluster: LocalCluster) -> list[NodeStatus]:
    """Every node that the API knows, and those that it does not know yet or cannot tell of, in the order of names."""
    wanted = {node.name: NodeStatus(node.name, "process", False, why="not running") for node in settings(cluster)}
    if cluster.is_supervised:
        async with Client(Config.load(cluster.kubeconfig_path)) as client:
            nodes = (await client.list_page(_RAW_NODES, limit=None)).items
            pods = (await client.list_page(_RAW_PODS, limit=None)).items
        counts = Counter(pod["spec"].get("nodeName") for pod in pods if not _is_over(pod))
        wanted |= {node["metadata"]["name"]: _status(node, counts) for node in nodes}
    return sorted(wanted.values(), key=lambda node: _natural(node.name))


@contextmanager
def _added(cluster: LocalCluster, more: Callable[[Nodes | None], Nodes]) -> Iterator[Nodes]:
    """Keep what `more` answers too, given those that there are; forget it when what is done with it fails."""
    before: Nodes | None = None
    added: Nodes = ()

    def add(now: Settings) -> Settings:
        nonlocal before, added
        before, added = now.nodes, more(now.nodes)
        return replace(now, nodes=(*(before or ()), *added))

    def forget(now: Settings) -> Settings:
        left = tuple(node for node in now.nodes or () if node not in added)
        return replace(now, nodes=None if before is None and not left else left)

    cluster.folder.update_settings(add)
    try:
        yield added
    except BaseException:
        cluster.folder.update_settings(forget)
        raise


@contextmanager
def _removed(cluster: LocalCluster, name: str) -> Iterator[None]:
    """Keep the node no longer; keep it again when what is done about it fails."""
    gone = tuple(node for node in settings(cluster) if node.name == name)
    cluster.folder.update_settings(
        lambda now: replace(now, nodes=tuple(node for node in now.nodes or () if node.name != name))
    )
    try:
        yield
    except BaseException:
        cluster.folder.update_settings(lambda now: replace(now, nodes=(*(now.nodes or ()), *gone)))
        raise


def _check(cluster: LocalCluster, names: Sequence[str], taken: Sequence[str]) -> None:
    """UserMistake unless nodes of these names may be added."""
    for name in names:
        if not _NAME.fullmatch(name):
            raise UserMistake(
                f"{name!r} cannot name a node.", hint="Use up to 63 lower-case letters, digits and dashes."
            )
        if name in _OTHER_PARTS:
            raise UserMistake(f"{name} is the name of another part of every cluster.", hint="Choose another name.")
        if name in taken or names.count(name) > 1:
            raise UserMistake(f"Cluster {cluster.name} has a node {name} already.", hint="Choose another name.")
    if len(taken) + len(names) > MOST:
        raise UserMistake(
            f"{len(taken) + len(names)} process nodes are more than this machine should run: {MOST}.",
            hint="One of them takes 250 pods; `longshore cluster addon install kwok` simulates nodes by the hundred.",
        )


def _free(count: int, taken: Sequence[str], stem: str = "node") -> list[str]:
    numbers = (f"{stem}{number}" for number in range(len(taken) + count))
    return [name for name in numbers if name not in taken][: max(count, 0)]


def _status(node: Mapping[str, Any], pods: Mapping[str, int]) -> NodeStatus:
    meta, status = node["metadata"], node.get("status", {})
    labels, allocatable = meta.get("labels", {}), status.get("allocatable", {})
    ready: Mapping[str, str] = next((c for c in status.get("conditions", ()) if c["type"] == "Ready"), {})
    return NodeStatus(
        name=meta["name"],
        kind=labels.get("longshore.dev/node", "other"),
        ready=ready.get("status") == "True",
        schedulable=not node.get("spec", {}).get("unschedulable", False),
        sandbox=labels.get("longshore.dev/sandbox", ""),
        pods=pods.get(meta["name"], 0),
        cpu=allocatable.get("cpu", ""),
        memory=allocatable.get("memory", ""),
        why="" if ready.get("status") == "True" else ready.get("message", "not registered yet"),
    )


def _is_over(pod: Mapping[str, Any]) -> bool:
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def _natural(name: str) -> list[tuple[int, str]]:
    """node2 comes before node10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
