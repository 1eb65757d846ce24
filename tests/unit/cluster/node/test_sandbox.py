"""Whom a container runs as."""

from typing import Any

import msgspec
import pytest

from longshore.cluster.node.model import Pod
from longshore.cluster.node.powers import Powers
from longshore.cluster.node.sandbox import user
from longshore.errors import UserMistake

ALL, USER, NONE = Powers("namespaces", users=True, root=True), Powers("namespaces", users=True), Powers("none")


def pod(context: dict[str, Any], shared: dict[str, Any] | None = None) -> Pod:
    spec = {"containers": [{"name": "main", "securityContext": context}], "securityContext": shared or {}}
    return msgspec.convert({"metadata": {"name": "p"}, "spec": spec}, Pod)


def ids(made: Pod, powers: Powers, own: int) -> tuple[int, int] | None:
    found = user(made.spec.containers[0], made, powers, own, own)
    return found and (found["uid"], found["gid"])


@pytest.mark.parametrize(
    ("context", "shared", "powers", "own", "expected"),
    [
        ({}, {}, ALL, 0, None),
        ({}, {}, USER, 501, (501, 501)),
        ({"runAsUser": 1000}, {}, ALL, 0, (1000, 0)),
        ({"runAsUser": 0}, {}, USER, 501, (0, 0)),
        ({"runAsUser": 1000}, {"runAsUser": 7, "runAsGroup": 8}, USER, 501, (1000, 8)),
        ({}, {"runAsNonRoot": True}, ALL, 0, (1000, 0)),
        ({}, {"runAsNonRoot": True}, USER, 501, (501, 501)),
        ({"runAsUser": 1000}, {}, NONE, 501, None),
    ],
)
def test_a_wanted_user_stands_for_the_nodes_own(
    context: dict[str, Any], shared: dict[str, Any], powers: Powers, own: int, expected: tuple[int, int] | None
) -> None:
    assert ids(pod(context, shared), powers, own) == expected


def test_root_is_refused_where_the_pod_forbids_it() -> None:
    with pytest.raises(UserMistake, match="runAsNonRoot"):
        ids(pod({"runAsUser": 0}, {"runAsNonRoot": True}), ALL, 0)
