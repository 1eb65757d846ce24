"""The state of a job is what its conditions say, with the pod's real reason where it failed."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.kinds.jobs import model
from longshore.kinds.jobs.model import JobRequest, Status
from longshore.kinds.jobs.state import state_of
from longshore.kinds.jobs.stop import stop_patch
from longshore.kube.objects import (
    Condition,
    ContainerState,
    ContainerStateTerminated,
    ContainerStateWaiting,
    ContainerStatus,
    Job,
    JobSpec,
    JobStatus,
    ObjectMeta,
    Pod,
    PodStatus,
)
from longshore.settings import Settings

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def job(*conditions: Condition, suspend: bool = False, failed: int = 0) -> Job:
    return Job(
        metadata=ObjectMeta(name="j1", namespace="tenant-a", uid="u1"),
        spec=JobSpec(suspend=suspend),
        status=JobStatus(conditions=conditions, failed=failed),
    )


def pod(
    phase: str, *statuses: ContainerStatus, age: int = 0, conditions: tuple[Condition, ...] = (), reason: str = ""
) -> Pod:
    meta = ObjectMeta(name=f"p{age}", creation_timestamp=NOW - timedelta(seconds=age))
    status = PodStatus(phase=phase, container_statuses=statuses, conditions=conditions, reason=reason, message="m")
    return Pod(metadata=meta, status=status)


def ended(code: int, reason: str = "Error", signal: int = 0) -> ContainerStatus:
    gone = ContainerStateTerminated(exit_code=code, reason=reason, signal=signal)
    return ContainerStatus(name="main", state=ContainerState(terminated=gone))


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
    state = state_of(over, [pod("Failed", ended(137, "OOMKilled", 9), age=1), pod("Failed", ended(2), age=9)])
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


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=30))
def test_ids_are_legal_names_and_repeat_for_the_same_key_only(tenant: str, key: str, other: str) -> None:
    one = model.job_id("j", tenant, "job", key)
    assert len(one) == 27
    assert one.isalnum()
    assert one.islower()
    assert one == model.job_id("j", tenant, "job", key)
    assert (one == model.job_id("j", tenant, "job", other)) == (key == other)
    assert one != model.job_id("j", tenant, "simulation", key)


def test_the_digest_of_a_request_depends_on_its_content_only() -> None:
    one = JobRequest(name="a", image="x", env={"A": "1", "B": "2"})
    assert one.digest() == JobRequest(name="a", image="x", env={"B": "2", "A": "1"}).digest()
    assert one.digest() != JobRequest(name="a", image="x", env={"A": "1"}).digest()


@pytest.mark.parametrize(
    ("made", "seconds", "first"),
    [
        (NOW.isoformat(), 0, True),
        (NOW.isoformat(), 30, True),
        (NOW.isoformat(), -30, True),
        (NOW.isoformat(), 31, False),  # held up for so long that an earlier one may have come and gone
        (NOW.isoformat(), -31, False),
        ("2026-01-01T00:00:00", 0, False),
        ("damaged", 0, False),
        (None, 0, False),
    ],
)
def test_only_a_job_that_was_made_just_after_its_key_is_known_to_be_the_first_of_it(
    made: str | None, seconds: int, first: bool
) -> None:
    annotations = {model.ANNOTATION_KEY_MADE: made} if made is not None else {}
    meta = ObjectMeta(name="j1", creation_timestamp=NOW + timedelta(seconds=seconds), annotations=annotations)
    assert model.is_first(Job(metadata=meta)) is first


def test_what_is_over_stays_in_the_cluster_for_longer_than_a_key_is_new() -> None:
    with pytest.raises(ValueError, match="ttl_seconds"):
        Settings(ttl_seconds=int(model.KEY_FRESH.total_seconds()))
