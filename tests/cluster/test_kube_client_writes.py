"""What the real API server keeps, refuses and counts: unknown fields, subresources, evictions, tokens, request ids."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from longshore.errors import (
    Conflict,
    EvictionRefused,
    Forbidden,
    LongshoreError,
    NotFound,
    TooLarge,
    Unavailable,
    UserMistake,
)
from longshore.kube import tokens
from longshore.kube.client import Client, Patch
from longshore.kube.config import Config
from longshore.kube.eviction import evict
from longshore.kube.objects import (
    CONFIG_MAPS,
    CUSTOM_RESOURCE_DEFINITIONS,
    JOBS,
    NAMESPACES,
    PODS,
    RESOURCE_QUOTAS,
    SERVICE_ACCOUNTS,
    AnyObject,
    Resource,
)

Raw = dict[str, Any]
RAW_JOBS = JOBS.read_as(Raw)
BUDGETS = Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", True, AnyObject)
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment", True, AnyObject)
WEBHOOKS = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "validatingwebhookconfigurations",
    "ValidatingWebhookConfiguration",
    False,
    AnyObject,
)
SLEEPER = {
    "terminationGracePeriodSeconds": 0,
    "containers": [{"name": "main", "image": "bash", "command": ["bash", "-c", "sleep 600"]}],
}
POLICY = {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]}


@pytest.fixture
async def namespace(client: Client) -> AsyncIterator[str]:
    """With its ServiceAccount, so that pods may be created."""
    name = f"writes-{uuid4().hex[:8]}"
    await client.create(NAMESPACES, {"metadata": {"name": name, "labels": {"test": name}}})
    await until(lambda: client.get(SERVICE_ACCOUNTS, "default", name), lambda _: True)
    yield name
    for pod in (await client.list_page(PODS, name)).items:
        with suppress(NotFound):  # a ReplicaSet takes its own away
            await client.delete(PODS, pod.metadata.name, name, grace_period_seconds=0)
    await client.delete(NAMESPACES, name)


async def until(read: Callable[[], Awaitable[Any]], holds: Callable[[Any], bool]) -> Any:
    async with asyncio.timeout(60):
        while True:
            try:
                if holds(value := await read()):
                    return value
            except NotFound:
                pass
            await asyncio.sleep(0.05)


@pytest.fixture
async def job(client: Client, namespace: str) -> str:
    """One that does not start, with a field that `objects.Job` does not know."""
    template = {"spec": {**SLEEPER, "restartPolicy": "Never"}}
    spec = {"suspend": True, "podFailurePolicy": POLICY, "template": template}
    made = await client.create(RAW_JOBS, {"metadata": {"name": "a"}, "spec": spec}, namespace)
    assert made["spec"]["podFailurePolicy"]["rules"]
    return "a"


WRITES: dict[str, Callable[[Client, str], Awaitable[Any]]] = {
    "merge patch": lambda client, ns: client.patch(JOBS, "a", {"spec": {"parallelism": 2}}, ns),
    "strategic patch": lambda client, ns: client.patch(
        JOBS, "a", {"metadata": {"labels": {"x": "y"}}}, ns, type=Patch.STRATEGIC
    ),
    "JSON patch": lambda client, ns: client.patch(
        JOBS, "a", [{"op": "add", "path": "/spec/parallelism", "value": 3}], ns, type=Patch.JSON
    ),
    "apply": lambda client, ns: client.apply(
        JOBS,
        {"metadata": {"name": "a", "namespace": ns, "labels": {"l": "1"}}, "spec": {"parallelism": 4}},
        field_manager="us",
    ),
    "apply again with less": lambda client, ns: client.apply(
        JOBS, {"metadata": {"name": "a", "namespace": ns}}, field_manager="us"
    ),
    "status patch": lambda client, ns: client.patch(
        JOBS, "a", {"status": {"ready": 0}}, ns, type=Patch.STRATEGIC, subresource="status"
    ),
}


async def test_what_we_do_not_know_survives_each_of_our_writes(client: Client, namespace: str, job: str) -> None:
    before = (await client.get(RAW_JOBS, job, namespace))["spec"]
    for write in WRITES.values():
        await write(client, namespace)
        after = (await client.get(RAW_JOBS, job, namespace))["spec"]
        for field in ("podFailurePolicy", "template", "selector", "completionMode", "podReplacementPolicy"):
            assert after[field] == before[field]


@pytest.fixture
async def anything(client: Client) -> AsyncIterator[Resource[Raw]]:
    """A custom resource whose spec may hold what it likes."""
    group = f"x{uuid4().hex[:8]}.example.com"
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"}
    spec = {"group": group, "scope": "Namespaced", "names": names, "versions": [version]}
    await client.create(CUSTOM_RESOURCE_DEFINITIONS, {"metadata": {"name": f"things.{group}"}, "spec": spec})
    resource: Resource[Raw] = Resource(group, "v1", "things", "Thing", True, Raw)
    await until(lambda: client.list_page(resource), lambda _: True)
    yield resource
    await client.delete(CUSTOM_RESOURCE_DEFINITIONS, f"things.{group}")


async def test_what_nobody_knows_survives_in_a_custom_resource(
    client: Client, namespace: str, anything: Resource[Raw]
) -> None:
    unknown = {"deep": {"list": [1, {"a": None, "b": 2.5}], "text": "ü"}, "flag": False}
    made = await client.create(anything, {"metadata": {"name": "a"}, "spec": unknown}, namespace)
    typed = anything.read_as(AnyObject)
    await client.patch(typed, "a", {"metadata": {"labels": {"x": "y"}}}, namespace)
    await client.apply(
        typed, {"metadata": {"name": "a", "namespace": namespace}, "spec": {"ours": 1}}, field_manager="us"
    )
    listed = (await client.list_page(anything, namespace)).items
    assert listed[0]["spec"] == {**made["spec"], "ours": 1}
    assert made["spec"]["flag"] is False


async def test_a_scale_is_read_and_patched(client: Client, namespace: str) -> None:
    template = {"metadata": {"labels": {"app": "a"}}, "spec": SLEEPER}
    spec = {"replicas": 0, "selector": {"matchLabels": {"app": "a"}}, "template": template}
    await client.create(DEPLOYMENTS, {"metadata": {"name": "a"}, "spec": spec}, namespace)
    scales = DEPLOYMENTS.read_as(Raw)
    scale = await client.get(scales, "a", namespace, subresource="scale")
    assert (scale["kind"], scale["spec"]) == ("Scale", {})
    await client.patch(scales, "a", {"spec": {"replicas": 1}}, namespace, subresource="scale")
    assert (await client.get(scales, "a", namespace, subresource="scale"))["spec"] == {"replicas": 1}
    await client.patch(scales, "a", {"spec": {"replicas": 0}}, namespace, subresource="scale")


async def test_a_budget_forbids_an_eviction_until_it_is_gone(client: Client, namespace: str) -> None:
    pod = await client.create(PODS, {"metadata": {"name": "a", "labels": {"app": "a"}}, "spec": SLEEPER}, namespace)
    budget = {"minAvailable": 1, "selector": {"matchLabels": {"app": "a"}}}
    await client.create(BUDGETS, {"metadata": {"name": "keep"}, "spec": budget}, namespace)
    budgets = BUDGETS.read_as(Raw)
    await until(
        lambda: client.get(budgets, "keep", namespace), lambda b: b.get("status", {}).get("currentHealthy", 0) == 1
    )
    with pytest.raises(EvictionRefused, match="budget keep needs 1 healthy pods and has 1"):
        await evict(client, "a", namespace)
    await client.delete(BUDGETS, "keep", namespace)
    with pytest.raises(Conflict):
        await evict(client, "a", namespace, uid="00000000-0000-0000-0000-000000000000")
    await evict(client, "a", namespace, uid=pod.metadata.uid, dry_run=True)
    assert (await client.get(PODS, "a", namespace)).metadata.deletion_timestamp is None
    await evict(client, "a", namespace, uid=pod.metadata.uid, grace_period_seconds=0)
    await until(lambda: client.list_page(PODS, namespace), lambda page: not page.items)


async def test_a_token_is_for_its_audience_and_its_pod(client: Client, namespace: str) -> None:
    pod = await client.create(PODS, {"metadata": {"name": "a"}, "spec": SLEEPER}, namespace)
    token = await tokens.request(client, "default", namespace, audiences=["here"], expiration_seconds=600, pod=pod)
    review = {"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1"}

    async def status(*audiences: str) -> Raw:
        body = {**review, "spec": {"token": token.value, "audiences": audiences}}
        answer = await client.call("POST", "/apis/authentication.k8s.io/v1/tokenreviews", body=body)
        found: Raw = json.loads(answer)["status"]
        return found

    seen = await status("here")
    assert seen["authenticated"]
    assert seen["user"]["username"] == f"system:serviceaccount:{namespace}:default"
    assert seen["user"]["extra"]["authentication.kubernetes.io/pod-name"] == ["a"]
    assert not (await status("elsewhere")).get("authenticated")


async def test_a_token_of_an_account_that_is_not_there(client: Client, namespace: str) -> None:
    with pytest.raises(NotFound, match="nobody"):
        await tokens.request(client, "nobody", namespace)


async def test_the_id_of_a_request_is_the_one_that_the_server_uses(kube_config: Config) -> None:
    assert kube_config.ssl is not None
    async with aiohttp.ClientSession() as session:
        url = f"{kube_config.server}/api/v1/namespaces/default"
        async with session.get(url, ssl=kube_config.ssl, headers={"Audit-ID": "chosen-by-us"}) as response:
            assert response.headers["Audit-ID"] == "chosen-by-us"


@pytest.mark.parametrize(("size", "kind"), [(300_000, UserMistake), (2_000_000, LongshoreError), (5_000_000, TooLarge)])
async def test_a_huge_annotation_is_refused_with_a_hint(
    client: Client, namespace: str, size: int, kind: type[LongshoreError]
) -> None:
    body = {"metadata": {"name": "a", "annotations": {"big": "x" * size}}}
    with pytest.raises(kind) as caught:
        await client.create(CONFIG_MAPS, body, namespace)
    assert caught.value.hint
    assert len(caught.value.message) < 1000


@pytest.mark.parametrize("size", [1_800_000, 2_500_000])  # etcd takes 1.5 MB, its client sends 2, the server reads 3
async def test_an_object_that_etcd_does_not_take_is_refused_with_a_hint(
    client: Client, namespace: str, size: int
) -> None:
    container = {"name": "main", "image": "bash", "args": ["x" * size]}
    with pytest.raises(TooLarge) as caught:
        await client.create(PODS, {"metadata": {"name": "a"}, "spec": {"containers": [container]}}, namespace)
    assert caught.value.hint


async def create_until_it_is_refused(client: Client, namespace: str) -> None:
    """What is to be asked before is known to an API server a moment after it is there."""
    async with asyncio.timeout(60):
        while True:
            await client.create(CONFIG_MAPS, {"metadata": {"generateName": "a"}}, namespace)
            await asyncio.sleep(0.1)


async def test_a_quota_that_is_used_up_says_whom_to_ask(client: Client, namespace: str) -> None:
    await client.create(RESOURCE_QUOTAS, {"metadata": {"name": "q"}, "spec": {"hard": {"configmaps": "0"}}}, namespace)
    quotas = RESOURCE_QUOTAS.read_as(Raw)
    await until(lambda: client.get(quotas, "q", namespace), lambda quota: "hard" in quota.get("status", {}))
    with pytest.raises(Forbidden, match="exceeded quota: q") as caught:
        await create_until_it_is_refused(client, namespace)
    assert caught.value.hint is not None
    assert "more quota" in caught.value.hint


async def test_a_webhook_that_does_not_answer_is_named(client: Client, namespace: str) -> None:
    hook = {
        "name": "down.example.com",
        "clientConfig": {"url": "https://127.0.0.1:1/"},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}],
        "namespaceSelector": {"matchLabels": {"test": namespace}},
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "timeoutSeconds": 1,
    }
    name = f"down-{uuid4().hex[:8]}"
    await client.create(WEBHOOKS, {"metadata": {"name": name}, "webhooks": [hook]})

    try:
        with pytest.raises(Unavailable, match="failed calling webhook") as caught:
            await create_until_it_is_refused(client, namespace)
    finally:
        await client.delete(WEBHOOKS, name)
    assert "down.example.com" in caught.value.message
    assert caught.value.hint is not None
    assert "webhook does not answer" in caught.value.hint
    assert caught.value.request_id
