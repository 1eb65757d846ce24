"""What is read of claims, volumes and storage classes, by the provisioner and for the pods that mount them."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from longshore.kube.objects import (
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    STORAGE_CLASSES,
    Object,
    ObjectReference,
)


class Requests(Struct, frozen=True):
    requests: dict[str, str] = {}


class ClaimSpec(Struct, frozen=True, rename="camel"):
    """Of what a folder cannot be, only whether it is asked for matters."""

    access_modes: tuple[str, ...] = ()
    resources: Requests = Requests()
    storage_class_name: str = ""
    volume_name: str = ""
    volume_mode: str = "Filesystem"
    selector: Any = None
    data_source: Any = None
    data_source_ref: Any = None
    volume_attributes_class_name: str | None = None


class Phase(Struct, frozen=True, gc=False):
    phase: str = "Pending"


class Claim(Object, frozen=True, rename="camel"):
    """v1 PersistentVolumeClaim."""

    spec: ClaimSpec = ClaimSpec()
    status: Phase = Phase()


class Folder(Struct, frozen=True, gc=False):
    """A hostPath or local volume."""

    path: str


class VolumeSpec(Struct, frozen=True, rename="camel"):
    host_path: Folder | None = None
    local: Folder | None = None
    claim_ref: ObjectReference | None = None
    persistent_volume_reclaim_policy: str = "Retain"

    @property
    def path(self) -> str:
        """Of the folder on its node; "" for every other source."""
        folder = self.host_path or self.local
        return folder.path if folder else ""


class Volume(Object, frozen=True, rename="camel"):
    """v1 PersistentVolume."""

    spec: VolumeSpec = VolumeSpec()
    status: Phase = Phase()


class StorageClass(Object, frozen=True, rename="camel"):
    """storage.k8s.io/v1 StorageClass."""

    parameters: dict[str, str] = {}
    mount_options: tuple[str, ...] = ()
    reclaim_policy: str = "Delete"


CLAIMS = PERSISTENT_VOLUME_CLAIMS.read_as(Claim)
VOLUMES = PERSISTENT_VOLUMES.read_as(Volume)
CLASSES = STORAGE_CLASSES.read_as(StorageClass)
