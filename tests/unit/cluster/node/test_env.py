"""The environment and command line of a container."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.cluster.node.env import Names, Sources, command_line, environment, expand, names
from longshore.cluster.node.fields import Place
from longshore.cluster.node.model import Container, Pod
from longshore.errors import UserMistake

PLACE = Place("127.1.2.3")
POD = msgspec.convert({"metadata": {"name": "p", "namespace": "ns"}, "spec": {"nodeName": "n"}}, Pod)


def container(**fields: Any) -> Container:
    return msgspec.convert({"name": "main", **fields}, Container)


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(A)", "1"),
        ("x$(A)y$(B)z", "x1y2z"),
        ("$(MISSING)", "$(MISSING)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$A", "$A"),
        ("$(A", "$(A"),
        ("100$", "100$"),
    ],
)
def test_references_are_expanded_as_kubernetes_does(text: str, expanded: str) -> None:
    assert expand(text, {"A": "1", "B": "2"}) == expanded


@given(st.text())
def test_text_without_dollars_is_left_alone(text: str) -> None:
    assert expand(text.replace("$", ""), {"A": "1"}) == text.replace("$", "")


def test_later_values_use_earlier_ones_but_not_the_other_way_round() -> None:
    env = [{"name": "A", "value": "$(B)"}, {"name": "B", "value": "b"}, {"name": "C", "value": "$(B)$(BASE)"}]
    assert environment(container(env=env), POD, PLACE, Sources(), {"BASE": "!"}) == {
        "BASE": "!",
        "A": "$(B)",
        "B": "b",
        "C": "b!",
    }


def test_env_wins_over_env_from_and_that_over_the_images() -> None:
    sources = Sources(config_maps={"c": {"A": b"map", "B": b"map"}})
    made = container(env=[{"name": "A", "value": "env"}], envFrom=[{"configMapRef": {"name": "c"}}])
    assert environment(made, POD, PLACE, sources, {"A": "image", "B": "image"}) == {"A": "env", "B": "map"}


def test_what_must_be_read_is_known_beforehand() -> None:
    made = container(
        env=[
            {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c1", "key": "k"}}},
            {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s1", "key": "k"}}},
            {"name": "C", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ],
        envFrom=[{"configMapRef": {"name": "c2"}}, {"secretRef": {"name": "s2"}}],
    )
    assert names(made) == Names(frozenset({"c1", "c2"}), frozenset({"s1", "s2"}))


@pytest.mark.parametrize(
    ("sources", "message"),
    [(Sources(), 'configmap "c" not found'), (Sources(config_maps={"c": {"other": b""}}), "couldn't find key k")],
)
def test_a_missing_source_is_named(sources: Sources, message: str) -> None:
    made = container(env=[{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}])
    with pytest.raises(UserMistake, match=message):
        environment(made, POD, PLACE, sources, {})


def test_command_and_args_replace_an_images_own() -> None:
    def line(**fields: Any) -> list[str]:
        return command_line(container(**fields), ["entry"], ["cmd"], {"X": "x"})

    assert line() == ["entry", "cmd"]
    assert line(args=["$(X)"]) == ["entry", "x"]
    assert line(command=["run", "$(X)"]) == ["run", "x"]
    assert line(command=["run"], args=["a"]) == ["run", "a"]
