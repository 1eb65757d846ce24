"""What a pod may use of memory and of the node's disk, and the words for a pod that takes too much of the disk; pure.

The rules and the words are the kubelet's: pkg/kubelet/eviction, localStorageEviction; KEP-2837 for a pod's own limits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction

from msgspec import Struct

from longshore.cluster.node.fields import quantity
from longshore.cluster.node.model import Container, Pod, is_sidecar

_STORAGE = "ephemeral-storage"


class Usage(Struct, frozen=True):
    """Bytes on disk of each volume and of each container, its log included."""

    volumes: Mapping[str, int] = {}
    containers: Mapping[str, int] = {}

    @property
    def total(self) -> int:
        return sum(self.volumes.values()) + sum(self.containers.values())


def memory(container: Container, pod: Pod) -> int | None:
    """In bytes; None without a limit."""
    given = [resources.limits.get("memory", "0") for resources in (container.resources, pod.spec.resources)]
    return min((int(limit) for text in given if (limit := quantity(text))), default=None)


def shares_memory(pod: Pod) -> bool:
    """Whether a limit of the pod is for several containers that run at the same time."""
    return "memory" in pod.spec.resources.limits and len(list(_lasting(pod))) > 1


def limits_storage(pod: Pod) -> bool:
    """Whether anybody has to look how much of the disk this pod takes."""
    return bool(_size_limits(pod)) or any(_STORAGE in container.resources.limits for container in pod.containers)


def exceeded(pod: Pod, usage: Usage) -> str | None:
    """Why this pod is evicted; None while it is within its limits."""
    for name, text in _size_limits(pod).items():
        if usage.volumes.get(name, 0) > quantity(text) > 0:
            return f'Usage of EmptyDir volume "{name}" exceeds the limit "{text}". '
    limit = _total(pod)
    if limit is not None and usage.total > limit:
        return f"Pod ephemeral local storage usage exceeds the total limit of containers {_text(limit)}. "
    for container in _lasting(pod):
        text = container.resources.limits.get(_STORAGE, "0")
        if usage.containers.get(container.name, 0) > quantity(text) > 0:
            return f'Container {container.name} exceeded its local ephemeral storage limit "{text}". '
    return None


def _size_limits(pod: Pod) -> dict[str, str]:
    """emptyDirs by name."""
    sources = {volume["name"]: volume.get("emptyDir") or {} for volume in pod.spec.volumes}
    return {name: str(source["sizeLimit"]) for name, source in sources.items() if source.get("sizeLimit")}


def _lasting(pod: Pod) -> Iterator[Container]:
    """Those that run at the same time."""
    yield from (container for container in pod.spec.init_containers if is_sidecar(container))
    yield from pod.spec.containers


def _total(pod: Pod) -> Fraction | None:
    """What all containers together may take: those that last, or an init container beside the sidecars before it."""
    if not any(_STORAGE in container.resources.limits for container in pod.containers):
        return None
    beside, most = Fraction(), Fraction()
    for container in pod.spec.init_containers:
        if is_sidecar(container):
            beside += _storage([container])
        most = max(most, beside if is_sidecar(container) else beside + _storage([container]))
    return max(most, beside + _storage(pod.spec.containers))


def _storage(containers: Iterable[Container]) -> Fraction:
    return sum((quantity(container.resources.limits.get(_STORAGE, "0")) for container in containers), Fraction())


def _text(amount: Fraction) -> str:
    """A quantity in the largest binary unit that leaves no rest."""
    units = [unit for unit in ("Ei", "Pi", "Ti", "Gi", "Mi", "Ki") if amount and amount % quantity(f"1{unit}") == 0]
    return f"{amount / quantity(f'1{units[0]}')}{units[0]}" if units else str(amount)
