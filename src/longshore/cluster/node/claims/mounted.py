"""Which volumes of a pod are claims, and the folder that each of them is. Called by `volumes` when it makes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from longshore.cluster.node.claims import folders
from longshore.cluster.node.claims.model import CLAIMS, VOLUMES, Claim, Volume
from longshore.cluster.node.model import Pod
from longshore.cluster.node.reading import read
from longshore.cluster.node.refusal import Refusal, Refused
from longshore.errors import UserMistake
from longshore.kube.client import Client

_REMEDY = "claim a volume of the default StorageClass and copy into it, or use a cluster with a real kubelet"


class Claimed(Struct, frozen=True, gc=False):
    """A volume of a pod that is what a claim is bound to. `of_pod`: a generic ephemeral volume, made for this pod."""

    volume: str
    claim: str
    field: str
    read_only: bool = False
    of_pod: bool = False


def claimed(pod: Pod) -> tuple[Claimed, ...]:
    """In the order of the pod's volumes."""
    return tuple(_claimed(pod))


def _claimed(pod: Pod) -> Iterator[Claimed]:
    for i, volume in enumerate(pod.spec.volumes):
        name, field = volume["name"], f"spec.volumes[{i}]"
        if "persistentVolumeClaim" in volume:
            source: Mapping[str, Any] = volume["persistentVolumeClaim"]
            field = f"{field}.persistentVolumeClaim"
            yield Claimed(name, source["claimName"], field, read_only=source.get("readOnly", False))
        elif "ephemeral" in volume:
            yield Claimed(name, f"{pod.metadata.name}-{name}", f"{field}.ephemeral", of_pod=True)


async def find(client: Client, pod: Pod, wanted: Claimed, root: Path) -> Path:
    """The folder. UserMistake says what the pod has to wait for, Refused why it waits in vain."""
    claim = await read(client, CLAIMS, wanted.claim, pod.metadata.namespace)
    check(claim, wanted, pod)
    volume = await read(client, VOLUMES, claim.spec.volume_name)
    return folder_of(volume, claim, wanted, root)


def check(claim: Claim, wanted: Claimed, pod: Pod) -> None:
    """Raise UserMistake unless the claim can be mounted now: what a kubelet asks of one."""
    meta = claim.metadata
    if wanted.of_pod and pod.metadata.uid not in [owner.uid for owner in meta.owner_references]:
        raise UserMistake(f"PVC {meta.namespace}/{meta.name} was not created for this pod", hint="rename the pod")
    if meta.deletion_timestamp:
        raise UserMistake(f'persistentvolumeclaim "{meta.name}" is being deleted', hint="make it again")
    if not claim.spec.volume_name or claim.status.phase != "Bound":
        raise UserMistake(f'persistentvolumeclaim "{meta.name}" is not bound to a volume', hint="describe the claim")


def folder_of(volume: Volume, claim: Claim, wanted: Claimed, root: Path) -> Path:
    """Only folders of `root` are shown to pods: whoever may make volumes must not get at the files of the host."""
    name, path = volume.metadata.name, volume.spec.path
    if not path:
        raise Refused(Refusal(wanted.field, f"volume {name} is no folder of this machine", _REMEDY))
    folder = folders.within(root, Path(path))
    if folder is None:
        raise Refused(Refusal(wanted.field, f"volume {name} is {path}, which is no folder of {root}", _REMEDY))
    if volume.spec.claim_ref is None or volume.spec.claim_ref.uid != claim.metadata.uid:
        raise UserMistake(f"volume {name} is bound to another claim", hint="describe the volume")
    if not folder.is_dir():
        raise UserMistake(f"the folder {path} of volume {name} is gone", hint="delete the claim and make it again")
    return folder
