"""The bundle is complete, and drift is seen only where something of it is missing or changed."""

import copy
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from longshore.kinds.tenants import bundle
from longshore.kinds.tenants.bundle import Bundled
from longshore.kinds.tenants.model import Limits, Tenant, TenantSpec
from longshore.kube.objects import ObjectMeta

TENANT = Tenant(metadata=ObjectMeta(name="acme"), spec=TenantSpec("acme"))


def as_found(body: dict[str, Any]) -> Bundled:
    return msgspec.convert(msgspec.to_builtins(body), Bundled)


def test_the_bundle_denies_by_default_and_gives_no_token_to_pods() -> None:
    bodies = {(r.kind, b["metadata"]["name"]): b for r, b in bundle.manifests(TENANT)}
    assert bodies["NetworkPolicy", "longshore-deny"]["spec"] == {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [],
        "egress": [],
    }
    assert bodies["ServiceAccount", "longshore-work"]["automountServiceAccountToken"] is False
    assert (
        bodies["Namespace", "tenant-acme"]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    )
    verbs = {v for rule in bodies["Role", "longshore-read"]["rules"] for v in rule["verbs"]}
    assert verbs == {"get", "list", "watch"}


def test_everything_in_the_bundle_names_its_tenant_and_namespace() -> None:
    for resource, body in bundle.manifests(TENANT):
        assert body["metadata"]["labels"]["longshore.dev/tenant"] == "acme"
        assert body["metadata"].get("namespace") == ("tenant-acme" if resource.namespaced else None)


def test_what_was_just_applied_has_not_drifted() -> None:
    for _, body in bundle.manifests(TENANT):
        assert not bundle.drifted(body, as_found(body))


def test_what_others_added_is_not_drift_and_what_they_took_away_is() -> None:
    quota = next(b for r, b in bundle.manifests(TENANT) if r.kind == "ResourceQuota")
    added = copy.deepcopy(quota)
    added["spec"]["hard"]["pods.extra"] = "1"
    assert not bundle.drifted(quota, as_found(added))
    del added["spec"]["hard"]["pods"]
    assert bundle.drifted(quota, as_found(added))
    assert bundle.drifted(quota, None)


@given(st.floats(0.001, 100), st.floats(0.001, 500))
def test_quota_amounts_are_legal_and_cover_the_limits(cpu: float, memory: float) -> None:
    tenant = Tenant(metadata=ObjectMeta(name="acme"), spec=TenantSpec("acme", limits=Limits(cpu=cpu, memory_gi=memory)))
    quota = next(b for r, b in bundle.manifests(tenant) if r.kind == "ResourceQuota")
    hard = quota["spec"]["hard"]
    millis = int(hard["requests.cpu"].removesuffix("m")) * (1 if hard["requests.cpu"].endswith("m") else 1000)
    assert millis >= int(cpu * 1000)
    assert hard["requests.memory"].endswith(("Mi", "Gi"))


def test_an_amount_that_the_api_server_writes_its_own_way_has_not_drifted() -> None:
    tenant = Tenant(metadata=ObjectMeta(name="acme"), spec=TenantSpec("acme", limits=Limits(objects=100_000, cpu=2)))
    quota = next(body for resource, body in bundle.manifests(tenant) if resource.kind == "ResourceQuota")
    stored = copy.deepcopy(quota)
    assert stored["spec"]["hard"]["count/jobs.batch"] == "100000"
    stored["spec"]["hard"]["count/jobs.batch"] = "100k"
    assert not bundle.drifted(quota, as_found(stored))
    stored["spec"]["hard"]["count/jobs.batch"] = "10k"
    assert bundle.drifted(quota, as_found(stored))


def test_a_change_of_nothing_but_the_version_is_none() -> None:
    resource, body = bundle.manifests(TENANT)[1]
    old = as_found({**body, "metadata": {**body["metadata"], "resourceVersion": "1"}})
    new = msgspec.structs.replace(old, metadata=msgspec.structs.replace(old.metadata, resource_version="2"))
    assert bundle.alike(old, new)
    assert not bundle.alike(old, msgspec.structs.replace(new, spec={}))
    assert not bundle.alike(old, msgspec.structs.replace(new, metadata=ObjectMeta(name=resource.plural)))
