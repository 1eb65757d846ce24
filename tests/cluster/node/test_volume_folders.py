"""Claims as folders of the machine: what is on disk, what is refused, and what people are told. Local cluster only."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import pytest
from tests.cluster.space import POLL_SECONDS, Namespace, Raw, shell

from longshore.cluster.bootstrap import STORAGE_CLASS, bootstrap
from longshore.cluster.cluster import LocalCluster
from longshore.cluster.identities import PROVISIONER_ACCOUNT
from longshore.cluster.node.claims.plan import FINALIZER, PROVISIONER
from longshore.errors import Forbidden, NotFound
from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.kube.objects import EVENTS, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, SECRETS, STORAGE_CLASSES

CLAIMS = PERSISTENT_VOLUME_CLAIMS.read_as(Raw)
VOLUMES = PERSISTENT_VOLUMES.read_as(Raw)
CLASSES = STORAGE_CLASSES.read_as(Raw)
MOUNT: Raw = {"volumeMounts": [{"name": "v", "mountPath": "/data"}]}
USING: Raw = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}


@pytest.fixture
def volumes(cluster: LocalCluster) -> Path:
    """The folder of all volumes."""
    return cluster.folder.volumes


@pytest.fixture
async def named(client: Client) -> AsyncIterator[str]:
    """A name for what is in no namespace: a StorageClass and a PersistentVolume, deleted afterwards."""
    name = f"test-{uuid4().hex[:8]}"
    yield name
    for resource in (CLASSES, VOLUMES):
        with suppress(NotFound):
            await client.delete(resource, name)
            await client.patch(resource, name, {"metadata": {"finalizers": None}})


@contextmanager
def no_place(volumes: Path) -> Iterator[None]:
    """As on a full disk, no folder can be made below `volumes`."""
    aside = volumes.with_name("aside")
    volumes.mkdir(exist_ok=True)
    volumes.rename(aside)
    volumes.touch()
    try:
        yield
    finally:
        volumes.unlink()
        aside.rename(volumes)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


async def claim(space: Namespace, **spec: object) -> None:
    fields = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, **spec}
    await space.client.create(CLAIMS, {"metadata": {"name": "data"}, "spec": fields}, space.name)


async def claim_by_hand(space: Namespace, name: str, path: Path, **meta: object) -> None:
    """A claim and the volume that was made for it."""
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "by-hand",
        "persistentVolumeReclaimPolicy": "Delete" if meta else "Retain",
        "hostPath": {"path": str(path)},
        "claimRef": {"namespace": space.name, "name": "data"},
    }
    await space.client.create(VOLUMES, {"metadata": {"name": name, **meta}, "spec": spec})
    await claim(space, storageClassName="by-hand", volumeName=name)
    await bound(space)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - what is on disk has no event
            await asyncio.sleep(POLL_SECONDS)


async def bound(space: Namespace) -> Raw:
    """The claim's volume."""
    async with asyncio.timeout(60):
        while True:
            claim = await space.client.get(CLAIMS, "data", space.name)
            if claim["status"].get("phase") == "Bound":
                return await space.client.get(VOLUMES, claim["spec"]["volumeName"])
            await asyncio.sleep(POLL_SECONDS)


async def released(space: Namespace, name: str) -> Raw:
    """The volume, once the claim is deleted."""
    await space.client.delete(CLAIMS, "data", space.name)
    async with asyncio.timeout(60):
        while True:
            volume = await space.client.get(VOLUMES, name)
            if volume["status"]["phase"] == "Released":
                return volume
            await asyncio.sleep(POLL_SECONDS)


async def gone(client: Client, volume: str) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                await client.get(VOLUMES, volume)
            except NotFound:
                return
            await asyncio.sleep(POLL_SECONDS)


async def event_about(client: Client, name: str, reason: str) -> str:
    async with asyncio.timeout(60):
        while True:
            for event in (await client.list_page(EVENTS, "default")).items:
                if (event.involved_object.name, event.reason) == (name, reason):
                    return event.message
            await asyncio.sleep(POLL_SECONDS)


async def test_a_claim_is_a_folder_that_is_named_after_it_and_goes_with_it(space: Namespace, volumes: Path) -> None:
    await claim(space)
    volume = await bound(space)
    folder = Path(volume["spec"]["hostPath"]["path"])
    assert folder.parent == volumes
    assert folder.name.startswith(f"{space.name}-data-")
    assert (mode(folder), mode(volumes)) == (0o777, 0o700)
    assert volume["spec"]["capacity"]["storage"] == "1Gi"
    assert "Successfully provisioned" in await space.event("ProvisioningSucceeded")
    (folder / "file").write_text("x")
    await space.client.delete(CLAIMS, "data", space.name)
    await until(lambda: not folder.exists())


async def test_a_retained_folder_stays_and_can_be_bound_again(space: Namespace, named: str) -> None:
    await space.client.create(
        CLASSES, {"metadata": {"name": named}, "provisioner": PROVISIONER, "reclaimPolicy": "Retain"}
    )
    await claim(space, storageClassName=named)
    volume = (await bound(space))["metadata"]["name"]
    await space.run(shell("echo kept > /data/file", **MOUNT), **USING)
    await space.delete()
    await space.gone()
    folder = Path((await released(space, volume))["spec"]["hostPath"]["path"])
    await space.client.delete(VOLUMES, volume)
    await gone(space.client, volume)
    assert (folder / "file").read_text() == "kept\n"
    await claim_by_hand(space, named, folder)
    assert await space.output("cat /data/file", container=MOUNT, **USING) == ["kept"]


@pytest.mark.parametrize(
    "place",
    [lambda volumes: Path("/etc"), lambda volumes: volumes, lambda volumes: volumes.parent / "pki"],
    ids=["the host's", "the root of all volumes", "the cluster's keys"],
)
async def test_a_volume_of_the_hosts_files_is_refused(
    space: Namespace, named: str, volumes: Path, place: Callable[[Path], Path]
) -> None:
    path = place(volumes)
    await claim_by_hand(space, named, path)
    pod = await space.run(shell("ls /data", **MOUNT), **USING)
    assert pod["status"]["reason"] == "NotOnProcessNode"
    assert pod["status"]["message"].startswith(f"spec.volumes[0].persistentVolumeClaim: volume {named} is {path}")
    assert named in await space.event("NotOnProcessNode")


async def test_a_pod_put_on_the_node_by_hand_waits_for_its_claim(space: Namespace) -> None:
    node = space.where.node_selector["kubernetes.io/hostname"]
    await claim(space, storageClassName="nobody-serves-this")
    await space.create(shell("true", **MOUNT), nodeName=node, **USING)
    assert '"data" is not bound' in await space.event("FailedMount")
    await space.client.delete(CLAIMS, "data", space.name)
    await space.delete(grace=1)
    await space.gone()


async def test_without_a_place_for_folders_the_claim_says_so_and_is_served_later(
    space: Namespace, volumes: Path
) -> None:
    with no_place(volumes):
        await claim(space)
        assert str(volumes) in await space.event("ProvisioningFailed")
    assert await space.output("echo x > /data/x && echo written", container=MOUNT, **USING) == ["written"]


async def test_what_a_folder_cannot_be_is_told_with_the_field(space: Namespace, named: str) -> None:
    parameters = {"type": "ssd"}
    body = {"metadata": {"name": named}, "provisioner": PROVISIONER, "parameters": parameters}
    await space.client.create(CLASSES, body)
    await claim(space, storageClassName=named)
    assert "no parameters, not type" in await space.event("ProvisioningFailed")


async def test_no_folder_outside_is_ever_removed(space: Namespace, named: str, tmp_path: Path) -> None:
    annotations = {
        "pv.kubernetes.io/provisioned-by": PROVISIONER
    }  # else the controller manager deletes what is in /tmp
    await claim_by_hand(space, named, tmp_path, finalizers=[FINALIZER], annotations=annotations)
    await space.client.delete(CLAIMS, "data", space.name)
    assert str(tmp_path) in await event_about(space.client, named, "VolumeFailedDelete")
    assert mode(tmp_path)


async def test_who_makes_volumes_may_do_nothing_else(cluster: LocalCluster, space: Namespace) -> None:
    async with Client(Config.load(cluster.identity_kubeconfig(*PROVISIONER_ACCOUNT))) as provisioner:
        await provisioner.list_page(CLAIMS)
        with pytest.raises(Forbidden):
            await provisioner.list_page(SECRETS, space.name)
        with pytest.raises(Forbidden):
            await provisioner.delete(CLAIMS, "data", space.name)


async def test_the_next_up_leaves_what_people_chose(cluster: LocalCluster, client: Client) -> None:
    key = "storageclass.kubernetes.io/is-default-class"
    body: Raw = {"metadata": {"name": STORAGE_CLASS, "annotations": {key: "false"}}}
    await client.patch(CLASSES, STORAGE_CLASS, body)
    try:
        await bootstrap(cluster.kubeconfig_path)
        assert (await client.get(CLASSES, STORAGE_CLASS))["metadata"]["annotations"][key] == "false"
    finally:
        await client.patch(CLASSES, STORAGE_CLASS, {"metadata": {"annotations": {key: "true"}}})
