"""Limits of pods, and when they are exceeded."""

from typing import Any

import msgspec
import pytest

from longshore.cluster.node.limits import Usage, exceeded, limits_storage, memory, shares_memory
from longshore.cluster.node.model import Pod

MIB = 1 << 20


def container(name: str, *, sidecar: bool = False, **limits: str) -> dict[str, Any]:
    fields = {"restartPolicy": "Always"} if sidecar else {}
    return {
        "name": name,
        "resources": {"limits": {key.replace("_", "-"): text for key, text in limits.items()}},
        **fields,
    }


def pod(*containers: Any, init: tuple[Any, ...] = (), **spec: Any) -> Pod:
    return msgspec.convert({"spec": {"containers": containers, "initContainers": init, **spec}}, Pod)


def volumes(**limits: str | None) -> list[dict[str, Any]]:
    return [{"name": name, "emptyDir": {"sizeLimit": limit} if limit else {}} for name, limit in limits.items()]


@pytest.mark.parametrize(
    ("own", "pods", "expected"),
    [
        ({"memory": "64Mi"}, {}, 64 * MIB),
        ({}, {"memory": "1G"}, 1_000_000_000),
        ({"memory": "64Mi"}, {"memory": "1Gi"}, 64 * MIB),
        ({"memory": "0"}, {}, None),
        ({"cpu": "1"}, {"cpu": "1"}, None),
    ],
)
def test_a_container_may_use_what_itself_and_its_pod_may(
    own: dict[str, Any], pods: dict[str, str], expected: int | None
) -> None:
    made = pod(container("main", **own), resources={"limits": pods})
    assert memory(made.spec.containers[0], made) == expected


def test_a_pods_limit_is_shared_by_what_runs_at_the_same_time() -> None:
    limit = {"limits": {"memory": "1Gi"}}
    assert not shares_memory(pod(container("one"), init=(container("first"),), resources=limit))
    assert shares_memory(pod(container("one"), container("two"), resources=limit))
    assert shares_memory(pod(container("one"), init=(container("side", sidecar=True),), resources=limit))
    assert not shares_memory(pod(container("one"), container("two")))


def test_a_pod_without_limits_is_not_looked_at() -> None:
    assert not limits_storage(pod(container("main", memory="1Gi"), volumes=volumes(v=None)))
    assert limits_storage(pod(container("main"), volumes=volumes(v="1Mi")))
    assert limits_storage(pod(container("main"), init=(container("first", ephemeral_storage="1Mi"),)))


def test_an_empty_dir_may_be_as_large_as_its_limit() -> None:
    made = pod(container("main"), volumes=volumes(v="1Mi", free=None))
    assert exceeded(made, Usage({"v": MIB, "free": 9 * MIB})) is None
    assert exceeded(made, Usage({"v": MIB + 1})) == 'Usage of EmptyDir volume "v" exceeds the limit "1Mi". '


def test_all_that_a_pod_takes_counts_against_all_that_its_containers_may() -> None:
    made = pod(container("one", ephemeral_storage="1Gi"), container("two", ephemeral_storage="512Mi"))
    used = Usage({"v": 1024 * MIB}, {"one": 256 * MIB, "two": 256 * MIB})
    assert exceeded(made, used) is None
    told = "Pod ephemeral local storage usage exceeds the total limit of containers 1536Mi. "
    assert exceeded(made, msgspec.structs.replace(used, volumes={"v": 1024 * MIB + 1})) == told


def test_an_init_container_may_use_what_those_after_it_leave() -> None:
    first = container("first", ephemeral_storage="9Mi")
    side = container("side", sidecar=True, ephemeral_storage="2Mi")
    told = "Pod ephemeral local storage usage exceeds the total limit of containers {}. "
    last = container("main", ephemeral_storage="1Mi")
    assert exceeded(pod(last, init=(first, side)), Usage({"v": 99 * MIB})) == told.format("9Mi")
    assert exceeded(pod(last, init=(side, first)), Usage({"v": 99 * MIB})) == told.format("11Mi")


def test_a_container_has_a_limit_of_its_own() -> None:
    made = pod(container("one", ephemeral_storage="1Mi"), container("two", ephemeral_storage="9Mi"))
    told = 'Container one exceeded its local ephemeral storage limit "1Mi". '
    assert exceeded(made, Usage({}, {"one": 2 * MIB})) == told
