"""Where a pod would find room: nodes with what their pods have left of them, and which of them a pod could go to; pure.

`why` says by it how much the largest node has free, `dryrun` estimates placement. It looks at requests, selectors,
taints and readiness, as the scheduler's filters of these names do, and at nothing else: `unchecked` names the rest.
Source: Kubernetes docs, "Kubernetes Scheduler"; KEP-753 for what a pod with sidecars asks for.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from longshore.kube.objects import Container, Node, Object, Pod, PodSpec, Taint

PODS = "pods"
_SUFFIXES = {"": 1.0, "n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
_SUFFIXES |= {f"{letter}i": 1024.0 ** (n + 1) for n, letter in enumerate("KMGTPE")}
_QUANTITY = re.compile(r"([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)([numkMGTPE]|[KMGTPE]i)?")


class Toleration(Struct, frozen=True, gc=False, rename="camel"):
    """An empty key tolerates every taint, an empty effect every effect."""

    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""

    def covers(self, taint: Taint) -> bool:
        if self.effect and self.effect != taint.effect:
            return False
        if not self.key:
            return self.operator == "Exists"
        return self.key == taint.key and (self.operator == "Exists" or self.value == taint.value)


class PlacedSpec(PodSpec, frozen=True, gc=False, rename="camel"):
    """The spec of a pod with what decides where it may go; only a plan reads so much of it."""

    tolerations: tuple[Toleration, ...] = ()
    affinity: dict[str, Any] | None = None
    topology_spread_constraints: list[dict[str, Any]] = []
    scheduling_gates: list[dict[str, Any]] = []
    resource_claims: list[dict[str, Any]] = []


class PlacedPod(Object, frozen=True, rename="camel"):
    """v1 Pod as the API server would have made it."""

    spec: PlacedSpec = PlacedSpec()


class Room(Struct, frozen=True):
    """A node: what it has in all, what is left of it, in base units (cores, bytes, pieces), and whom it takes."""

    name: str
    whole: dict[str, float]
    free: dict[str, float]
    labels: dict[str, str] = {}
    taints: tuple[Taint, ...] = ()
    open: bool = True  # ready, and not cordoned


class Estimate(Struct, frozen=True):
    """How many nodes would take a pod: now, and if they were empty. `refused` counts the others by what is in the way
    now, `never` by what is in the way even of an empty node."""

    nodes: int
    fit_now: int
    fit_empty: int
    refused: dict[str, int] = {}
    never: dict[str, int] = {}
    unchecked: tuple[str, ...] = ()


def amount(text: str) -> float:
    """What a Kubernetes quantity says, in base units; 0 for what is none."""
    match = _QUANTITY.fullmatch(text)
    try:
        return float(match[1]) * _SUFFIXES[match[2] or ""] if match else 0.0
    except ValueError:
        return 0.0


def amounts(quantities: Mapping[str, str]) -> dict[str, float]:
    return {name: amount(text) for name, text in quantities.items()}


def asked(spec: PodSpec) -> dict[str, float]:
    """What a pod books on its node: the most that its containers ask for at one time, and one of the node's pods."""
    sidecars: dict[str, float] = {}
    peak: dict[str, float] = {}
    for container in spec.init_containers:
        if container.restart_policy == "Always":
            sidecars = _sum(sidecars, _of(container))
        else:
            peak = _max(peak, _sum(sidecars, _of(container)))
    running = sidecars
    for container in spec.containers:
        running = _sum(running, _of(container))
    return _sum(_sum(_max(peak, running), amounts(spec.overhead)), {PODS: 1.0})


class Bookings:
    """What pods have booked of each node, kept as they come and go, so that no question looks through all of them."""

    def __init__(self) -> None:
        self._booked: dict[str, dict[str, float]] = {}

    def change(self, old: Pod | None, new: Pod | None) -> None:
        """A pod came, changed or went. One that has ended books nothing."""
        before, after = _node_of(old), _node_of(new)
        if before == after and old is not None and new is not None and old.spec == new.spec:
            return
        if before and old is not None:
            self._add(before, asked(old.spec), -1.0)
        if after and new is not None:
            self._add(after, asked(new.spec), 1.0)

    def of(self, node: str) -> dict[str, float]:
        return self._booked.get(node, {})

    def _add(self, node: str, needs: dict[str, float], sign: float) -> None:
        booked = _sum(self.of(node), {name: sign * need for name, need in needs.items()})
        if booked.get(PODS, 0.0) >= 1.0:
            self._booked[node] = booked
        else:
            # with its last pod go the errors that sums of fractions leave
            self._booked.pop(node, None)


def rooms(nodes: Iterable[Node], bookings: Sequence[Bookings]) -> list[Room]:
    """The nodes with what is left of them."""
    out = []
    for node in nodes:
        booked: dict[str, float] = {}
        for each in bookings:
            booked = _sum(booked, each.of(node.metadata.name))
        out.append(_room(node, booked))
    return out


def _node_of(pod: Pod | None) -> str:
    """The node that it takes room of."""
    return pod.spec.node_name if pod is not None and pod.status.phase not in ("Succeeded", "Failed") else ""


def estimate(spec: PlacedSpec, known: Sequence[Room]) -> Estimate:
    """Which of the nodes would take this pod."""
    needs = asked(spec)
    now = [_in_the_way(spec, needs, room, room.free) for room in known]
    empty = [_in_the_way(spec, needs, room, room.whole) for room in known]
    return Estimate(
        nodes=len(known),
        fit_now=now.count(""),
        fit_empty=empty.count(""),
        refused=dict(Counter(why for why in now if why)),
        never=dict(Counter(why for why in empty if why)),
        unchecked=unchecked(spec),
    )


def unchecked(spec: PlacedSpec) -> tuple[str, ...]:
    """What the scheduler will look at besides, of this pod."""
    found = {
        "affinity": spec.affinity,
        "topology spread": spec.topology_spread_constraints,
        "scheduling gates": spec.scheduling_gates,
        "device claims": spec.resource_claims,
        "where its volumes may be mounted": [v for v in spec.volumes if v.persistent_volume_claim],
    }
    always = ("whether its image can be pulled", "whether room is made by preemption or by an autoscaler")
    return (*always, *(what for what, there in found.items() if there))


def largest_free(known: Iterable[Room], resource: str) -> float | None:
    """The most that any node that takes pods has left of a resource; None where there is none."""
    return max((room.free.get(resource, 0.0) for room in known if room.open), default=None)


def _in_the_way(spec: PlacedSpec, needs: dict[str, float], room: Room, left: dict[str, float]) -> str:
    if not room.open:
        return "not ready, or cordoned"
    if any(room.labels.get(key) != value for key, value in spec.node_selector.items()):
        return "node selector"
    for taint in room.taints:
        if taint.effect in ("NoSchedule", "NoExecute") and not any(t.covers(taint) for t in spec.tolerations):
            return f"taint {taint.key}"
    # amounts are sums of decimals in binary: a billionth is not a shortage
    short = [name for name, need in needs.items() if need > left.get(name, 0.0) * (1 + 1e-9) + 1e-9 and need > 0]
    return f"{', '.join(sorted(short))}" if short else ""


def _room(node: Node, booked: dict[str, float]) -> Room:
    whole = amounts(node.status.allocatable)
    ready = any(c.type == "Ready" and c.status == "True" for c in node.status.conditions)
    return Room(
        node.metadata.name,
        whole,
        {name: max(0.0, all_of_it - booked.get(name, 0.0)) for name, all_of_it in whole.items()},
        node.metadata.labels,
        node.spec.taints,
        ready and not node.spec.unschedulable,
    )


def _of(container: Container) -> dict[str, float]:
    return amounts(container.resources.requests)


def _sum(one: dict[str, float], other: dict[str, float]) -> dict[str, float]:
    return one | {name: one.get(name, 0.0) + more for name, more in other.items()}


def _max(one: dict[str, float], other: dict[str, float]) -> dict[str, float]:
    return one | {name: max(one.get(name, 0.0), more) for name, more in other.items()}
