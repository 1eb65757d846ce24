"""What happened to a job is told in order, once, and never without bound."""

from collections.abc import Sequence

from tests.unit.kinds import workloads
from tests.unit.kinds.workloads import at

from longshore.kinds.jobs.happened import MOST, happened
from longshore.kube.objects import (
    Condition,
    ContainerState,
    ContainerStateTerminated,
    ContainerStatus,
    Event,
    Job,
    JobStatus,
    ObjectMeta,
    ObjectReference,
    Pod,
    PodSpec,
    PodStatus,
)


def condition(type_: str, status: str, seconds: int, reason: str = "", message: str = "") -> Condition:
    return Condition(type_, status, reason, message, at(seconds))


ENDED = ContainerStateTerminated(exit_code=3, started_at=at(6), finished_at=at(8))
POD = Pod(
    ObjectMeta(name="j-x", uid="pod", creation_timestamp=at(2)),
    PodSpec("node-1"),
    PodStatus(
        "Failed",
        conditions=(condition("PodScheduled", "True", 3),),
        container_statuses=(ContainerStatus("main", state=ContainerState(terminated=ENDED)),),
    ),
)
JOB = Job(
    ObjectMeta(name="j", uid="job", creation_timestamp=at(0)),
    status=JobStatus(
        start_time=at(1),
        conditions=(
            condition("Suspended", "False", 1),
            condition("FailureTarget", "True", 9, "BackoffLimitExceeded", "too many"),
            condition("Failed", "True", 10, "BackoffLimitExceeded", "too many"),
        ),
    ),
)


def told(uid: str) -> Sequence[Event]:
    about = ObjectReference(uid="pod")
    mount = Event(
        involved_object=about,
        type="Warning",
        reason="FailedMount",
        message="no",
        count=4,
        first_timestamp=at(4),
        last_timestamp=at(5),
    )
    return [mount] if uid == "pod" else []


def test_conditions_pods_and_events_are_merged_in_the_order_of_time() -> None:
    found = happened(JOB, [POD], told)
    assert [(e.reason, e.source, e.count) for e in found.items] == [
        ("Accepted", "job", 1),
        ("Started", "job", 1),
        ("PodCreated", "pod j-x", 1),
        ("Scheduled", "pod j-x", 1),
        ("FailedMount", "pod j-x", 4),
        ("ContainerStarted", "pod j-x", 1),
        ("Error", "pod j-x", 1),
        ("BackoffLimitExceeded", "job", 1),
        ("BackoffLimitExceeded", "job", 1),
    ]
    assert [e.message for e in found.items if e.reason == "Error"] == ["main ended with exit code 3."]
    assert {e.type for e in found.items if e.reason in ("FailedMount", "Error")} == {"Warning"}


def test_a_job_that_waits_has_only_been_accepted() -> None:
    waiting = Job(JOB.metadata, status=JobStatus(conditions=(condition("Suspended", "True", 0),)))
    assert [e.reason for e in happened(waiting, [], told).items] == ["Accepted"]


def test_a_job_that_was_let_go_before_the_job_controller_saw_that_it_was_held_started_too() -> None:
    quick = workloads.job(started=at(1))
    assert [e.reason for e in happened(quick, [], told).items] == ["Started"]
    stopped = workloads.job(condition("FailureTarget", "True", 2, "Stopped"), started=at(2), suspend=True)
    assert [e.reason for e in happened(stopped, [], told).items] == ["Stopped"]
    others = Job(JOB.metadata, status=JobStatus(start_time=at(1)))
    assert [e.reason for e in happened(others, [], told).items] == ["Accepted"]


def test_a_job_that_was_put_back_in_line_says_so() -> None:
    back = Job(JOB.metadata, status=JobStatus(start_time=at(1), conditions=(condition("Suspended", "True", 7),)))
    assert [e.reason for e in happened(back, [], told).items] == ["Accepted", "Suspended"]


def test_of_very_many_the_newest_are_kept_and_the_others_counted() -> None:
    pods = [
        Pod(ObjectMeta(name=f"p{n}", uid=f"p{n}", creation_timestamp=at(n)), PodSpec(), PodStatus())
        for n in range(MOST + 50)
    ]
    found = happened(Job(JOB.metadata), pods, told)
    assert (len(found.items), found.left_out) == (MOST, 51)
    assert found.items[-1].source == f"pod p{MOST + 49}"
