"""What a pod can say of itself, for env and for files: fieldRef and resourceFieldRef; pure.

Source: Kubernetes docs, "Downward API", and the resource quantity format of the API reference.
"""

from __future__ import annotations

import json
import re
from fractions import Fraction

from msgspec import Struct

from longshore.cluster.node.model import Container, FieldRef, Pod, ResourceRef
from longshore.errors import UserMistake

_DECIMAL = {"n": -3, "u": -2, "m": -1, "": 0, "k": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_SUFFIXES = {
    **{suffix: Fraction(1000) ** power for suffix, power in _DECIMAL.items()},
    **{suffix: Fraction(1024) ** power for suffix, power in _BINARY.items()},
}
_QUANTITY = re.compile(r"([+-]?[0-9.]+)(?:[eE]([+-]?[0-9]+)|([a-zA-Z]*))")
_KEYED = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")


class Place(Struct, frozen=True, gc=False):
    """Where a pod runs: what its fields say beyond its own object."""

    pod_ip: str
    host_ip: str = "127.0.0.1"
    allocatable: dict[str, str] = {}


def quantity(text: str) -> Fraction:
    """A resource quantity such as `500m` or `2Gi` as a number."""
    match = _QUANTITY.fullmatch(text)
    if match is None or (match[3] or "") not in _SUFFIXES:
        raise UserMistake(f"{text!r} is not a quantity", hint="write it like 500m, 2, or 4Gi")
    return Fraction(match[1]) * (Fraction(10) ** int(match[2]) if match[2] else _SUFFIXES[match[3] or ""])


def field(ref: FieldRef, pod: Pod, place: Place) -> str:
    """The value of a fieldRef."""
    path, meta = ref.field_path, pod.metadata
    if keyed := _KEYED.fullmatch(path):
        return (meta.labels if keyed[1] == "labels" else meta.annotations).get(keyed[2], "")
    values = {
        "metadata.name": meta.name,
        "metadata.namespace": meta.namespace,
        "metadata.uid": meta.uid,
        "metadata.labels": _lines(meta.labels),
        "metadata.annotations": _lines(meta.annotations),
        "spec.nodeName": pod.spec.node_name,
        "spec.serviceAccountName": pod.spec.service_account_name,
        "status.hostIP": place.host_ip,
        "status.hostIPs": place.host_ip,
        "status.podIP": place.pod_ip,
        "status.podIPs": place.pod_ip,
    }
    if path not in values:
        raise UserMistake(f"fieldRef {path} is not known", hint=f"use one of {', '.join(values)}")
    return values[path]


def resource(ref: ResourceRef, container: Container, pod: Pod, place: Place) -> str:
    """The value of a resourceFieldRef, rounded up; a limit that is not set is what the node has."""
    if ref.container_name:
        container = next(c for c in pod.containers if c.name == ref.container_name)
    kind, _, name = ref.resource.partition(".")
    amounts = container.resources.limits if kind == "limits" else container.resources.requests
    fallback = place.allocatable.get(name, "0") if kind == "limits" else "0"
    divisor = quantity(ref.divisor)
    value = quantity(amounts.get(name, fallback)) / (divisor or 1)
    return str(-(-value.numerator // value.denominator))


def _lines(values: dict[str, str]) -> str:
    """One `key="value"` a line, sorted, quoted as Go quotes."""
    return "\n".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in sorted(values.items()))
