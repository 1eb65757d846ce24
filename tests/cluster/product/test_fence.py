"""Nobody passes by a tenant's limits: not with kubectl, not as administrator, not while a controller is killed."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from longshore import errors
from longshore.cli.local import LocalApi
from longshore.cluster.cluster import LocalCluster
from longshore.install import FIELD_MANAGER
from longshore.kinds.jobs.model import is_over
from longshore.kinds.tenants import fence
from longshore.kinds.tenants.model import TENANTS, Tenant
from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.kube.objects import JOBS, LEASES, NETWORK_POLICIES, PODS, RESOURCE_QUOTAS, SECRETS, AnyObject, Job
from longshore.kube.reflector import Reflector
from longshore.kube.store import Store
from longshore.runtime.replicas import LABEL as LABEL_REPLICA
from longshore.settings import Settings

NewTenant = Callable[..., Awaitable[Any]]
Eventually = Callable[..., Awaitable[Any]]

CONTAINER = {
    "name": "c",
    "image": "bash",
    "command": ["true"],
    "securityContext": {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    },
}


def job(name: str, *, suspend: bool, labels: dict[str, str] | None = None) -> dict[str, Any]:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {"suspend": suspend, "template": {"spec": {"restartPolicy": "Never", "containers": [CONTAINER]}}},
    }


async def test_an_administrator_is_refused_in_a_tenants_namespace_with_the_reason_and_the_way(
    new_tenant: NewTenant, client: Client
) -> None:
    tenant = await new_tenant()
    with pytest.raises(errors.Forbidden, match=r"starts when its limits admit it.*longshore jobs submit"):
        await client.create(JOBS, job("x", suspend=False), tenant.namespace)
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [CONTAINER]}}
    with pytest.raises(errors.Forbidden, match="only for work that its limits admitted"):
        await client.create(PODS, pod, tenant.namespace)
    ours = job("x", suspend=True, labels={"longshore.dev/kind": "job"})
    with pytest.raises(errors.Forbidden, match=r"labels and annotations of longshore\.dev"):
        await client.create(JOBS, ours, tenant.namespace)


async def test_no_job_of_a_tenant_goes_past_the_scheduler_or_to_the_clusters_own_nodes(
    new_tenant: NewTenant, client: Client
) -> None:
    tenant = await new_tenant()
    placed: tuple[dict[str, Any], ...] = (
        {"nodeName": "a-node"},
        {"nodeSelector": {"node-role.kubernetes.io/control-plane": ""}},
        {"affinity": required("node-role.kubernetes.io/control-plane", "Exists")},
        {"tolerations": [{"operator": "Exists"}]},
        {"tolerations": [{"key": "pool", "value": "x"}, {"key": "node.kubernetes.io/unschedulable", "value": "x"}]},
    )
    for spec in placed:
        with pytest.raises(errors.Forbidden, match="goes where the scheduler puts it"):
            await client.create(JOBS, asking(spec), tenant.namespace)
    away = required("node-role.kubernetes.io/control-plane", "DoesNotExist")
    fair = {"tolerations": [{"key": "pool", "value": "x"}], "nodeSelector": {"pool": "x"}, "affinity": away}
    await client.create(JOBS, asking(fair), tenant.namespace)


async def test_where_the_operator_names_taints_no_job_of_a_tenant_tolerates_others(
    new_tenant: NewTenant, client: Client, eventually: Eventually
) -> None:
    tenant = await new_tenant()

    async def refused(key: str) -> bool:
        body = asking({"tolerations": [{"key": key, "operator": "Exists"}]})
        try:
            await client.create(JOBS, body, tenant.namespace, dry_run=True)
        except errors.Forbidden as refusal:
            return "only taints that the operator allows" in refusal.message
        return False

    async def in_force(wanted: bool) -> bool | None:
        return (await refused("other")) is wanted or None

    try:
        await apply_fence(client, ("pool", "ours.example/"))
        await eventually(lambda: in_force(True))
        assert [await refused(key) for key in ("pool", "ours.example/any")] == [False, False]
        assert [await refused(key) for key in ("pool2", "ours.example")] == [True, True]
    finally:
        await apply_fence(client, None)
        await eventually(lambda: in_force(False))


async def apply_fence(client: Client, tolerated: tuple[str, ...] | None) -> None:
    for resource, body in fence.manifests(own_namespace(), tolerated):
        await client.apply(resource, body, field_manager=FIELD_MANAGER)


def required(key: str, operator: str) -> dict[str, Any]:
    term = {"matchExpressions": [{"key": key, "operator": operator}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}


def asking(spec: dict[str, Any]) -> dict[str, Any]:
    body = job("placed", suspend=True)
    body["spec"]["template"]["spec"].update(spec)
    return body


async def test_what_says_nothing_of_disk_is_limited_by_its_namespace(
    new_tenant: NewTenant, client: Client, eventually: Eventually
) -> None:
    tenant = await new_tenant()
    sent = await tenant.client.jobs.submit("bash", ["true"], outputs=["*.txt"])

    async def pod() -> Any:
        selector = f"batch.kubernetes.io/job-name={sent.id}"
        return next(
            iter((await client.list_page(PODS.read_as(AnyObject), tenant.namespace, label_selector=selector)).items),
            None,
        )

    spec = (await eventually(pod, deadline=60)).spec
    limits = {each["name"]: each["resources"]["limits"]["ephemeral-storage"] for each in spec["containers"]}
    runner = {each["name"]: each["resources"]["limits"]["ephemeral-storage"] for each in spec["initContainers"]}
    assert (limits, runner) == ({"main": "10Gi"}, {"longshore-send": "64Mi"})
    allowed = await client.get(NETWORK_POLICIES, "longshore-allow", tenant.namespace)
    ports = [port for rule in allowed.spec["egress"] for port in rule.get("ports", [])]
    assert {(port["protocol"], port["port"]) for port in ports} >= {("UDP", 53), ("TCP", 53)}
    assert len(ports) == 3, "the API's, and no other of longshore's namespace"


@pytest.mark.parametrize(
    ("patch", "why"),
    [
        ({"spec": {"suspend": False}}, "suspend"),
        ({"metadata": {"finalizers": []}}, "finalizers"),
        ({"metadata": {"labels": {"longshore.dev/tenant": "other"}}}, "labels"),
        ({"metadata": {"annotations": {"longshore.dev/spec": "{}"}}}, "annotations"),
        ({"spec": {"parallelism": 9}}, "counted against the limits"),
        ({"spec": {"ttlSecondsAfterFinished": 0}}, "counted against the limits"),
    ],
)
async def test_what_longshore_relies_on_is_changed_by_nobody_else(
    new_tenant: NewTenant, client: Client, patch: dict[str, Any], why: str
) -> None:
    tenant = await new_tenant(concurrent_jobs=1)
    await tenant.client.jobs.submit("bash", ["sleep", "600"])
    waiting = await tenant.client.jobs.submit("bash", ["true"])
    with pytest.raises(errors.Forbidden, match=why):
        await client.patch(JOBS, waiting.id, patch, tenant.namespace)


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        ({"finalizers": None}, "finalizers"),
        ({"labels": {"longshore.dev/tenant": "other"}}, "labels"),
        ({"annotations": {"longshore.dev/spec": "{}"}}, "annotations"),
    ],
)
async def test_a_write_to_a_jobs_status_does_not_pass_by_that(
    new_tenant: NewTenant, client: Client, cluster: LocalCluster, metadata: dict[str, Any], why: str
) -> None:
    tenant = await new_tenant(concurrent_jobs=1)
    running = await tenant.client.jobs.submit("bash", ["sleep", "600"])
    async with as_serve(cluster) as serve:
        for whoever in (client, serve):
            with pytest.raises(errors.Forbidden, match=why):
                await whoever.patch(JOBS, running.id, {"metadata": metadata}, tenant.namespace, subresource="status")


def as_serve(cluster: LocalCluster) -> Client:
    return Client(Config.load(cluster.identity_kubeconfig("longshore-serve")))


async def test_serve_ends_work_of_tenants_only(client: Client, cluster: LocalCluster, namespace: str) -> None:
    await client.create(JOBS, job("theirs", suspend=True), namespace)
    patch = {"status": {"startTime": "2026-01-01T00:00:00Z"}}
    async with as_serve(cluster) as serve:
        with pytest.raises(errors.Forbidden, match="ends work of tenants only"):
            await serve.patch(JOBS, "theirs", patch, namespace, subresource="status")


def lease(name: str, role: str | None) -> dict[str, Any]:
    labels = {LABEL_REPLICA: role} if role else {}
    return {"metadata": {"name": name, "labels": labels}, "spec": {"holderIdentity": name}}


async def test_serve_writes_no_lease_but_those_of_serve(api: LocalApi, client: Client, cluster: LocalCluster) -> None:
    """The leader's is among those that it must not take, and so is one that would be taken for a replica of control."""
    own = own_namespace()
    leader = await client.get(LEASES, "longshore-control", own)
    async with as_serve(cluster) as serve:
        takes = {"metadata": {"labels": {LABEL_REPLICA: "serve"}}, "spec": {"holderIdentity": "me"}}
        with pytest.raises(errors.Forbidden, match="Leases of serve only"):
            await serve.patch(LEASES, "longshore-control", takes, own)
        with pytest.raises(errors.Forbidden, match="Leases of serve only"):
            await serve.delete(LEASES, "longshore-control", own)
        for name, role in (("longshore-serve-x", "control"), ("longshore-serve-x", None), ("another", "serve")):
            with pytest.raises(errors.Forbidden, match="Leases of serve only"):
                await serve.create(LEASES, lease(name, role), own)
        await serve.create(LEASES, lease("longshore-serve-x", "serve"), own)
        with pytest.raises(errors.Forbidden, match="Leases of serve only"):
            await serve.patch(LEASES, "longshore-serve-x", lease("longshore-serve-x", "control"), own)
        await serve.delete(LEASES, "longshore-serve-x", own)
    assert (await client.get(LEASES, "longshore-control", own)).metadata.uid == leader.metadata.uid


async def test_serve_cannot_ask_for_the_token_of_another_account(api: LocalApi, cluster: LocalCluster) -> None:
    """A Secret of that type would be filled with one, and serve reads the Secrets of the keys' namespace."""
    keys = Settings().keys_namespace
    asks = {
        "type": "kubernetes.io/service-account-token",
        "metadata": {"name": "mine", "annotations": {"kubernetes.io/service-account.name": "longshore-control"}},
    }
    async with as_serve(cluster) as serve:
        for body in (asks, {"type": "Opaque", "metadata": {"name": "mine"}}):
            with pytest.raises(errors.Forbidden, match="Secrets of API keys only"):
                await serve.create(SECRETS, body, keys)
            with pytest.raises(errors.Forbidden, match="cannot create"):
                await serve.create(SECRETS, body, own_namespace())


def own_namespace() -> str:
    """longshore's own."""
    namespace: str = Settings.model_fields["namespace"].default
    return namespace


async def test_what_drifts_in_a_tenants_namespace_is_put_back(
    new_tenant: NewTenant, client: Client, eventually: Eventually
) -> None:
    tenant = await new_tenant()
    await client.delete(NETWORK_POLICIES, "longshore-deny", tenant.namespace)
    await client.patch(RESOURCE_QUOTAS, "longshore", {"spec": {"hard": {"pods": "999"}}}, tenant.namespace)

    async def mended() -> bool | None:
        try:
            await client.get(NETWORK_POLICIES, "longshore-deny", tenant.namespace)
        except errors.NotFound:
            return None
        quota = await client.get(RESOURCE_QUOTAS, "longshore", tenant.namespace)
        return True if quota.spec["hard"]["pods"] != "999" else None

    await eventually(mended)


@pytest.mark.timeout(300)
async def test_a_burst_never_runs_more_than_the_limit_even_while_the_leader_is_killed(
    new_tenant: NewTenant, client: Client, cluster: LocalCluster, eventually: Eventually
) -> None:
    """20 submissions at once against 2 concurrent jobs; control is killed with -9 twice on the way."""
    tenant = await new_tenant(concurrent_jobs=2, cpu=10)
    most_admitted = most_unsuspended = 0
    jobs: Store[Job] = Store(JOBS)
    tenants: Store[Tenant] = Store(TENANTS)
    watching = [
        asyncio.ensure_future(Reflector(client, jobs, namespace=tenant.namespace).run()),
        asyncio.ensure_future(Reflector(client, tenants).run()),
    ]

    async def watch_jobs() -> None:
        nonlocal most_unsuspended
        async with jobs.subscribe() as changes:
            while True:
                await changes.next()
                most_unsuspended = max(most_unsuspended, sum(holds_a_place(j) for j in jobs.list()))

    async def watch_fence() -> None:
        nonlocal most_admitted
        async with tenants.subscribe() as changes:
            while True:
                for delta in await changes.next():
                    if delta.new is not None and delta.new.id == tenant.id:
                        most_admitted = max(most_admitted, len(delta.new.status.admitted))

    def finished(count: int) -> Callable[[], Awaitable[bool | None]]:
        async def look() -> bool | None:
            return True if sum(is_over(j) for j in jobs.list()) >= count else None

        return look

    async def control() -> int | None:
        """The process id of control, once it runs again."""
        return next(part.pid for part in (await cluster.status()).parts if part.name == "control")

    await jobs.wait_synced(60)
    watching += [asyncio.ensure_future(watch_jobs()), asyncio.ensure_future(watch_fence())]
    try:
        submitted = await asyncio.gather(
            *(tenant.client.jobs.submit("bash", ["bash", "-c", f"echo run-{i}"]) for i in range(20))
        )
        for done_before_kill in (4, 10):
            await eventually(finished(done_before_kill), deadline=90)
            os.kill(await eventually(control), signal.SIGKILL)
        done = [await tenant.client.jobs.wait(s.id, deadline=120) for s in submitted]
    finally:
        for task in watching:
            task.cancel()
        await asyncio.wait(watching)
    assert {d.status for d in done} == {"Succeeded"}
    assert {d.attempts for d in done} == {1}, "each ran once"
    assert most_admitted == 2
    assert most_unsuspended <= 2
    for i, record in enumerate(submitted):
        log = b"".join([chunk async for chunk in tenant.client.jobs.logs(record.id)])
        assert log == f"run-{i}\n".encode()


def holds_a_place(job: Job) -> bool:
    return not job.spec.suspend and not is_over(job)
