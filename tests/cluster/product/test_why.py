"""Each cause that keeps a job waiting, provoked on the real control plane, and the sentence that tells it.

Nothing here fits on a node or is let start for long, so the tests cost what it takes until the cause is told.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import aiohttp
import msgspec
import pytest

from longshore.cli.local import LocalApi
from longshore.kinds.jobs import reconcile
from longshore.kube.client import Client
from longshore.kube.objects import (
    CUSTOM_RESOURCE_DEFINITIONS,
    EVENTS,
    JOBS,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    RESOURCE_QUOTAS,
    AnyObject,
    Patch,
    Pod,
    Resource,
)
from longshore.runtime.executor import Executor
from longshore.sdk.answers import Job, Why

NewTenant = Callable[..., Awaitable[Any]]
Eventually = Callable[..., Awaitable[Any]]


@pytest.fixture
def waits(eventually: Eventually) -> Callable[..., Awaitable[Why]]:
    """Waits until a job says that it waits for this reason."""

    async def until(tenant: Any, job: Job, reason: str, words: str = "") -> Why:
        seen: list[Why | None] = []

        async def look() -> Why | None:
            why = (await tenant.client.jobs.get(job.id)).why
            if why not in seen:
                seen.append(why)
            return why if why and why.reason == reason and words in (why.sentence or "") else None

        try:
            found: Why = await eventually(look, deadline=90)
        except TimeoutError:
            raise AssertionError(f"never waited for {reason}, but for {seen}") from None
        assert found.since is not None
        return found

    return until


async def pod_of(client: Client, eventually: Eventually, namespace: str, job: Job) -> Pod:
    async def look() -> Pod | None:
        pods = await client.list_page(PODS, namespace, label_selector=f"batch.kubernetes.io/job-name={job.id}")
        return pods.items[0] if pods.items else None

    found: Pod = await eventually(look)
    return found


async def tell(client: Client, pod: Pod, type_: str, reason: str, message: str) -> None:
    """An Event about this pod, as whoever writes such Events would."""
    meta = pod.metadata
    about = {"apiVersion": "v1", "kind": "Pod", "name": meta.name, "namespace": meta.namespace, "uid": meta.uid}
    body = {
        "metadata": {"name": f"{meta.name}.{reason.lower()}"},
        "involvedObject": about,
        "type": type_,
        "reason": reason,
        "message": message,
        "source": {"component": "test"},
        "firstTimestamp": stamp(),
        "lastTimestamp": stamp(),
        "count": 1,
    }
    await client.create(EVENTS, body, meta.namespace)


@pytest.fixture
def asked(api: LocalApi) -> Callable[..., Awaitable[Job]]:
    """Submits what the test says; it asks for little and runs `true` unless the body says else."""

    async def submit(tenant: Any, **body: Any) -> Job:
        body = {"image": "bash", "command": ["true"], "resources": {"cpu": "0.1"}} | body
        async with (
            aiohttp.ClientSession(api.url, headers={"X-API-Key": tenant.key}) as session,
            session.post("/v1/jobs", json=body) as response,
        ):
            said = await response.read()
        assert response.status == 202, said
        return msgspec.json.decode(said, type=Job)

    return submit


async def end(tenant: Any, *jobs: Job) -> None:
    """So that the tests after this one have the room."""
    await asyncio.gather(*(tenant.client.jobs.stop(job.id) for job in jobs))
    for job in jobs:
        await tenant.client.jobs.wait(job.id, deadline=60)


async def kept_of(tenant: Any, job: Job) -> Any:
    """What a job that is over had waited for: in its record, which is written a moment after its end."""
    async with asyncio.timeout(60):
        while not (found := await tenant.client.jobs.get(job.id)).archived:  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.05)
    return found.why


async def test_a_limit_of_the_tenant_which_how_much_of_it_is_used_and_how_many_are_ahead(
    new_tenant: NewTenant, waits: Any
) -> None:
    tenant = await new_tenant(cpu=1, concurrent_jobs=5)
    first = await tenant.client.jobs.submit("bash", ["sleep", "600"], cpu=0.6)
    await waits(tenant, first, "Running")
    second = await tenant.client.jobs.submit("bash", ["true"], cpu=0.5)
    third = await tenant.client.jobs.submit("bash", ["true"], cpu=0.1)
    why = await waits(tenant, second, "TenantLimit", "0.6 of 1 cores")
    assert why.sentence == (
        "Waits for the tenant's turn: 0.6 of 1 cores are in use and the next asks for 0.5, 0 wait ahead."
    )
    why = await waits(tenant, third, "TenantLimit", "1 waits ahead")
    assert why.ahead == 1
    assert why.eta is None, "nothing was measured yet"
    await end(tenant, third)  # before the others leave it their place
    await end(tenant, second, first)
    kept = await kept_of(tenant, third)
    assert kept.reason == "TenantLimit"
    assert "0.6 of 1 cores" in kept.sentence
    assert kept.queued is not None


async def test_when_it_may_start_is_reckoned_from_what_the_tenants_last_jobs_took(
    new_tenant: NewTenant, waits: Any
) -> None:
    tenant = await new_tenant(concurrent_jobs=3)
    done = [await tenant.client.jobs.submit("bash", ["true"], cpu=0.1) for _ in range(3)]
    for job in done:
        assert (await tenant.client.jobs.wait(job.id, deadline=60)).status == "Succeeded"
    running = [await tenant.client.jobs.submit("bash", ["sleep", "600"], cpu=0.1) for _ in range(3)]
    waiting = await tenant.client.jobs.submit("bash", ["true"], cpu=0.1)
    why = await waits(tenant, waiting, "TenantLimit", "3 of 3 jobs")
    assert why.eta is not None
    assert "last 3 jobs" in why.eta.basis
    assert why.eta.at >= why.since
    await end(tenant, waiting, *running)


async def test_jobs_that_cannot_start_are_named_to_those_behind_and_told_when_they_give_up_their_places(
    new_tenant: NewTenant, waits: Any, client: Client, eventually: Eventually
) -> None:
    tenant = await new_tenant(concurrent_jobs=2)
    selector = {"example.com/no": "such"}
    stuck = [
        await tenant.client.jobs.submit("bash", ["true"], name=name, cpu=0.1, node_selector=selector)
        for name in ("one", "two")
    ]
    for each in stuck:
        why = await waits(tenant, each, "NoMatchingNode")
        assert why.until is not None
        assert why.until - why.since >= timedelta(minutes=59)
    behind = await tenant.client.jobs.submit("bash", ["true"], cpu=0.1)
    held = await waits(tenant, behind, "TenantLimit", "2 of 2 places are held by jobs that cannot start")
    assert "'one' (NoMatchingNode)" in held.sentence
    assert "'two' (NoMatchingNode)" in held.sentence
    assert held.eta is None

    # what the leader does when that time has come, on the same objects
    job, pod = (
        await client.get(JOBS, stuck[0].id, tenant.namespace),
        await pod_of(client, eventually, tenant.namespace, stuck[0]),
    )
    now = datetime.now(UTC)
    (ending,) = reconcile.plan(job, [pod], now, ttl_seconds=60, until=now).actions
    await Executor(client).execute(ending)
    done = await tenant.client.jobs.wait(stuck[0].id, deadline=60)
    assert (done.status, done.reason) == ("Failed", "Unschedulable")
    assert "kept its place for too long" in (done.message or "")
    assert (await tenant.client.jobs.wait(behind.id, deadline=60)).status == "Succeeded"
    await end(tenant, stuck[1])


async def test_the_namespaces_quota_and_how_much_of_it_is_used(
    new_tenant: NewTenant, client: Client, eventually: Eventually, waits: Any
) -> None:
    tenant = await new_tenant()
    quota = {"metadata": {"name": "small"}, "spec": {"hard": {"requests.cpu": "100m"}}}
    await client.create(RESOURCE_QUOTAS, quota, tenant.namespace)

    async def counts() -> bool | None:
        """The API server hears of it a moment later, and Kubernetes counts it before it refuses anything for it."""
        planned = await tenant.client.jobs.plan("bash", ["true"], cpu=0.5)
        return True if "ResourceQuota small" in planned.sentence else None

    await eventually(counts)
    job = await tenant.client.jobs.submit("bash", ["true"], cpu=0.5)
    why = await waits(tenant, job, "QuotaExceeded")
    assert why.sentence == (
        "Waits for the namespace's ResourceQuota small: 0 of 100m requests.cpu are in use and it asks for 500m."
    )
    await end(tenant, job)
    kept = await kept_of(tenant, job)
    assert kept.reason == "QuotaExceeded"
    assert why.sentence in kept.sentence


async def test_no_node_that_is_large_enough_and_then_the_node_that_an_autoscaler_says_it_adds(
    new_tenant: NewTenant, client: Client, eventually: Eventually, waits: Any
) -> None:
    tenant = await new_tenant(cpu=90)
    job = await tenant.client.jobs.submit("bash", ["true"], cpu=80)
    why = await waits(tenant, job, "NoNodeFits", "free")
    assert why.sentence.startswith("No node has enough cpu, of which the node with the most has ")
    assert "Insufficient cpu" in why.sentence
    pod = await pod_of(client, eventually, tenant.namespace, job)
    said = "pod triggered scale-up: [{pool-a 1->2 (max: 9)}]"
    await tell(client, pod, "Normal", "TriggeredScaleUp", said)
    why = await waits(tenant, job, "ScalingUp")
    assert why.sentence == f"A node is being added for it: {said}"
    await end(tenant, job)
    assert (await kept_of(tenant, job)).reason == "ScalingUp"


async def test_an_image_that_cannot_be_pulled_and_the_error(new_tenant: NewTenant, waits: Any) -> None:
    tenant = await new_tenant()
    job = await tenant.client.jobs.submit("registry.invalid/no/such:1", ["true"], cpu=0.1)
    why = await waits(tenant, job, "ImagePull")
    assert "registry.invalid/no/such" in why.sentence
    await end(tenant, job)


async def test_the_backoff_before_the_next_attempt(new_tenant: NewTenant, waits: Any) -> None:
    tenant = await new_tenant()
    job = await tenant.client.jobs.submit("bash", ["bash", "-c", "exit 3"], cpu=0.1, retries=1)
    why = await waits(tenant, job, "RetryBackoff")
    assert why.sentence == "1 attempt failed; Kubernetes waits 10 s before the next."
    await end(tenant, job)


async def test_a_job_that_is_being_stopped(
    new_tenant: NewTenant, client: Client, eventually: Eventually, waits: Any
) -> None:
    tenant = await new_tenant()
    job = await tenant.client.jobs.submit("bash", ["bash", "-c", "trap '' TERM; while :; do sleep 1; done"], cpu=0.1)
    running = await waits(tenant, job, "Running")
    assert "for its pod" in running.sentence
    await tenant.client.jobs.stop(job.id)
    why = await waits(tenant, job, "Stopping")
    assert why.sentence.startswith("Its pods are being ended: Stopped by ")
    pod = await pod_of(client, eventually, tenant.namespace, job)
    await client.delete(PODS, pod.metadata.name, tenant.namespace, grace_period_seconds=0)
    await tenant.client.jobs.wait(job.id, deadline=60)


WORKLOADS = Resource("kueue.x-k8s.io", "v1beta1", "workloads", "Workload", True, AnyObject)


@asynccontextmanager
async def kueue_crd(client: Client) -> AsyncIterator[None]:
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1beta1", "served": True, "storage": True, "schema": {"openAPIV3Schema": anything}}
    names = {"kind": "Workload", "plural": "workloads", "singular": "workload"}
    body = {
        "metadata": {
            "name": "workloads.kueue.x-k8s.io",
            # the group is Kubernetes' own, and guarded so
            "annotations": {"api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/kueue"},
        },
        "spec": {
            "group": WORKLOADS.group,
            "names": names,
            "scope": "Namespaced",
            "versions": [version | {"subresources": {"status": {}}}],
        },
    }
    await client.create(CUSTOM_RESOURCE_DEFINITIONS, body)
    try:
        yield
    finally:
        await client.delete(CUSTOM_RESOURCE_DEFINITIONS, "workloads.kueue.x-k8s.io")


async def test_kueue_and_what_it_says_with_a_workload_written_as_kueue_would_because_none_runs_here(
    new_tenant: NewTenant, client: Client, eventually: Eventually, waits: Any
) -> None:
    tenant = await new_tenant(cpu=90)
    job = await tenant.client.jobs.submit("bash", ["true"], cpu=80)
    await waits(tenant, job, "NoNodeFits")
    record = await tenant.client.jobs.get(job.id)
    said = "couldn't assign flavors to pod set main: insufficient unused quota for cpu in flavor default"
    async with kueue_crd(client):
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job.id, "controller": True}
        uid = (await pod_of(client, eventually, tenant.namespace, job)).metadata.owner_references[0].uid
        body = {"metadata": {"name": f"job-{job.id}", "ownerReferences": [owner | {"uid": uid}]}}

        async def made() -> AnyObject | None:
            try:
                return await client.create(WORKLOADS, body, tenant.namespace)
            except Exception:  # it is served a moment after it is made
                return None

        await eventually(made)
        condition = {"type": "QuotaReserved", "status": "False", "reason": "Pending", "message": said}
        status = {"status": {"conditions": [condition | {"lastTransitionTime": record.created.isoformat()}]}}
        await client.patch(WORKLOADS, f"job-{job.id}", status, tenant.namespace, subresource="status")
        why = await waits(tenant, job, "WaitingForKueue")
        assert why.sentence == f"Waits for Kueue: {said}"
        await end(tenant, job)


async def test_who_with_a_higher_priority_is_ahead(new_tenant: NewTenant, waits: Any, asked: Any) -> None:
    tenant = await new_tenant(concurrent_jobs=1)
    first = await asked(tenant, command=["sleep", "600"])
    await waits(tenant, first, "Running")
    usual = await asked(tenant)
    urgent = await asked(tenant, name="hurry", priority="high")
    why = await waits(tenant, usual, "TenantLimit", "of higher priority (first 'hurry')")
    assert why.ahead == 1
    assert "1 waits ahead, 1 of them" in why.sentence
    assert "priority" not in (await waits(tenant, urgent, "TenantLimit")).sentence
    await end(tenant, usual, urgent, first)


@asynccontextmanager
async def simulated_node(client: Client, *taints: dict[str, str]) -> AsyncIterator[str]:
    """A Node that no kubelet answers for: what it is said to have decides where pods go, and nothing runs there."""
    name = f"sim-{uuid4().hex[:8]}"
    body = {"metadata": {"name": name, "labels": {"sim": name}}, "spec": {"taints": list(taints)}}
    await client.create(NODES, body)
    has = {"cpu": "64", "memory": "64Gi", "ephemeral-storage": "64Gi", "pods": "110"}
    ready = {"type": "Ready", "status": "True", "reason": "Simulated", "lastHeartbeatTime": stamp()}
    status = {"status": {"capacity": has, "allocatable": has, "conditions": [ready]}}
    await client.patch(NODES, name, status, type=Patch.STRATEGIC, subresource="status")
    try:
        yield name
    finally:  # else the next test's pods would come to it, too
        await client.delete(NODES, name)


def stamp() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


async def test_a_taint_that_it_does_not_tolerate_and_labels_that_no_node_has(
    new_tenant: NewTenant, client: Client, waits: Any, asked: Any
) -> None:
    tenant = await new_tenant()
    async with simulated_node(client, {"key": "gpu", "value": "only", "effect": "NoSchedule"}) as name:
        tainted = await asked(tenant, node_selector={"sim": name})
        nowhere = await asked(tenant, node_selector={"sim": "none"})
        assert "gpu=only" in (await waits(tenant, tainted, "UntoleratedTaint")).sentence
        why = await waits(tenant, nowhere, "NoMatchingNode")
        assert why.sentence.startswith("No node has the labels that it asks for (sim=none). The scheduler says: ")
        await end(tenant, tainted, nowhere)


async def test_a_claim_that_does_not_exist_and_one_that_cannot_be_bound(
    new_tenant: NewTenant, client: Client, waits: Any, asked: Any
) -> None:
    tenant = await new_tenant()
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "nonesuch",
        "resources": {"requests": {"storage": "1Gi"}},
    }
    await client.create(PERSISTENT_VOLUME_CLAIMS, {"metadata": {"name": "unbound"}, "spec": spec}, tenant.namespace)
    missing = await asked(tenant, mounts=[{"claim": "nowhere", "path": "/data"}])
    unbound = await asked(tenant, mounts=[{"claim": "unbound", "path": "/data"}])
    why = await waits(tenant, missing, "ClaimMissing")
    assert why.sentence == f"The volume claim nowhere that it mounts does not exist in {tenant.namespace}."
    why = await waits(tenant, unbound, "VolumeUnbound", "nonesuch")
    assert why.sentence == (
        'Waits for its volume claims to be bound: unbound (storageclass.storage.k8s.io "nonesuch" not found).'
    )
    await end(tenant, missing, unbound)


async def test_a_secret_that_is_not_there(new_tenant: NewTenant, waits: Any, asked: Any) -> None:
    tenant = await new_tenant()
    job = await asked(tenant, env={"TOKEN": {"secret": "nowhere", "key": "token"}})
    assert "nowhere" in (await waits(tenant, job, "ContainerConfig")).sentence
    await end(tenant, job)


async def test_a_failed_mount_and_an_image_that_insists_on_root_told_as_a_kubelet_would_on_a_simulated_node(
    new_tenant: NewTenant, client: Client, eventually: Eventually, waits: Any, asked: Any
) -> None:
    tenant = await new_tenant()
    async with simulated_node(client) as name:
        job = await asked(tenant, node_selector={"sim": name})
        await waits(tenant, job, "Starting", f"starting on {name}")
        pod = await pod_of(client, eventually, tenant.namespace, job)
        mount = 'MountVolume.SetUp failed for volume "home": mount failed: exit status 32'
        await tell(client, pod, "Warning", "FailedMount", mount)
        assert (await waits(tenant, job, "MountFailed")).sentence == f"A volume cannot be mounted: {mount}"
        said = "container has runAsNonRoot and image will run as root"
        waiting = {"reason": "CreateContainerConfigError", "message": said}
        main = {"name": "main", "image": "bash", "imageID": "", "ready": False, "restartCount": 0}
        status = {"status": {"containerStatuses": [main | {"state": {"waiting": waiting}}]}}
        await client.patch(
            PODS, pod.metadata.name, status, tenant.namespace, type=Patch.STRATEGIC, subresource="status"
        )
        # `control` ends such a job as soon as it sees it; no kubelet ends the pod
        await waits(tenant, job, "Stopping", said)
        await client.delete(PODS, pod.metadata.name, tenant.namespace, grace_period_seconds=0)
        await tenant.client.jobs.wait(job.id, deadline=60)
        assert (await kept_of(tenant, job)).reason == "ImageRunsAsRoot"


async def test_what_happened_is_told_in_order_and_is_the_same_when_the_job_is_gone(
    new_tenant: NewTenant, client: Client, eventually: Eventually
) -> None:
    tenant = await new_tenant()
    job = await tenant.client.jobs.submit("bash", ["bash", "-c", "exit 3"], cpu=0.1)
    await tenant.client.jobs.wait(job.id, deadline=60)

    async def archived() -> bool | None:
        return True if (await tenant.client.jobs.get(job.id)).archived else None

    await eventually(archived)
    before = await tenant.client.jobs.events(job.id)
    reasons = [event.reason for event in before]
    wanted = ["Accepted", "Started", "PodCreated", "Scheduled", "ContainerStarted", "Error", "BackoffLimitExceeded"]
    assert [reason for reason in wanted if reason in reasons] == wanted, reasons
    assert [event.at for event in before] == sorted(event.at for event in before)
    await client.delete(JOBS, job.id, tenant.namespace)

    async def gone() -> bool | None:
        return True if not (await tenant.client.jobs.get(job.id)).resource_version else None

    await eventually(gone)
    assert await tenant.client.jobs.events(job.id) == before
    assert (await tenant.client.jobs.get(job.id)).why.reason in ("TenantLimit", "Starting")
