"""Which folders to make and which to remove: from the claims and volumes that there are; pure.

`provisioner` does it. Names are made from uids, so doing it twice, or in two processes, comes to the same.
Source: kubernetes-sigs/sig-storage-lib-external-provisioner, the contract with kube-controller-manager.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from longshore.cluster.node.claims.model import Claim, StorageClass, Volume
from longshore.errors import UserMistake

PROVISIONER = "longshore.dev/folder"  # a StorageClass that names it is served here
FINALIZER = "longshore.dev/folder"  # on a volume: its folder is still to be seen to
_ASKED = "volume.kubernetes.io/storage-provisioner"  # the controller manager's way to call a provisioner
_IN_USE = "kubernetes.io/pv-protection"  # its way to say that a volume is bound
_NAME_CHARACTERS = 200  # with the uid a file name has to fit in 255 bytes


class Provision(Struct, frozen=True, gc=False):
    """Make a folder and the volume that stands for it."""

    claim: Claim

    @property
    def uid(self) -> str:
        return self.claim.metadata.uid


class Reclaim(Struct, frozen=True, gc=False):
    """Nobody has a claim to this volume any more: let it go, and its folder if its policy says so."""

    volume: Volume

    @property
    def uid(self) -> str:
        return self.volume.metadata.uid


Action = Provision | Reclaim


def plan(claims: Iterable[Claim], volumes: Iterable[Volume], resting: Container[str]) -> Iterator[Action]:
    """`resting`: uids of objects that are being seen to, or were in vain a moment ago."""
    volumes = list(volumes)
    names = {volume.metadata.name for volume in volumes}
    for claim in claims:
        if claim.metadata.uid not in resting and _wants_folder(claim) and volume_name(claim) not in names:
            yield Provision(claim)
    for volume in volumes:
        if volume.metadata.uid not in resting and FINALIZER in volume.metadata.finalizers and _is_free(volume):
            yield Reclaim(volume)


def volume_name(claim: Claim) -> str:
    return f"pvc-{claim.metadata.uid}"


def folder_name(claim: Claim) -> str:
    """For people who look: NAMESPACE-CLAIM-UID."""
    meta = claim.metadata
    return f"{f'{meta.namespace}-{meta.name}'[:_NAME_CHARACTERS]}-{meta.uid}"


def volume(claim: Claim, storage_class: StorageClass, folder: Path) -> dict[str, Any]:
    """The PersistentVolume to create. UserMistake says what of the claim, or of its class, a folder cannot be."""
    for complaint in (*_complaints_of(storage_class), *_complaints(claim)):
        raise UserMistake(complaint)
    meta = claim.metadata
    owner = {"kind": "PersistentVolumeClaim", "namespace": meta.namespace, "name": meta.name, "uid": meta.uid}
    return {
        "metadata": {
            "name": volume_name(claim),
            "annotations": {"pv.kubernetes.io/provisioned-by": PROVISIONER},
            "finalizers": [FINALIZER],
        },
        "spec": {
            "capacity": {"storage": claim.spec.resources.requests["storage"]},
            "accessModes": claim.spec.access_modes,
            "volumeMode": claim.spec.volume_mode,
            "storageClassName": claim.spec.storage_class_name,
            "persistentVolumeReclaimPolicy": storage_class.reclaim_policy,
            "claimRef": {"apiVersion": "v1", **owner},
            "hostPath": {"path": str(folder), "type": "Directory"},
        },
    }


def _wants_folder(claim: Claim) -> bool:
    asked = claim.metadata.annotations.get(_ASKED) == PROVISIONER
    return asked and not claim.spec.volume_name and claim.metadata.deletion_timestamp is None


def _is_free(volume: Volume) -> bool:
    if volume.metadata.deletion_timestamp:
        return _IN_USE not in volume.metadata.finalizers
    return volume.status.phase == "Released" and volume.spec.persistent_volume_reclaim_policy == "Delete"


def _complaints_of(storage_class: StorageClass) -> Iterator[str]:
    name = storage_class.metadata.name
    if storage_class.parameters:
        yield f"StorageClass {name}: {PROVISIONER} knows no parameters, not {', '.join(storage_class.parameters)}"
    if storage_class.mount_options:
        yield f"StorageClass {name}: a folder is not mounted with mountOptions"


def _complaints(claim: Claim) -> Iterator[str]:
    spec = claim.spec
    if spec.volume_mode != "Filesystem":
        yield f"spec.volumeMode: a folder cannot be a {spec.volume_mode} volume"
    if spec.selector is not None:
        yield "spec.selector: a new folder has no labels to be selected by"
    if spec.data_source is not None or spec.data_source_ref is not None:
        yield "spec.dataSource: a new folder is empty, nothing can be copied into it"
    if spec.volume_attributes_class_name:
        yield "spec.volumeAttributesClassName: folders have no attributes"
