"""A plan changes nothing, and what it says is what then happens."""

from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from msgspec import Raw

from longshore import errors
from longshore.cli.local import LocalApi
from longshore.cluster.cluster import LocalCluster
from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.kube.objects import EVENTS, JOBS, PODS, RESOURCE_QUOTAS, SECRETS, SERVICE_ACCOUNTS, AnyObject

NewTenant = Callable[..., Awaitable[Any]]
Eventually = Callable[..., Awaitable[Any]]
Ask = Callable[..., Awaitable[tuple[int, dict[str, Any]]]]


@pytest.fixture
def ask(api: LocalApi) -> Ask:
    """Posts a job, or its plan; it asks for little and runs `true` unless the body says else."""

    async def post(tenant: Any, *, key: str = "", plan: bool = True, **body: Any) -> tuple[int, dict[str, Any]]:
        body = {"image": "bash", "command": ["true"], "resources": {"cpu": "0.1"}} | body
        headers = {"X-API-Key": tenant.key} | ({"Idempotency-Key": key} if key else {})
        async with (
            aiohttp.ClientSession(api.url, headers=headers) as session,
            session.post("/v1/jobs", params={"dry_run": "true"} if plan else None, json=body) as response,
        ):
            return response.status, await response.json()

    return post


async def everything(client: Client, namespace: str) -> set[str]:
    """uid and version of what there is in a namespace."""
    found = set()
    for resource in (JOBS, PODS, EVENTS, SECRETS, SERVICE_ACCOUNTS, RESOURCE_QUOTAS):
        listed = await client.list_page(resource.read_as(AnyObject), namespace)
        found |= {f"{resource.kind} {o.metadata.uid} {o.metadata.resource_version}" for o in listed.items}
    return found


async def settled(client: Client, namespace: str) -> bool | None:
    """Whether Kubernetes' own controllers have done what they do in a new namespace."""
    accounts = await client.list_page(SERVICE_ACCOUNTS.read_as(AnyObject), namespace)
    quotas = await client.list_page(RESOURCE_QUOTAS.read_as(dict[str, Any]), namespace)
    counted = all("used" in quota.get("status", {}) for quota in quotas.items)
    return True if counted and "default" in {each.metadata.name for each in accounts.items} else None


async def test_a_plan_changes_nothing_takes_no_keys_place_and_then_it_happens_so(
    new_tenant: NewTenant, client: Client, eventually: Eventually, ask: Ask
) -> None:
    tenant = await new_tenant(concurrent_jobs=1)
    await eventually(lambda: settled(client, tenant.namespace))
    before = await everything(client, tenant.namespace)
    status, plan = await ask(tenant, key="one")
    assert (status, plan["would"], plan["admitted"], plan["ahead"]) == (200, "start", True, 0), plan
    assert plan["placement"]["fit_now"] >= 1
    assert "whether its image can be pulled" in plan["unchecked"]
    assert await everything(client, tenant.namespace) == before
    assert (await tenant.client.jobs.list()).items == []
    status, made = await ask(tenant, key="one", plan=False, command=["sleep", "600"])
    assert status == 202, "the key was free, also for another request"

    async def runs() -> bool | None:
        return True if (await tenant.client.jobs.get(made["id"])).status == "Running" else None

    await eventually(runs)
    status, plan = await ask(tenant, key="one", command=["sleep", "600"])
    assert (plan["would"], plan["id"]) == ("same", made["id"])
    assert (await ask(tenant, key="one"))[0] == 409
    status, plan = await ask(tenant)
    assert (plan["would"], plan["admitted"], plan["ahead"]) == ("wait", False, 0)
    assert "1 of 1 jobs are admitted" in plan["sentence"]
    waiting = (await ask(tenant, plan=False))[1]
    assert (await tenant.client.jobs.get(waiting["id"])).status == "Queued"
    _, plan = await ask(tenant)
    assert plan["ahead"] == 1
    _, plan = await ask(tenant, priority="high")
    assert (plan["would"], plan["ahead"]) == ("wait", 0)
    for id in (waiting["id"], made["id"]):
        await tenant.client.jobs.stop(id)


async def test_what_would_be_refused_is_refused_in_the_same_words(new_tenant: NewTenant, ask: Ask) -> None:
    tenant = await new_tenant(cpu=2)
    status, plan = await ask(tenant, resources={"cpu": "3"})
    assert (status, plan["would"]) == (200, "refuse")
    status, problem = await ask(tenant, plan=False, resources={"cpu": "3"})
    refusal = plan["refusal"]
    assert (refusal["status"], refusal["detail"], refusal["hint"], refusal["field"]) == (
        status,
        problem["detail"],
        problem["hint"],
        problem["field"],
    )
    assert (await ask(tenant, image=""))[0] == 422


async def test_what_no_node_could_take_and_what_mounts_nothing_would_never_start(
    new_tenant: NewTenant, ask: Ask
) -> None:
    tenant = await new_tenant(cpu=90)
    _, plan = await ask(tenant, resources={"cpu": "80"})
    assert plan["would"] == "never"
    assert "cpu (" in plan["sentence"]
    assert plan["placement"]["fit_empty"] == 0
    _, plan = await ask(tenant, node_selector={"no": "where"})
    assert (plan["would"], list(plan["placement"]["never"])) == ("never", ["node selector"])
    _, plan = await ask(tenant, mounts=[{"claim": "nowhere", "path": "/data"}])
    assert (plan["would"], "nowhere" in plan["sentence"]) == ("never", True)


async def test_a_quota_that_is_used_up_is_told_before_it_refuses(
    new_tenant: NewTenant, client: Client, ask: Ask, eventually: Eventually
) -> None:
    tenant = await new_tenant()
    quota = {"metadata": {"name": "small"}, "spec": {"hard": {"requests.cpu": "100m"}}}
    await client.create(RESOURCE_QUOTAS, quota, tenant.namespace)

    async def waits() -> dict[str, Any] | None:
        """Once the API server counts by this quota."""
        _, plan = await ask(tenant, resources={"cpu": "0.5"})
        return plan if plan["would"] == "wait" else None

    plan = await eventually(waits)
    assert plan["sentence"].startswith("Waits for the namespace's ResourceQuota small: ")


async def test_serve_may_create_pods_in_dry_runs_only_in_a_tenants_namespace_and_elsewhere(
    new_tenant: NewTenant, cluster: LocalCluster, namespace: str
) -> None:
    tenant = await new_tenant()
    locked = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    spec = {
        "containers": [{"name": "main", "image": "bash", "securityContext": locked}],
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "automountServiceAccountToken": False,
    }
    body = {"metadata": {"name": "mine"}, "spec": spec}
    async with Client(Config.load(cluster.identity_kubeconfig("longshore-serve"))) as serve:
        for where in (tenant.namespace, namespace):
            with pytest.raises(errors.Forbidden) as refused:
                await serve.create(PODS.read_as(Raw), body, where)
            assert "ValidatingAdmissionPolicy 'longshore-p" in refused.value.message
            await serve.create(PODS.read_as(Raw), body, where, dry_run=True)
