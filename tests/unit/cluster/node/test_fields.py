"""fieldRef, resourceFieldRef and quantities."""

from fractions import Fraction
from typing import Any

import msgspec
import pytest

from longshore.cluster.node.fields import Place, field, quantity, resource
from longshore.cluster.node.model import FieldRef, Pod, ResourceRef
from longshore.errors import UserMistake

PLACE = Place("127.1.2.3", "127.0.0.1", {"cpu": "16", "memory": "1024Ki"})
META = {"name": "p", "namespace": "ns", "uid": "u", "labels": {"b": "2", "a": 'say "1"'}, "annotations": {"n": "x"}}


def pod(**resources: Any) -> Pod:
    containers = [{"name": "main", "resources": resources}]
    return msgspec.convert({"metadata": META, "spec": {"nodeName": "node", "containers": containers}}, Pod)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("500m", Fraction(1, 2)),
        ("0.1", Fraction(1, 10)),
        ("2Gi", 2 * 1024**3),
        ("1500k", 1_500_000),
        ("1e3", 1000),
        ("12E", 12 * 10**18),
        ("-5n", Fraction(-5, 10**9)),
    ],
)
def test_quantities_are_exact(text: str, value: Fraction) -> None:
    assert quantity(text) == value


@pytest.mark.parametrize("text", ["", "1.5 Gi", "Gi", "1kib"])
def test_what_is_not_a_quantity_is_a_mistake(text: str) -> None:
    with pytest.raises(UserMistake):
        quantity(text)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "p"),
        ("metadata.labels['b']", "2"),
        ("metadata.labels['none']", ""),
        ("metadata.annotations['n']", "x"),
        ("metadata.labels", 'a="say \\"1\\""\nb="2"'),
        ("spec.nodeName", "node"),
        ("status.podIP", "127.1.2.3"),
        ("status.hostIP", "127.0.0.1"),
    ],
)
def test_a_pod_tells_of_itself(path: str, value: str) -> None:
    assert field(FieldRef(path), pod(), PLACE) == value


def test_an_unknown_field_path_is_named() -> None:
    with pytest.raises(UserMistake, match=r"spec\.replicas"):
        field(FieldRef("spec.replicas"), pod(), PLACE)


@pytest.mark.parametrize(
    ("ref", "value"),
    [
        (ResourceRef("limits.cpu"), "2"),  # 1500m, rounded up
        (ResourceRef("limits.cpu", divisor="1m"), "1500"),
        (ResourceRef("requests.memory", divisor="1Mi"), "64"),
        (ResourceRef("limits.memory"), str(1024 * 1024)),  # not set: the node's
        (ResourceRef("requests.cpu"), "0"),
        (ResourceRef("limits.cpu", container_name="main", divisor="0"), "2"),
    ],
)
def test_resources_are_divided_and_rounded_up(ref: ResourceRef, value: str) -> None:
    made = pod(limits={"cpu": "1500m"}, requests={"memory": "64Mi"})
    assert resource(ref, made.spec.containers[0], made, PLACE) == value
