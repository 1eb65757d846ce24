"""The bundle is complete, and drift is seen only where something of it is missing or changed."""

import copy
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from longshore.kinds.tenants import bundle, model
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


def test_a_container_that_says_nothing_of_disk_has_a_limit_within_its_tenants() -> None:
    for has, default, asked in ((100.0, "10Gi", "64Mi"), (2.0, "2Gi", "64Mi"), (0.01, "11Mi", "11Mi")):
        spec = TenantSpec("acme", limits=Limits(ephemeral_gi=has))
        bodies = {r.kind: b for r, b in bundle.manifests(Tenant(metadata=ObjectMeta(name="acme"), spec=spec))}
        (limit,) = bodies["LimitRange"]["spec"]["limits"]
        assert (limit["default"]["ephemeral-storage"], limit["defaultRequest"]["ephemeral-storage"]) == (default, asked)
        most, quota = limit["max"]["ephemeral-storage"], bodies["ResourceQuota"]["spec"]["hard"]
        assert model.disk_bytes(most) >= model.disk_bytes(default)
        # all that is admitted fits, with what pods ask for that were not counted
        pods = Limits().pods * 3 * model.disk_bytes("64Mi")
        assert model.disk_bytes(quota["requests.ephemeral-storage"]) >= int(has * (1 << 30)) + pods


def test_pods_reach_one_port_of_longshore_and_longshore_reaches_no_pod() -> None:
    bodies = {b["metadata"]["name"]: b for r, b in bundle.manifests(TENANT, api_port=9000) if r.kind == "NetworkPolicy"}
    allowed = bodies["longshore-allow"]["spec"]
    ours = {"namespaceSelector": {"matchLabels": {"longshore.dev/system": "true"}}}
    same = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "tenant-acme"}}}
    assert allowed["ingress"] == [{"from": [same]}]
    assert [rule["ports"] for rule in allowed["egress"] if ours in rule["to"]] == [[{"protocol": "TCP", "port": 9000}]]
    # a rule without ports opens all of them: within the tenant only
    assert [rule["to"] for rule in allowed["egress"] if "ports" not in rule] == [[same]]
