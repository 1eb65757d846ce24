"""What a new cluster lacks before it can be used as any other: a default StorageClass, and the right to serve it.

`cluster.up` applies it each time the control plane is ready.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

from longshore.cluster.identities import PROVISIONER_ACCOUNT
from longshore.cluster.node.claims.plan import PROVISIONER
from longshore.errors import Conflict, NotFound, Unavailable
from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.kube.objects import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    SERVICE_ACCOUNTS,
    STORAGE_CLASSES,
    AnyObject,
    Resource,
)

FIELD_MANAGER = "longshore-cluster"
STORAGE_CLASS = "local-folder"
_ROLE = "longshore:folder-provisioner"
_ACCOUNT_TRIES, _POLL_SECONDS = 2400, 0.05


async def bootstrap(kubeconfig: Path) -> None:
    """Apply everything. What somebody changed of the StorageClass, such as that it is the default, stays so."""
    async with Client(Config.load(kubeconfig)) as admin, asyncio.TaskGroup() as group:
        for resource, body in manifests():
            group.create_task(_apply(admin, resource, body))


async def default_account(kubeconfig: Path) -> None:
    """Wait for what the controller manager makes a moment after it is ready: until then a pod is refused.

    Raises Unavailable after some two minutes.
    """
    async with Client(Config.load(kubeconfig)) as admin:
        for _ in range(_ACCOUNT_TRIES):
            with suppress(NotFound):
                await admin.get(SERVICE_ACCOUNTS, "default", "default")
                return
            await asyncio.sleep(_POLL_SECONDS)
    raise Unavailable(
        "no pod can be made yet: the namespace default has no ServiceAccount",
        hint="the log of the controller manager says why: `longshore cluster logs kube-controller-manager`",
    )


async def _apply(admin: Client, resource: Resource[AnyObject], body: dict[str, Any]) -> None:
    with suppress(Conflict):
        await admin.apply(resource, body, field_manager=FIELD_MANAGER, force=resource is not STORAGE_CLASSES)


def manifests() -> tuple[tuple[Resource[AnyObject], dict[str, Any]], ...]:
    """All nodes share one file system, so a volume is bound at once and has no node of its own: pods may move."""
    name, namespace = PROVISIONER_ACCOUNT
    storage_class = {
        "metadata": {
            "name": STORAGE_CLASS,
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": PROVISIONER,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "Immediate",
    }
    rules = [
        _rule("", ["persistentvolumes"], ["get", "list", "watch", "create", "patch", "delete"]),
        _rule("", ["persistentvolumeclaims"], ["get", "list", "watch"]),
        _rule("storage.k8s.io", ["storageclasses"], ["get"]),
        _rule("", ["events"], ["create", "patch"]),
    ]
    binding = {
        "metadata": {"name": _ROLE},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": _ROLE},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
    }
    return (
        (STORAGE_CLASSES, storage_class),
        (CLUSTER_ROLES, {"metadata": {"name": _ROLE}, "rules": rules}),
        (CLUSTER_ROLE_BINDINGS, binding),
    )


def _rule(group: str, resources: list[str], verbs: list[str]) -> dict[str, Any]:
    return {"apiGroups": [group], "resources": resources, "verbs": verbs}
