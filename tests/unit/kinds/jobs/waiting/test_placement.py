"""What a pod asks for and which nodes would take it, as the scheduler reckons."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.kinds.jobs.waiting.placement import (
    Bookings,
    PlacedSpec,
    Room,
    Toleration,
    amount,
    asked,
    estimate,
    largest_free,
    rooms,
)
from longshore.kube.objects import (
    Condition,
    Container,
    Node,
    NodeSpec,
    NodeStatus,
    ObjectMeta,
    Pod,
    PodSpec,
    PodStatus,
    ResourceRequirements,
    Taint,
)

READY = (Condition("Ready", "True"),)


def container(cpu: str, *, sidecar: bool = False) -> Container:
    return Container(ResourceRequirements({"cpu": cpu}), "Always" if sidecar else "")


def node(name: str, cpu: str = "4", *taints: Taint, ready: bool = True, cordoned: bool = False) -> Node:
    status = NodeStatus(allocatable={"cpu": cpu, "pods": "10"}, conditions=READY if ready else ())
    return Node(ObjectMeta(name=name, labels={"name": name}), NodeSpec(taints, cordoned), status)


def spec(cpu: str = "1", **members: object) -> PlacedSpec:
    return PlacedSpec(containers=(container(cpu),), **members)  # type: ignore[arg-type]


def booked(pods: Iterable[Pod]) -> tuple[Bookings]:
    bookings = Bookings()
    for pod in pods:
        bookings.change(None, pod)
    return (bookings,)


@pytest.mark.parametrize(
    ("text", "base"),
    [("1", 1), ("250m", 0.25), ("1.5Gi", 1.5 * 2**30), ("2e3", 2000), ("1k", 1000), ("12E", 12e18), ("odd", 0)],
)
def test_quantities_are_read_as_kubernetes_writes_them(text: str, base: float) -> None:
    assert amount(text) == pytest.approx(base)


def test_a_pod_books_the_most_that_its_containers_ask_for_at_one_time() -> None:
    """KEP-753: an init container runs beside the sidecars that were started before it."""
    one = PodSpec(
        containers=(container("1"), container("1")),
        init_containers=(container("2", sidecar=True), container("4"), container("500m", sidecar=True)),
        overhead={"cpu": "100m"},
    )
    assert asked(one)["cpu"] == pytest.approx(6.1)
    assert asked(PodSpec(containers=(container("3"),), init_containers=(container("2"),)))["cpu"] == 3


def test_what_pods_that_have_not_ended_book_is_not_free() -> None:
    pods = [
        Pod(ObjectMeta(name=phase), PodSpec("a", containers=(container("1"),)), PodStatus(phase))
        for phase in ("Running", "Pending", "Succeeded", "Failed")
    ]
    (room,) = rooms([node("a")], booked(pods))
    assert (room.free["cpu"], room.free["pods"], room.whole["cpu"]) == (2, 8, 4)


def test_nodes_are_counted_by_what_is_in_the_way() -> None:
    taint = Taint("gpu", "NoSchedule", "only")
    nodes = [
        node("ok"),
        node("small", "500m"),
        node("tainted", "4", taint),
        node("preferred", "4", Taint("x", "PreferNoSchedule")),
        node("cordoned", cordoned=True),
        node("down", ready=False),
    ]
    found = estimate(spec(), rooms(nodes, ()))
    assert (found.nodes, found.fit_now, found.fit_empty) == (6, 2, 2)
    assert found.never == {"cpu": 1, "taint gpu": 1, "not ready, or cordoned": 2}
    tolerant = spec(tolerations=(Toleration("gpu", "Equal", "only"),), node_selector={"name": "tainted"})
    assert estimate(tolerant, rooms(nodes, ())).fit_now == 1


def test_a_full_node_would_take_it_if_it_were_empty() -> None:
    busy = Pod(ObjectMeta(name="p"), PodSpec("a", containers=(container("4"),)), PodStatus("Running"))
    found = estimate(spec(), rooms([node("a")], booked([busy])))
    assert (found.fit_now, found.fit_empty, found.refused) == (0, 1, {"cpu": 1})


@pytest.mark.parametrize(
    ("toleration", "covers"),
    [
        (Toleration(operator="Exists"), True),
        (Toleration("gpu", "Exists"), True),
        (Toleration("gpu", value="only"), True),
        (Toleration("gpu", value="other"), False),
        (Toleration("gpu", "Exists", effect="NoExecute"), False),
        (Toleration(), False),
    ],
)
def test_tolerations_cover_as_the_api_says(toleration: Toleration, covers: bool) -> None:
    assert toleration.covers(Taint("gpu", "NoSchedule", "only")) is covers


def test_what_is_not_looked_at_is_named() -> None:
    assert "affinity" not in estimate(spec(), []).unchecked
    assert "affinity" in estimate(spec(affinity={"podAffinity": {}}), []).unchecked


def test_the_largest_is_looked_for_among_nodes_that_take_pods() -> None:
    known = [Room("a", {}, {"cpu": 1.0}), Room("b", {}, {"cpu": 9.0}, open=False)]
    assert largest_free(known, "cpu") == 1
    assert largest_free([], "cpu") is None


@given(st.lists(st.tuples(st.integers(1, 8), st.lists(st.integers(1, 4), max_size=4)), max_size=5), st.integers(1, 9))
def test_a_node_fits_now_only_if_it_fits_empty_and_exactly_where_enough_is_left(
    cluster: list[tuple[int, list[int]]], wanted: int
) -> None:
    nodes = [node(f"n{n}", str(cpu)) for n, (cpu, _) in enumerate(cluster)]
    pods = [
        Pod(ObjectMeta(name="p"), PodSpec(f"n{n}", containers=(container(str(cpu)),)), PodStatus("Running"))
        for n, (_, booked) in enumerate(cluster)
        for cpu in booked
    ]
    found = estimate(spec(str(wanted)), rooms(nodes, booked(pods)))
    assert found.fit_now == sum(cpu - sum(booked) >= wanted for cpu, booked in cluster)
    assert found.fit_empty == sum(cpu >= wanted for cpu, _ in cluster)
    assert found.fit_now + sum(found.refused.values()) == found.nodes == found.fit_empty + sum(found.never.values())


PODS = st.tuples(st.sampled_from("abc"), st.sampled_from(["", "n0", "n1"]), st.integers(1, 4), st.booleans())


@given(st.lists(PODS))
def test_bookings_kept_as_pods_come_change_and_go_are_those_of_the_pods_that_are_there(
    changes: list[tuple[str, str, int, bool]],
) -> None:
    kept, there = Bookings(), dict[str, Pod]()
    for name, where, cpu, goes in changes:
        old = there.pop(name, None)
        if not goes:
            phase = "Succeeded" if cpu == 4 else "Running"
            there[name] = Pod(
                ObjectMeta(name=name), PodSpec(where, containers=(container(f"{cpu}00m"),)), PodStatus(phase)
            )
        kept.change(old, there.get(name))
    (fresh,) = booked(there.values())
    for where in ("n0", "n1"):
        assert kept.of(where) == pytest.approx(fresh.of(where))
