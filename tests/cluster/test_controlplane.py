"""The control plane of the session's cluster: what runs, who may do what, and what `up` of a running cluster does."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from longshore.cluster import bootstrap, versions
from longshore.cluster.cluster import LocalCluster
from longshore.cluster.parts import Check, Plan, passes
from longshore.cluster.progress import Step
from longshore.cluster.state import load
from longshore.errors import Forbidden, LongshoreError, NotFound, Unavailable
from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.kube.objects import CONFIG_MAPS, JOBS, NAMESPACES, NODES, PODS, SECRETS

LOGIN_REVIEW = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}


@pytest.fixture
async def namespace(client: Client) -> AsyncIterator[str]:
    made = await client.create(NAMESPACES, {"metadata": {"generateName": "control-plane-"}})
    yield made.metadata.name
    await client.delete(NAMESPACES, made.metadata.name)


async def until(found: Callable[[], Any], deadline: float = 60.0) -> Any:
    """The first answer of `found` that is true, or no NotFound."""
    async with asyncio.timeout(deadline):
        while True:
            try:
                if answer := await found():
                    return answer
            except NotFound:
                pass
            await asyncio.sleep(0.05)


async def pids(cluster: LocalCluster) -> dict[str, int | None]:
    return {part.name: part.pid for part in (await cluster.status()).parts}


async def test_every_part_is_ready_and_its_memory_is_known(cluster: LocalCluster) -> None:
    status = await cluster.status()
    assert status.running
    assert status.ready
    names = [part.name for part in status.parts]
    assert names[:5] == ["supervisor", "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"]
    assert all(part.rss > 10 * 1024**2 and part.uptime > 0 for part in status.parts)


async def test_the_api_server_says_the_version_that_is_pinned(client: Client) -> None:
    version = json.loads(await client.call("GET", "/version"))
    assert version["gitVersion"] == f"v{versions.control_plane().version}"


async def test_a_namespace_gets_the_root_certificate_and_a_job_gets_a_pod(client: Client, namespace: str) -> None:
    await until(lambda: client.get(CONFIG_MAPS, "kube-root-ca.crt", namespace))
    container = {"name": "main", "image": "longshore/host", "command": ["true"]}
    # No node fits, so that this says nothing about nodes.
    pod = {"restartPolicy": "Never", "nodeSelector": {"no": "such"}, "containers": [container]}
    await client.create(JOBS, {"metadata": {"name": "one"}, "spec": {"template": {"spec": pod}}}, namespace)

    async def unschedulable() -> bool:
        pods = (await client.list_page(PODS, namespace)).items
        return any(condition.reason == "Unschedulable" for pod in pods for condition in pod.status.conditions)

    await until(unschedulable)


async def test_an_identity_has_the_name_and_groups_of_its_service_account_and_no_more_rights(
    cluster: LocalCluster,
) -> None:
    async with Client(Config.load(cluster.identity_kubeconfig("longshore-control"))) as control:
        path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        login = json.loads(await control.call("POST", path, body=LOGIN_REVIEW))["status"]["userInfo"]
        assert login["username"] == "system:serviceaccount:longshore-system:longshore-control"
        groups = {"system:serviceaccounts", "system:serviceaccounts:longshore-system", "system:authenticated"}
        assert set(login["groups"]) == groups
        with pytest.raises(Forbidden):
            await control.list_page(SECRETS, "kube-system")


async def test_a_node_may_not_touch_another_node(cluster: LocalCluster, client: Client) -> None:
    await client.create(NODES, {"metadata": {"name": "somebody-elses"}, "spec": {"unschedulable": True}})
    part = cluster.node_part("intruder")
    async with Client(Config.load(part.argv[part.argv.index("--kubeconfig") + 1])) as intruder:
        with pytest.raises(Forbidden):
            await intruder.patch(NODES, "somebody-elses", {"metadata": {"labels": {"mine": "now"}}})
    await client.delete(NODES, "somebody-elses")


async def test_nobody_gets_in_without_a_certificate(cluster: LocalCluster) -> None:
    plan = load(cluster.folder.plan, Plan)
    assert plan is not None
    checks = {part.name: part.ready for part in plan.parts if part.ready}
    api, etcd = checks["kube-apiserver"], checks["etcd"]
    assert await passes(api)
    assert not await passes(Check(api.url.replace("/readyz", "/api/v1/secrets"), ca=api.ca))
    assert await passes(etcd)
    assert not await passes(Check(etcd.url, ca=etcd.ca))


async def test_a_certificate_of_the_cluster_does_not_open_etcd(cluster: LocalCluster) -> None:
    plan = load(cluster.folder.plan, Plan)
    assert plan is not None
    etcd = next(part.ready for part in plan.parts if part.name == "etcd")
    assert etcd is not None
    admin = cluster.folder.pki / "admin-client"
    assert not await passes(Check(etcd.url, ca=etcd.ca, cert=f"{admin}.crt", key=f"{admin}.key"))


async def test_up_of_a_running_cluster_changes_nothing_and_is_quick(cluster: LocalCluster) -> None:
    before = await pids(cluster)
    async with asyncio.timeout(60):
        await cluster.up()
    assert await pids(cluster) == before


async def test_two_up_at_once_are_one(cluster: LocalCluster) -> None:
    before = await pids(cluster)
    again = LocalCluster(cluster.name, state_root=cluster.folder.root.parents[1], fsync=False)
    steps: list[Step] = []
    await asyncio.gather(*(one.up(progress=steps.append) for one in (again, cluster)))
    assert await pids(cluster) == before


async def test_the_log_of_a_part_is_found_by_its_name_and_nothing_else_is(cluster: LocalCluster) -> None:
    assert cluster.log("etcd") == cluster.folder.logs / "etcd.log"
    for name in ("nobody", "../pki/ca", "/etc/hostname"):
        with pytest.raises(NotFound, match="no log") as caught:
            cluster.log(name)
        assert caught.value.hint is not None
        assert "kube-apiserver" in caught.value.hint


def test_the_kubeconfig_is_for_its_owner_alone(kubeconfig: Path) -> None:
    assert kubeconfig.stat().st_mode & 0o077 == 0


async def test_an_addition_that_cannot_start_is_taken_back_and_told_with_its_last_words(cluster: LocalCluster) -> None:
    before = await pids(cluster)
    bad = cluster.node_part("bad-node")
    broken = type(bad)("bad-node", ("sh", "-c", "echo cannot find the sea; exit 7"), ready=bad.ready)
    with pytest.raises(LongshoreError, match="cannot find the sea"):
        await cluster.up(extra_parts=[broken])

    async def gone() -> bool:
        return await pids(cluster) == before

    await until(gone)


async def test_a_cluster_in_which_no_pod_can_be_made_is_not_said_to_be_up(
    cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await pids(cluster)
    monkeypatch.setattr(bootstrap, "_ACCOUNT_TRIES", 0)
    with pytest.raises(Unavailable, match="no pod can be made yet"):
        await cluster.up()
    assert await pids(cluster) == before
    monkeypatch.undo()
    await cluster.up()
