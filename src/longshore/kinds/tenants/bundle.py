"""The objects that make a tenant's namespace: what `reconcile.plan` applies and puts back when they drift; pure.

Namespace, ResourceQuota, LimitRange, NetworkPolicies, ServiceAccount without token, read-only Role and RoleBinding.
"""

from __future__ import annotations

from math import ceil
from typing import Any

import msgspec

from longshore.kinds.jobs.model import DISK_GI, RUNNER_CPU_MILLIS, RUNNER_DISK_MI, RUNNER_MEMORY_MI, SERVICE_ACCOUNT
from longshore.kinds.tenants.model import LABEL_TENANT, Tenant, amount_of, namespace_of
from longshore.kube import objects as kube
from longshore.kube.objects import Object, Resource

BACKSTOP_PODS = 2
CONTAINERS = 3  # of a pod at most: the runner's two and the user's
API_PORT = 8484  # as `settings.port` says where it says nothing else


class Bundled(Object, frozen=True, rename="camel"):
    """A bundle object with all that is compared for drift."""

    spec: dict[str, Any] = {}
    rules: list[dict[str, Any]] = []
    subjects: list[dict[str, Any]] = []
    role_ref: dict[str, Any] = {}
    automount_service_account_token: bool | None = None


_COMPARED = ("spec", "rules", "subjects", "role_ref", "automount_service_account_token")
RESOURCES: tuple[Resource[Bundled], ...] = tuple(
    resource.read_as(Bundled)
    for resource in (
        kube.NAMESPACES,
        kube.RESOURCE_QUOTAS,
        kube.LIMIT_RANGES,
        kube.NETWORK_POLICIES,
        kube.SERVICE_ACCOUNTS,
        kube.ROLES,
        kube.ROLE_BINDINGS,
    )
)


def manifests(
    tenant: Tenant, gpu_resource: str = "nvidia.com/gpu", api_port: int = API_PORT
) -> list[tuple[Resource[Bundled], dict[str, Any]]]:
    """The whole bundle in the order in which it is applied: the namespace first."""
    name = tenant.metadata.name
    namespace = namespace_of(name)
    bodies = [
        _namespace(namespace),
        _quota(tenant, gpu_resource),
        _limit_range(tenant),
        _network_policy("deny", {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": [], "egress": []}),
        _network_policy("allow", _allowed(namespace, api_port)),
        {"metadata": {"name": SERVICE_ACCOUNT}, "automountServiceAccountToken": False},
        {"metadata": {"name": "longshore-read"}, "rules": READ_RULES},
        _role_binding(tenant),
    ]
    kinds = [RESOURCES[0], RESOURCES[1], RESOURCES[2], RESOURCES[3], RESOURCES[3], *RESOURCES[4:]]
    return [(resource, _finish(resource, body, name, namespace)) for resource, body in zip(kinds, bodies, strict=True)]


def drifted(body: dict[str, Any], current: Bundled | None) -> bool:
    """Whether what is in the cluster lacks anything of what the bundle says. Fields that others added are theirs."""
    if current is None or current.metadata.deletion_timestamp is not None:
        return True
    found: dict[str, Any] = {
        "metadata": {"name": current.metadata.name, "labels": current.metadata.labels},
        "spec": current.spec,
        "rules": current.rules,
        "subjects": current.subjects,
        "roleRef": current.role_ref,
        "automountServiceAccountToken": current.automount_service_account_token,
    }
    wanted = {k: v for k, v in body.items() if k not in ("apiVersion", "kind", "metadata")}
    wanted["metadata"] = {"name": body["metadata"]["name"], "labels": body["metadata"]["labels"]}
    return not _within(wanted, found)


def alike(old: Bundled, new: Bundled) -> bool:
    """Whether nothing changed that `drifted` looks at: a quota's status is written for every pod that comes or goes."""
    version = new.metadata.resource_version
    return msgspec.structs.replace(old.metadata, resource_version=version) == new.metadata and all(
        getattr(old, field) == getattr(new, field) for field in _COMPARED
    )


def _within(wanted: Any, found: Any) -> bool:
    if isinstance(wanted, dict):
        # the API server leaves out what is empty
        return isinstance(found, dict) and all(_within(v, found.get(k, type(v)())) for k, v in wanted.items())
    if isinstance(wanted, list):
        same_length = isinstance(found, list) and len(found) == len(wanted)
        return same_length and all(_within(w, f) for w, f in zip(wanted, found, strict=True))
    return bool(wanted == found) or _same_amount(wanted, found)


def _same_amount(wanted: Any, found: Any) -> bool:
    """The API server writes quantities its own way: "1000" comes back as "1k"."""
    if not (isinstance(wanted, str) and isinstance(found, str)):
        return False
    amount = amount_of(wanted)
    return amount is not None and amount == amount_of(found)


def _finish(resource: Resource[Bundled], body: dict[str, Any], tenant: str, namespace: str) -> dict[str, Any]:
    metadata = body["metadata"]
    labels = {**metadata.get("labels", {}), LABEL_TENANT: tenant, "app.kubernetes.io/managed-by": "longshore"}
    place = {"namespace": namespace} if resource.namespaced else {}
    head = {"apiVersion": resource.api_version, "kind": resource.kind}
    return {**head, **body, "metadata": {**metadata, **place, "labels": labels}}


def _namespace(namespace: str) -> dict[str, Any]:
    level = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")}
    return {"metadata": {"name": namespace, "labels": level}}


def _quota(tenant: Tenant, gpu_resource: str) -> dict[str, Any]:
    """The backstop behind admission: the limits and the runner's overhead, so that admitted work always fits.

    The pods of a job that has ended may linger a moment beside those of the next one.
    """
    limits = tenant.spec.limits
    pods = limits.pods * BACKSTOP_PODS
    cpu = int(limits.cpu * 1000) + pods * RUNNER_CPU_MILLIS
    memory = int(limits.memory_gi * 1024) + pods * RUNNER_MEMORY_MI
    disk = ceil(limits.ephemeral_gi * 1024) + pods * CONTAINERS * RUNNER_DISK_MI
    hard = {
        "requests.cpu": quantity(cpu, "m"),
        "requests.memory": quantity(memory, "Mi"),
        "pods": str(pods + 10),
        "count/jobs.batch": str(limits.objects),
        f"requests.{gpu_resource}": str(limits.gpu),
        "requests.ephemeral-storage": quantity(disk, "Mi"),
    }
    return {"metadata": {"name": "longshore"}, "spec": {"hard": hard}}


def quantity(amount: int, unit: str) -> str:
    """A quantity as the API server writes it back, so that comparing for drift finds equal what is equal."""
    if unit == "m" and amount % 1000 == 0:
        return str(amount // 1000)
    if unit == "Mi" and amount % 1024 == 0:
        return f"{amount // 1024}Gi"
    return f"{amount}{unit}"


def _limit_range(tenant: Tenant) -> dict[str, Any]:
    """Nobody is without a limit. Of disk a container that says nothing asks for little and may fill more: what it may
    fill is rarely what it does, and the kubelet evicts who goes beyond."""
    most = ceil(tenant.spec.limits.ephemeral_gi * 1024)
    disk, asked = (quantity(min(each, most), "Mi") for each in (DISK_GI * 1024, RUNNER_DISK_MI))
    limit = {
        "type": "Container",
        "default": {"cpu": "1", "memory": "512Mi", "ephemeral-storage": disk},
        "defaultRequest": {"cpu": "100m", "memory": "128Mi", "ephemeral-storage": asked},
        "max": {"ephemeral-storage": quantity(max(most, RUNNER_DISK_MI), "Mi")},
    }
    return {"metadata": {"name": "longshore"}, "spec": {"limits": [limit]}}


def _network_policy(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": f"longshore-{name}"}, "spec": spec}


def _allowed(namespace: str, api_port: int) -> dict[str, Any]:
    """DNS, the same namespace, and the port of longshore's API; nothing else in or out.

    Other ports of longshore's namespace are between replicas (the relay), for who measures them, or somebody else's.
    longshore itself reaches pods through the API server alone, so none of its own has a way in.
    """
    same = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}
    system = {"namespaceSelector": {"matchLabels": {"longshore.dev/system": "true"}}}
    dns = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}
    ports = [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")]
    return {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": [same]}],
        "egress": [
            {"to": [dns], "ports": ports},
            {"to": [same]},
            {"to": [system], "ports": [{"protocol": "TCP", "port": api_port}]},
        ],
    }


READ_RULES: list[dict[str, Any]] = [
    {
        "apiGroups": [""],
        "resources": ["pods", "pods/log", "events", "resourcequotas", "limitranges"],
        "verbs": ["get", "list", "watch"],
    },
    {"apiGroups": ["batch"], "resources": ["jobs", "cronjobs"], "verbs": ["get", "list", "watch"]},
]


def _role_binding(tenant: Tenant) -> dict[str, Any]:
    group = f"longshore:tenant:{tenant.metadata.name}"
    return {
        "metadata": {"name": "longshore-read"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "longshore-read"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group}],
    }
