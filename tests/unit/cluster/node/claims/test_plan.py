"""From the claims and volumes that there are to what must be done."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from longshore.cluster.node.claims.model import Claim, StorageClass, Volume
from longshore.cluster.node.claims.plan import FINALIZER, Action, Provision, Reclaim, folder_name, plan, volume
from longshore.errors import UserMistake

GONE = "2026-11-28T10:00:00Z"
ASKED = {"volume.kubernetes.io/storage-provisioner": "longshore.dev/folder"}
CLASS = StorageClass(reclaim_policy="Delete")


def claim(annotations: dict[str, str] = ASKED, deleted: bool = False, **spec: Any) -> Claim:
    meta = {"name": "data", "namespace": "team", "uid": "1", "annotations": annotations}
    fields = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, **spec}
    meta |= {"deletionTimestamp": GONE} if deleted else {}
    return msgspec.convert({"metadata": meta, "spec": {"storageClassName": "local-folder", **fields}}, Claim)


def made(
    phase: str, policy: str = "Delete", finalizers: tuple[str, ...] = (FINALIZER,), deleted: bool = False
) -> Volume:
    meta = {"name": "pvc-1", "uid": "v1", "finalizers": finalizers} | ({"deletionTimestamp": GONE} if deleted else {})
    spec = {"hostPath": {"path": "/volumes/x"}, "persistentVolumeReclaimPolicy": policy}
    return msgspec.convert({"metadata": meta, "spec": spec, "status": {"phase": phase}}, Volume)


def planned(claims: list[Claim], volumes: list[Volume], resting: frozenset[str] = frozenset()) -> list[Action]:
    return list(plan(claims, volumes, resting))


def test_a_claim_for_which_a_folder_is_asked_gets_one() -> None:
    assert planned([claim()], []) == [Provision(claim())]


@pytest.mark.parametrize(
    "other",
    [
        claim(annotations={}),
        claim(annotations={"volume.kubernetes.io/storage-provisioner": "ebs.csi.aws.com"}),
        claim(deleted=True),
        claim(volumeName="pvc-1"),
    ],
    ids=["nobody is asked", "another is asked", "being deleted", "has a volume"],
)
def test_any_other_claim_is_left_alone(other: Claim) -> None:
    assert planned([other], []) == []


def test_what_is_done_is_not_done_again() -> None:
    assert planned([claim()], [made("Pending")]) == []


def test_what_is_being_done_or_was_in_vain_a_moment_ago_rests() -> None:
    assert planned([claim()], [], frozenset({"1"})) == []
    assert planned([], [made("Released")], frozenset({"v1"})) == []


IN_USE = ("kubernetes.io/pv-protection", FINALIZER)


@pytest.mark.parametrize(
    ("volume", "is_reclaimed"),
    [
        (made("Bound"), False),
        (made("Available"), False),
        (made("Released"), True),
        (made("Released", finalizers=IN_USE), True),
        (made("Released", "Retain"), False),
        (made("Released", finalizers=()), False),
        (made("Bound", finalizers=IN_USE, deleted=True), False),
        (made("Released", deleted=True), True),
        (made("Released", "Retain", deleted=True), True),
        (made("Available", deleted=True), True),
    ],
)
def test_a_volume_is_reclaimed_when_its_claim_or_itself_was_deleted_and_nothing_holds_it(
    volume: Volume, is_reclaimed: bool
) -> None:
    assert planned([], [volume]) == ([Reclaim(volume)] if is_reclaimed else [])


def test_a_volume_is_what_was_asked_for() -> None:
    body = volume(claim(accessModes=["ReadWriteMany", "ReadOnlyMany"]), CLASS, Path("/volumes/x"))
    assert body["metadata"]["name"] == "pvc-1"
    spec = body["spec"]
    assert spec["capacity"] == {"storage": "1Gi"}
    assert spec["accessModes"] == ("ReadWriteMany", "ReadOnlyMany")
    assert spec["claimRef"]["uid"] == "1"
    assert spec["hostPath"]["path"] == "/volumes/x"
    assert "nodeAffinity" not in spec
    retained = volume(claim(), StorageClass(reclaim_policy="Retain"), Path("/volumes/x"))
    assert retained["spec"]["persistentVolumeReclaimPolicy"] == "Retain"


@pytest.mark.parametrize(
    ("field", "spec", "storage_class"),
    [
        ("spec.volumeMode", {"volumeMode": "Block"}, CLASS),
        ("spec.selector", {"selector": {"matchLabels": {"a": "b"}}}, CLASS),
        ("spec.dataSource", {"dataSource": {"kind": "PersistentVolumeClaim", "name": "other"}}, CLASS),
        ("spec.dataSource", {"dataSourceRef": {"kind": "VolumeSnapshot", "name": "s"}}, CLASS),
        ("spec.volumeAttributesClassName", {"volumeAttributesClassName": "fast"}, CLASS),
        ("parameters", {}, StorageClass(parameters={"type": "ssd"})),
        ("mountOptions", {}, StorageClass(mount_options=("ro",))),
    ],
)
def test_what_a_folder_cannot_be_is_refused_by_name(
    field: str, spec: dict[str, Any], storage_class: StorageClass
) -> None:
    with pytest.raises(UserMistake, match=field):
        volume(claim(**spec), storage_class, Path("/volumes/x"))


def test_the_longest_names_make_a_file_name_that_fits() -> None:
    meta = {"name": "c" * 253, "namespace": "n" * 63, "uid": "34e3a3d0-9398-44e0-a91a-2b278329837a"}
    name = folder_name(msgspec.convert({"metadata": meta}, Claim))
    assert len(name) <= 255
    assert name.endswith(meta["uid"])
    assert folder_name(claim()) == "team-data-1"
