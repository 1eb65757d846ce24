"""What longshore puts into a cluster before it starts: its namespaces, accounts, rights, CRDs and admission policies.

Applied by `longshore up`, and as often as wanted: everything is server-side applied.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from typing import Any

import structlog

from longshore.archive.identity import NOTE as ARCHIVE_NOTE
from longshore.errors import AlreadyExists, NotFound, Unavailable
from longshore.kinds.registry import KINDS
from longshore.kinds.tenants import bundle, fence
from longshore.kinds.tenants.moving import BINDING as MOVES
from longshore.kube import objects as kube
from longshore.kube.client import Client
from longshore.kube.objects import AnyObject, Resource
from longshore.runtime.relay import SECRET as RELAY_SECRET
from longshore.settings import Settings, keys_namespace

FIELD_MANAGER = "longshore-install"
SERVED_SECONDS = 60.0
SERVED_POLL_SECONDS = 0.1
log = structlog.get_logger(__name__)

_READ = ["get", "list", "watch"]
_WRITE = ["create", "patch", "delete"]


def _rule(group: str, resources: list[str], verbs: list[str]) -> dict[str, Any]:
    return {"apiGroups": [group], "resources": resources, "verbs": verbs}


# by what both roles know why a job waits: quota refusals and mount errors are told in Events only; the rest says how
# much room nodes have, which claims are unbound, and what Kueue says where it is installed
WHY_RULES = [
    _rule("", ["events", "nodes", "persistentvolumeclaims"], _READ),
    _rule("kueue.x-k8s.io", ["workloads"], _READ),
]
# what `serve` does: takes work in, reads, stops; it never starts anything
SERVE_RULES = [
    # created in dry runs only, for plans: the fence sees to that
    _rule("", ["pods"], ["create"]),
    _rule("batch", ["jobs"], [*_READ, "create"]),
    _rule("batch", ["jobs/status"], ["patch"]),
    _rule("", ["pods"], _READ),
    _rule("longshore.dev", ["tenants"], [*_READ, *_WRITE]),
    _rule("authentication.k8s.io", ["tokenreviews"], ["create"]),
    # how full the store is, to slow down before it locks up
    {"nonResourceURLs": ["/metrics"], "verbs": ["get"]},
    *WHY_RULES,
]
# what `control` does: admits, archives, keeps the bundles; it also holds what it grants to tenants
CONTROL_RULES = [
    _rule("batch", ["jobs"], [*_READ, "patch", "delete"]),
    _rule("batch", ["jobs/status"], ["patch"]),
    _rule("", ["pods"], [*_READ, "delete"]),
    _rule("", ["pods/log"], ["get"]),
    _rule("longshore.dev", ["tenants"], [*_READ, "patch"]),
    _rule("longshore.dev", ["tenants/status"], ["patch"]),
    _rule("", ["namespaces", "resourcequotas", "limitranges", "serviceaccounts"], [*_READ, *_WRITE]),
    _rule("networking.k8s.io", ["networkpolicies"], [*_READ, *_WRITE]),
    _rule("rbac.authorization.k8s.io", ["roles", "rolebindings"], [*_READ, *_WRITE]),
    *bundle.READ_RULES,
    *WHY_RULES,
]
# in longshore's own namespace
# which archive the cluster has used: `control` notes it at a first start, so that another is not taken for it
_NOTE_RULE = {**_rule("", ["configmaps"], ["get"]), "resourceNames": [ARCHIVE_NOTE]}
SERVE_OWN_RULES = [
    _NOTE_RULE,
    # its own, by which the other replicas know it, and theirs; the fence narrows its writes to those of `serve`
    _rule("coordination.k8s.io", ["leases"], [*_READ, *_WRITE]),
    # what replicas know each other by: the one Secret that it reads outside of the keys' namespace
    {**_rule("", ["secrets"], ["get"]), "resourceNames": [RELAY_SECRET]},
]
CONTROL_OWN_RULES = [
    {**_NOTE_RULE, "verbs": ["get", "patch"]},
    # to lead, and as above
    _rule("coordination.k8s.io", ["leases"], [*_READ, *_WRITE]),
    {**_rule("", ["secrets"], ["get"]), "resourceNames": [RELAY_SECRET]},
]
# in the namespace of the API keys, where nothing else lives
SERVE_KEYS_RULES = [
    # the fence narrows its writes to those of API keys
    _rule("", ["secrets"], [*_READ, *_WRITE]),
]
# what `control` may until it has moved the keys of a former version, and then takes from itself (`tenants.moving`); the
# fence narrows its writes to those of API keys
MOVES_OWN_RULES = [_rule("", ["secrets"], ["list", "delete"])]
MOVES_KEYS_RULES = [_rule("", ["secrets"], ["list", "create"])]


async def install(client: Client, settings: Settings) -> None:
    """Apply everything and wait until the CRDs are served and the policies are in force (at most 60 s)."""
    for resource, body in manifests(settings.namespace):
        await client.apply(resource, body, field_manager=FIELD_MANAGER)
    await _make_relay_secret(client, settings.namespace)
    for kind in KINDS:
        for body in kind.definitions:
            await client.apply(kube.CUSTOM_RESOURCE_DEFINITIONS, body, field_manager=FIELD_MANAGER)
    for kind in KINDS:
        for resource in kind.resources:
            await _wait_served(client, resource)
    for resource, body in fence.manifests(settings.namespace, settings.tolerated_taints):
        await client.apply(resource, body, field_manager=FIELD_MANAGER)
    log.info("installed", namespace=settings.namespace)


async def _make_relay_secret(client: Client, namespace: str) -> None:
    """Once; whoever wants another deletes it, installs again and restarts the replicas."""
    body = _object(kube.SECRETS, RELAY_SECRET, namespace, stringData={"secret": secrets.token_hex(32)})
    with suppress(AlreadyExists):
        await client.create(kube.SECRETS, body, namespace)


async def _wait_served(client: Client, resource: Resource[Any]) -> None:
    """A CRD is served a moment after it is established; nothing can be watched for that."""
    async with asyncio.timeout(SERVED_SECONDS):
        while True:
            try:
                await client.list_page(resource, limit=1)
                return
            except (NotFound, Unavailable):
                await asyncio.sleep(SERVED_POLL_SECONDS)


def manifests(namespace: str) -> list[tuple[Resource[AnyObject], dict[str, Any]]]:
    """Namespaces, accounts and rights of a longshore that lives in `namespace`."""
    labels = {"longshore.dev/system": "true", "pod-security.kubernetes.io/enforce": "restricted"}
    keys = keys_namespace(namespace)
    out = [(kube.NAMESPACES, _object(kube.NAMESPACES, each, labels=labels)) for each in (namespace, keys)]
    # without its data, which is `control`'s: applied again, it keeps what was noted
    out.append((kube.CONFIG_MAPS, _object(kube.CONFIG_MAPS, ARCHIVE_NOTE, namespace)))
    parts = (("longshore-serve", SERVE_RULES, SERVE_OWN_RULES), ("longshore-control", CONTROL_RULES, CONTROL_OWN_RULES))
    for name, everywhere, own in parts:
        account = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
        out += [
            (kube.SERVICE_ACCOUNTS, _object(kube.SERVICE_ACCOUNTS, name, namespace)),
            (kube.CLUSTER_ROLES, _object(kube.CLUSTER_ROLES, name, rules=everywhere)),
            (kube.CLUSTER_ROLE_BINDINGS, _binding(kube.CLUSTER_ROLE_BINDINGS, "ClusterRole", name, account)),
            *_granted(name, own, account, namespace),
        ]
    serve, control = ({"kind": "ServiceAccount", "name": name, "namespace": namespace} for name, _, _ in parts)
    out += _granted("longshore-serve", SERVE_KEYS_RULES, serve, keys)
    # last: from here on no `serve` writes a key where it would be left behind; and these two in the order in which
    # `control` gives them up
    out += _granted(MOVES, MOVES_OWN_RULES, control, namespace)
    out += _granted(MOVES, MOVES_KEYS_RULES, control, keys)
    return out


def _granted(
    name: str, rules: list[dict[str, Any]], account: dict[str, str], namespace: str
) -> list[tuple[Resource[AnyObject], dict[str, Any]]]:
    return [
        (kube.ROLES, _object(kube.ROLES, name, namespace, rules=rules)),
        (kube.ROLE_BINDINGS, _binding(kube.ROLE_BINDINGS, "Role", name, account, namespace)),
    ]


def _object(
    resource: Resource[Any],
    name: str,
    namespace: str | None = None,
    *,
    labels: dict[str, str] | None = None,
    **members: Any,
) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "labels": {"app.kubernetes.io/managed-by": "longshore", **(labels or {})}}
    if namespace is not None:
        metadata["namespace"] = namespace
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, **members}


def _binding(
    resource: Resource[AnyObject], role: str, name: str, account: dict[str, str], namespace: str | None = None
) -> dict[str, Any]:
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": name}
    return _object(resource, name, namespace, roleRef=ref, subjects=[account])
