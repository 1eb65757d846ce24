"""What a Node says of itself."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from longshore.cluster.node.disk import Disk
from longshore.cluster.node.machine import Machine
from longshore.cluster.node.powers import Powers
from longshore.cluster.node.registration import conditions, isolation

T0 = datetime(2026, 1, 1, tzinfo=UTC)
ROOMY, FULL = Disk("/x", 1000, 500), Disk("/x", 1000, 1)


def machine(powers: Powers) -> Machine:
    """Only what is asked for here."""
    nothing = cast(Any, None)
    return Machine(
        name="n",
        root=Path("/x"),
        volumes=Path("/v"),
        address="",
        client=nothing,
        launcher=nothing,
        images=nothing,
        events=nothing,
        powers=powers,
        capacity={},
        variables={},
        hide=(),
    )


def told(disk: Disk, before: list[dict[str, str]], seconds: int) -> list[dict[str, str]]:
    return conditions(machine(Powers("namespaces", users=True)), disk, before, T0 + timedelta(seconds=seconds))


def of(conditions: list[dict[str, str]], type_: str) -> dict[str, str]:
    return next(condition for condition in conditions if condition["type"] == type_)


def test_a_full_disk_is_pressure() -> None:
    assert of(told(ROOMY, [], 0), "DiskPressure")["status"] == "False"
    full = of(told(FULL, [], 0), "DiskPressure")
    assert (full["status"], full["reason"]) == ("True", "DiskIsFull")
    assert "are free where /x is" in full["message"]


def test_a_condition_keeps_the_time_since_when_it_is_so() -> None:
    first = told(ROOMY, [], 0)
    second = told(FULL, first, 5)
    assert of(second, "Ready")["lastTransitionTime"] == "2026-01-01T00:00:00Z"
    assert of(second, "Ready")["lastHeartbeatTime"] == "2026-01-01T00:00:05Z"
    assert of(second, "DiskPressure")["lastTransitionTime"] == "2026-01-01T00:00:05Z"


def test_what_is_not_kept_is_said_with_and_without_namespaces() -> None:
    for powers in (Powers("namespaces", users=True), Powers("none", why="unshare: no")):
        assert "CPU limits are not kept" in isolation(powers)


def test_the_node_says_which_sandbox_is_in_force_and_why_it_is_not_a_better_one() -> None:
    whole = isolation(Powers("namespaces", users=True))
    assert "in user, mount, PID, IPC and UTS namespaces;" in whole
    assert "To change it" not in whole
    fallback = isolation(Powers("bubblewrap", why="namespaces: not allowed", hint="allow them"))
    assert "in mount, PID, IPC and UTS namespaces made by bubblewrap" in fallback
    assert fallback.endswith("namespaces: not allowed. To change it: allow them.")
    assert "plain processes" in isolation(Powers("none"))
