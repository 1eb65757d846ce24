"""PersistentVolumeClaims of the default StorageClass: data that outlives its pods."""

import asyncio
from collections.abc import Callable

import pytest
from tests.cluster.space import DEADLINE, POLL_SECONDS, Namespace, Raw, is_over, is_running, shell, waits_for

from longshore.errors import NotFound
from longshore.kube.client import Client
from longshore.kube.objects import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES, Resource

CLAIMS = PERSISTENT_VOLUME_CLAIMS.read_as(Raw)
VOLUMES = PERSISTENT_VOLUMES.read_as(Raw)
STATEFUL_SETS: Resource[Raw] = Resource("apps", "v1", "statefulsets", "StatefulSet", True, dict)
DEFAULT = "storageclass.kubernetes.io/is-default-class"
STORAGE: Raw = {"requests": {"storage": "64Mi"}}


@pytest.fixture(autouse=True)
async def _default_class(client: Client) -> None:
    """There may be none in a cluster that was given."""
    classes = (await client.list_page(STORAGE_CLASSES)).items
    if all(each.metadata.annotations.get(DEFAULT) != "true" for each in classes):
        pytest.skip("the cluster has no default StorageClass")


async def claim(space: Namespace, mode: str = "ReadWriteOnce", name: str = "data") -> None:
    body = {"metadata": {"name": name}, "spec": {"accessModes": [mode], "resources": STORAGE}}
    await space.client.create(CLAIMS, body, space.name)


async def claim_until(space: Namespace, holds: Callable[[Raw], bool], name: str = "data") -> Raw:
    found: Raw = {}
    try:
        async with space.within(DEADLINE):
            while True:
                found = await space.client.get(CLAIMS, name, space.name)
                if holds(found):
                    return found
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise AssertionError(f"claim {name} remained {found}") from None


async def gone(space: Namespace, resource: Resource[Raw], name: str) -> None:
    async with space.within(DEADLINE):
        while True:
            try:
                await space.client.get(resource, name, space.name)
            except NotFound:
                return
            await asyncio.sleep(POLL_SECONDS)


def is_bound(claim: Raw) -> bool:
    return bool(claim["status"].get("phase") == "Bound")


def mount(**fields: object) -> Raw:
    """The fields of a container that mounts the claim at /data."""
    return {"volumeMounts": [{"name": "v", "mountPath": "/data", **fields}]}


def using(claim: str = "data", **source: object) -> Raw:
    """The spec of a pod that uses the claim."""
    return {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": claim, **source}}]}


async def runs_or_is_not_offered(space: Namespace, name: str, mode: str) -> None:
    """Wait for a pod with a claim of a mode that not every StorageClass has."""
    try:
        await space.until(lambda pod: is_running(pod) or is_over(pod), name)
    except AssertionError:
        if space.where.on_process_node:
            raise
        pytest.skip(f"the default StorageClass does not offer {mode}")


@pytest.mark.every_sandbox
@pytest.mark.needs_mounts
async def test_what_is_written_to_a_claim_outlives_the_pod(space: Namespace) -> None:
    await claim(space)
    await space.run(shell("echo kept > /data/file", **mount()), **using())
    await space.delete()
    await space.gone()
    assert await space.output("cat /data/file", container=mount(), **using()) == ["kept"]


async def test_two_pods_share_a_claim_that_many_may_write(space: Namespace) -> None:
    await claim(space, "ReadWriteMany")
    waits = "until test -s /data/{0}; do sleep 0.05; done; cat /data/{0}"  # a shell makes a file before it writes it
    for own, other in (("ping", "pong"), ("pong", "ping")):
        script = f"echo {own} > /data/{own}; {waits.format(other)}"
        await space.create(shell(script, **mount()), name=own, **using())
    for name, heard in (("ping", "pong\n"), ("pong", "ping\n")):
        await runs_or_is_not_offered(space, name, "ReadWriteMany")
        await space.until(is_over, name)
        assert await space.log(name) == heard


async def test_a_pod_that_must_be_the_only_one_makes_the_next_wait(space: Namespace) -> None:
    await claim(space, "ReadWriteOncePod")
    await space.create(shell("sleep 600", **mount()), name="first", **using())
    await runs_or_is_not_offered(space, "first", "ReadWriteOncePod")
    await space.create(shell("true", **mount()), name="next", **using())
    pod = await space.until(lambda pod: bool(pod["status"].get("conditions")), "next")
    assert "ReadWriteOncePod" in pod["status"]["conditions"][0]["message"]
    await space.delete("first", grace=1)
    await space.until(is_over, "next")


async def test_a_claim_can_be_mounted_read_only(space: Namespace) -> None:
    await claim(space)
    script = "touch /data/x 2>/dev/null || echo refused"
    assert await space.output(script, container=mount(), **using(readOnly=True)) == ["refused"]


async def test_a_sub_path_of_a_claim_is_a_folder_of_it(space: Namespace) -> None:
    await claim(space)
    mounts = [
        {"name": "v", "mountPath": "/whole"},
        {"name": "v", "mountPath": "/part", "subPath": "of/it"},
        {"name": "v", "mountPath": "/again", "subPath": "of/it"},
    ]
    script = "echo in > /part/file; cat /whole/of/it/file /again/file"
    assert await space.output(script, container={"volumeMounts": mounts}, **using()) == ["in", "in"]


async def test_a_sub_path_of_a_claim_can_be_a_file(space: Namespace) -> None:
    await claim(space)
    await space.run(shell("echo one > /data/conf", **mount()), name="writer", **using())
    container = {"volumeMounts": [{"name": "v", "mountPath": "/etc/app/conf", "subPath": "conf"}]}
    assert await space.output("cat /etc/app/conf", container=container, **using()) == ["one"]


async def test_a_link_in_a_claim_does_not_lead_a_sub_path_out_of_it(space: Namespace) -> None:
    await claim(space)
    await space.run(shell("ln -s /etc /data/link", **mount()), name="writer", **using())
    await space.create(shell("ls /data", **mount(subPath="link")), **using())
    await space.event("Failed")
    await space.until(waits_for("CreateContainerConfigError"))


async def test_any_user_may_write_to_a_claim(space: Namespace) -> None:
    await claim(space)
    context = {"runAsUser": 1000, "runAsGroup": 3000, "fsGroup": 2000}
    script = "id -u; echo mine > /data/file; cat /data/file"
    assert await space.output(script, container=mount(), securityContext=context, **using()) == ["1000", "mine"]


async def test_a_claims_volume_goes_with_it(space: Namespace) -> None:
    await claim(space)
    await space.run(shell("echo x > /data/file", **mount()), **using())
    bound = await claim_until(space, is_bound)
    volume = await space.client.get(VOLUMES, bound["spec"]["volumeName"])
    assert volume["spec"]["persistentVolumeReclaimPolicy"] == "Delete"
    assert bound["status"]["capacity"]["storage"] == "64Mi"
    await space.delete()
    await space.client.delete(CLAIMS, "data", space.name)
    await gone(space, VOLUMES, volume["metadata"]["name"])


async def test_a_claim_that_is_used_stays_until_its_pod_is_gone(space: Namespace) -> None:
    await claim(space)
    await space.create(shell("until test -e /tmp/end; do echo x >> /data/file; sleep 0.1; done", **mount()), **using())
    await space.until(is_running)
    await space.client.delete(CLAIMS, "data", space.name)
    await claim_until(space, lambda claim: "deletionTimestamp" in claim["metadata"])
    assert is_running(await space.until(is_running))
    await space.delete(grace=1)
    await gone(space, CLAIMS, "data")


async def test_a_pod_waits_for_a_claim_that_comes_later(space: Namespace) -> None:
    await space.create(shell("echo ran", **mount()), **using("late"))
    pod = await space.until(lambda pod: bool(pod["status"].get("conditions")))
    assert '"late" not found' in pod["status"]["conditions"][0]["message"]
    await claim(space, name="late")
    assert (await space.until(is_over))["status"]["phase"] == "Succeeded"


async def test_an_ephemeral_volume_is_a_claim_that_comes_and_goes_with_its_pod(space: Namespace) -> None:
    template = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": STORAGE}}
    volumes = [{"name": "v", "ephemeral": {"volumeClaimTemplate": template}}]
    lines = await space.output("echo own > /data/file; cat /data/file", container=mount(), volumes=volumes)
    assert lines == ["own"]
    assert is_bound(await claim_until(space, is_bound, "pod-v"))
    await space.delete()
    await gone(space, CLAIMS, "pod-v")


async def test_each_pod_of_a_stateful_set_finds_its_own_data_again(space: Namespace) -> None:
    script = "echo $HOSTNAME >> /data/runs; cat /data/runs; exec sleep 600"
    pod = {"terminationGracePeriodSeconds": 1, "containers": [shell(script, **mount())]}
    body = {
        "metadata": {"name": "db"},
        "spec": {
            "serviceName": "db",
            "replicas": 2,
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": {"app": "db"}},
            "template": {"metadata": {"labels": {"app": "db"}}, "spec": space.where.placed(pod)},
            "volumeClaimTemplates": [
                {"metadata": {"name": "v"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": STORAGE}}
            ],
        },
    }
    await space.client.create(STATEFUL_SETS, body, space.name)
    await space.says("db-0\n", "db-0")
    await space.says("db-1\n", "db-1")
    await space.delete("db-1")
    assert await space.says("db-1\ndb-1\n", "db-1") == "db-1\ndb-1\n"
    await space.client.delete(STATEFUL_SETS, "db", space.name)
    for name in ("db-0", "db-1"):
        await space.gone(name)
