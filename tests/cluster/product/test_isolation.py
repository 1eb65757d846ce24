"""What others write into namespaces of their own never becomes a tenant's, whatever labels it bears."""

import io
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import msgspec
import pytest

from longshore import errors
from longshore.cli.local import LocalApi
from longshore.kube.client import Client
from longshore.kube.objects import JOBS, NAMESPACES, PODS

NewTenant = Callable[..., Awaitable[Any]]
Eventually = Callable[..., Awaitable[Any]]


@pytest.fixture
async def foreign(client: Client) -> AsyncIterator[str]:
    """A namespace that is no tenant's."""
    name = f"foreign-{uuid.uuid4().hex[:8]}"
    await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    await client.delete(NAMESPACES, name)


def pretender(id: str, tenant: str, *, suspend: bool) -> dict[str, Any]:
    labels = {"longshore.dev/kind": "job", "longshore.dev/tenant": tenant}
    container = {"name": "main", "image": "bash", "command": ["bash", "-c", "echo forged; sleep 600"]}
    template = {"metadata": {"labels": labels}, "spec": {"restartPolicy": "Never", "containers": [container]}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": id, "labels": labels},
        "spec": {"suspend": suspend, "template": template},
    }


async def test_a_job_of_the_same_name_and_labels_elsewhere_gets_nothing(
    new_tenant: NewTenant, client: Client, foreign: str, api: LocalApi, eventually: Eventually
) -> None:
    tenant = await new_tenant()
    mine = await tenant.client.jobs.submit("bash", ["bash", "-c", "echo mine > out.txt"], outputs=["out.txt"])
    await tenant.client.jobs.wait(mine.id, deadline=60)
    await client.create(JOBS, pretender(mine.id, tenant.id, suspend=False), foreign)

    async def running() -> str | None:
        pods = (await client.list_page(PODS, foreign)).items
        return next((p.metadata.name for p in pods if p.status.phase == "Running"), None)

    pod = await eventually(running, deadline=60)
    uid = (await client.get(PODS, pod, foreign)).metadata.uid
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {
            "audiences": ["longshore"],
            "boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": pod, "uid": uid},
        },
    }
    answer = await client.call("POST", f"/api/v1/namespaces/{foreign}/serviceaccounts/default/token", body=request)
    token = msgspec.json.decode(answer)["status"]["token"]
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(api.url, headers=headers) as http:
        for method, path in (("GET", "artifacts/out.txt"), ("PUT", "artifacts/out.txt"), ("GET", "logs")):
            async with http.request(method, f"/v1/jobs/{mine.id}/{path}", data=b"forged") as response:
                assert response.status in (403, 404, 503)
    assert [item.id for item in (await tenant.client.jobs.list()).items] == [mine.id]
    log = b"".join([chunk async for chunk in tenant.client.jobs.logs(mine.id)])
    assert b"forged" not in log


async def test_a_suspended_job_elsewhere_is_never_admitted_on_a_tenants_account(
    new_tenant: NewTenant, client: Client, foreign: str
) -> None:
    tenant = await new_tenant(concurrent_jobs=1)
    await client.create(JOBS, pretender("waits", tenant.id, suspend=True), foreign)
    mine = await tenant.client.jobs.submit("bash", ["true"])
    assert (await tenant.client.jobs.wait(mine.id, deadline=60)).status == "Succeeded"
    assert (await client.get(JOBS, "waits", foreign)).spec.suspend is True


async def test_a_namespace_keeps_the_label_that_puts_it_behind_the_fence(new_tenant: NewTenant, client: Client) -> None:
    tenant = await new_tenant()
    patch = {"metadata": {"labels": {"longshore.dev/tenant": None}}}
    with pytest.raises(errors.Forbidden, match="changed by longshore only"):
        await client.patch(NAMESPACES, tenant.namespace, patch)


async def test_nothing_is_asked_for_that_would_be_without_limit(new_tenant: NewTenant) -> None:
    tenant = await new_tenant()
    for amounts in ({"cpu": "0"}, {"memory": "0"}):
        with pytest.raises(errors.UserMistake):
            await tenant.client.jobs.submit("bash", ["true"], **amounts)


async def test_a_body_that_is_too_large_is_refused_before_it_is_read(api: LocalApi) -> None:
    body = io.BytesIO(b"x" * 5_000_000)
    json = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(api.url, headers=json) as http, http.post("/v1/jobs", data=body) as response:
        assert response.status == 413
        assert (await response.json())["hint"]
