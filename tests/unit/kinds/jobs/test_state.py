"""The state of a job is what its conditions say, with the pod's real reason where it failed."""

import pytest
from tests.unit.kinds.workloads import T0 as NOW
from tests.unit.kinds.workloads import ended, job, pod

from longshore.kinds.jobs.model import Status
from longshore.kinds.jobs.state import state_of
from longshore.kinds.jobs.stop import stop_patch
from longshore.kube.objects import (
    Condition,
    ContainerState,
    ContainerStateTerminated,
    ContainerStateWaiting,
    ContainerStatus,
    Pod,
    PodStatus,
)


def test_failed_pods_do_not_make_a_job_failed_while_retries_are_left() -> None:
    state = state_of(job(failed=1), [pod("Failed", ended(1))])
    assert state.status is Status.PENDING
    assert state.reason == "Retrying"


@pytest.mark.parametrize(
    ("conditions", "suspend", "status"),
    [
        ((), True, Status.QUEUED),
        ((), False, Status.PENDING),
        ((Condition("Complete", "True"),), False, Status.SUCCEEDED),
        ((Condition("Complete", "False"),), False, Status.PENDING),
        ((Condition("Failed", "True", reason="Stopped"),), True, Status.STOPPED),
        ((Condition("Failed", "True", reason="DeadlineExceeded"),), False, Status.FAILED),
        ((Condition("FailureTarget", "True", reason="Stopped"),), True, Status.QUEUED),
    ],
)
def test_conditions_decide(conditions: tuple[Condition, ...], suspend: bool, status: Status) -> None:
    assert state_of(job(*conditions, suspend=suspend), ()).status is status


def test_a_pod_that_has_ended_but_is_not_counted_yet_does_not_look_pending() -> None:
    assert state_of(job(), [pod("Succeeded", ended(0, "Completed"))]).status is Status.RUNNING


def test_a_pod_that_never_counts_does_not_hide_the_next_one() -> None:
    waiting = ContainerStatus(name="main", state=ContainerState(waiting=ContainerStateWaiting(reason="ErrImagePull")))
    state = state_of(job(), [pod("Failed", age=9), pod("Pending", waiting)])
    assert (state.status, state.reason) == (Status.PENDING, "ErrImagePull")


def test_a_failure_says_how_the_newest_attempt_ended() -> None:
    over = job(Condition("Failed", "True", reason="BackoffLimitExceeded"))
    state = state_of(over, [pod("Failed", ended(137, "OOMKilled", signal=9), age=1), pod("Failed", ended(2), age=9)])
    assert (state.status, state.reason) == (Status.FAILED, "OOMKilled")
    assert "signal 9" in state.message


def test_a_failure_to_fetch_inputs_is_named() -> None:
    fetch = ContainerStatus(
        name="longshore-fetch",
        state=ContainerState(terminated=ContainerStateTerminated(exit_code=1, message="no such artifact")),
    )
    lost = Pod(status=PodStatus(phase="Failed", init_container_statuses=(fetch,)))
    state = state_of(job(Condition("Failed", "True", reason="BackoffLimitExceeded")), [lost])
    assert state.reason == "InputsFailed"
    assert "no such artifact" in state.message


def test_pending_says_what_the_scheduler_or_the_image_pull_says() -> None:
    unschedulable = Condition("PodScheduled", "False", reason="Unschedulable", message="0/1 nodes are available")
    assert state_of(job(), [pod("Pending", conditions=(unschedulable,))]).message == "0/1 nodes are available"
    waiting = ContainerStatus(
        name="main", state=ContainerState(waiting=ContainerStateWaiting("ErrImagePull", "no such image"))
    )
    assert state_of(job(), [pod("Pending", waiting)]).reason == "ErrImagePull"


def test_a_stop_of_a_job_that_never_started_sets_its_start_time() -> None:
    assert stop_patch(job(), NOW, "why")["status"]["startTime"] == "2026-01-01T00:00:00Z"
