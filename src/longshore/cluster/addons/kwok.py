"""kwok: Node objects that nobody stands behind, and that look alive; what is scheduled to them is said to run.

For trying what happens with hundreds of nodes. kwok touches only nodes with its annotation, and their pods, so it works
beside real ones; a taint keeps pods away that do not ask for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from longshore.cluster.addons.addon import NAMESPACE, Addon, Site
from longshore.cluster.controlplane import API
from longshore.cluster.parts import Check, Part
from longshore.errors import NotFound
from longshore.kube.objects import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, NODES

if TYPE_CHECKING:
    from longshore.kube.client import Client

MARK, MARKED = "kwok.x-k8s.io/node", "fake"  # the annotation of its nodes, and their taint
LABEL = {"longshore.dev/node": "simulated"}
DURATION = "pod-complete.stage.kwok.x-k8s.io/delay"  # as kwok.yaml reads it
CONFIG = Path(__file__).with_name("kwok.yaml")
ROLE = "longshore-kwok"
RULES = [
    {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch", "delete"]},
    {"apiGroups": [""], "resources": ["nodes/status", "pods/status"], "verbs": ["patch"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
]


def _object(kind: str, **members: Any) -> dict[str, Any]:
    return {"apiVersion": CLUSTER_ROLES.api_version, "kind": kind, "metadata": {"name": ROLE}, **members}


class Kwok(Addon):
    """Simulated nodes."""

    name = "kwok"
    summary = "simulated nodes, by the hundred, beside real ones"
    module = "kwok"
    objects = (
        (CLUSTER_ROLES, _object("ClusterRole", rules=RULES)),
        (
            CLUSTER_ROLE_BINDINGS,
            _object(
                "ClusterRoleBinding",
                roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": ROLE},
                subjects=[{"kind": "ServiceAccount", "name": "kwok", "namespace": NAMESPACE}],
            ),
        ),
    )

    def part(self, binary: Path, site: Site) -> Part:
        """It also answers, as the kubelet of its nodes, that there are no logs."""
        pair, authority = site.serving()
        port = site.port()
        argv = (
            str(binary),
            f"--config={CONFIG}",
            f"--kubeconfig={site.login()}",
            "--manage-all-nodes=false",
            f"--manage-nodes-with-annotation-selector={MARK}={MARKED}",
            f"--server-address=127.0.0.1:{port}",
            "--node-ip=127.0.0.1",
            f"--node-port={port}",
            f"--tls-cert-file={pair.cert}",
            f"--tls-private-key-file={pair.key}",
            "--v=WARN",
        )
        ready = Check(f"https://127.0.0.1:{port}/healthz", ca=str(authority))
        # Else it reads the user's own ~/.kwok/kwok.yaml too.
        return Part(self.name, argv, env={"KWOK_WORKDIR": str(site.folder)}, after=(API,), ready=ready)

    def facts(self, site: Site) -> dict[str, str]:  # noqa: ARG002 - the same everywhere
        return {
            "nodes": f"those with the annotation {MARK}={MARKED}, as of longshore cluster node add --simulated",
            "pods": f"those that select {' '.join(f'{key}={value}' for key, value in LABEL.items())} and tolerate "
            f"{MARK}={MARKED}:NoSchedule; a Job's end after their annotation {DURATION}, such as 90s, or at once",
        }

    async def clear(self, client: Client) -> None:
        """Its nodes; the pods on them are collected by the controller manager within a minute or two."""
        page = await client.list_page(NODES, limit=None)
        await delete_nodes(
            client, [node.metadata.name for node in page.items if is_simulated(node.metadata.annotations)]
        )


async def create_nodes(
    client: Client, names: Iterable[str], *, cpu: str = "32", memory: str = "256Gi", pods: int = 110
) -> None:
    """Make simulated nodes of this size; kwok makes them Ready. AlreadyExists when a name is taken."""
    version = msgspec.json.decode(await client.call("GET", "/version"))["gitVersion"]
    capacity = {"cpu": cpu, "memory": memory, "ephemeral-storage": "1Ti", "pods": str(pods)}
    for name in names:
        await client.create(NODES, node(name, version, capacity))


async def delete_nodes(client: Client, names: Iterable[str]) -> None:
    """Those of them that are still there."""
    for name in names:
        with suppress(NotFound):
            await client.delete(NODES, name)


def is_simulated(annotations: dict[str, str]) -> bool:
    """Whether kwok plays the node with these annotations."""
    return annotations.get(MARK) == MARKED


def node(name: str, version: str, capacity: dict[str, str]) -> dict[str, Any]:
    """The Node object, of which kwok adds the conditions and addresses. `version`: of Kubernetes, such as v1.37.1."""
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", **LABEL}
    return {
        "metadata": {"name": name, "labels": labels, "annotations": {MARK: MARKED}},
        "spec": {"taints": [{"key": MARK, "value": MARKED, "effect": "NoSchedule"}]},
        "status": {
            "capacity": capacity,
            "allocatable": capacity,
            "nodeInfo": {
                "operatingSystem": "linux",
                "architecture": "amd64",
                "osImage": "simulated",
                "kubeletVersion": version,
                "containerRuntimeVersion": "kwok://",
                **dict.fromkeys(("bootID", "kernelVersion", "kubeProxyVersion", "machineID", "systemUUID"), ""),
            },
        },
    }
