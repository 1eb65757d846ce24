"""What cannot start keeps its place for a while and not for ever; what will have room keeps it."""

import pytest
from msgspec.structs import replace
from tests.unit.kinds.workloads import T0, at

from longshore.kinds.jobs import model
from longshore.kinds.jobs.failure import lost
from longshore.kinds.jobs.reconcile import plan
from longshore.kinds.jobs.state import run_by, state_of
from longshore.kinds.jobs.waiting import obstacles
from longshore.kinds.jobs.waiting.patience import until
from longshore.kinds.jobs.waiting.placement import Room
from longshore.kinds.jobs.waiting.why import Known, Turn, why_of
from longshore.kube.objects import (
    Condition,
    Container,
    ContainerState,
    ContainerStateRunning,
    ContainerStateTerminated,
    ContainerStateWaiting,
    ContainerStatus,
    Event,
    Job,
    JobSpec,
    JobStatus,
    ObjectMeta,
    ObjectReference,
    Pod,
    PodSpec,
    PodStatus,
    ResourceRequirements,
)
from longshore.runtime.plan import PatchObject, Plan

HOUR = 3600
SHORT = "0/1 nodes are available: 1 Insufficient cpu."
NAMELESS = '{"name": "n", "image": "i"}'
QUOTA = "exceeded quota: longshore, requested: requests.cpu=1, used: requests.cpu=4, limited: requests.cpu=4"


def job(failed: int = 0, request: str = NAMELESS) -> Job:
    labels = {model.LABEL_KIND: "job", model.LABEL_TENANT: "a"}
    meta = ObjectMeta(
        name="j",
        namespace="tenant-a",
        uid="uid",
        creation_timestamp=T0,
        labels=labels,
        annotations={model.ANNOTATION_SPEC: request},
        finalizers=(model.FINALIZER,),
    )
    return Job(meta, JobSpec(), JobStatus(start_time=T0, failed=failed))


def pod(created: float, status: PodStatus) -> Pod:
    asks = Container(resources=ResourceRequirements(requests={"cpu": "2"}))
    meta = ObjectMeta(name=f"j-{created:g}", namespace="tenant-a", uid="pod", creation_timestamp=at(created))
    return Pod(meta, PodSpec(containers=(asks,)), status)


def unplaced(created: float, said: str = SHORT) -> Pod:
    told = Condition("PodScheduled", "False", "Unschedulable", said, at(created))
    return pod(created, PodStatus("Pending", conditions=(told,)))


def no_image(created: float) -> Pod:
    state = ContainerState(waiting=ContainerStateWaiting("ImagePullBackOff", "not found"))
    return pod(created, PodStatus("Pending", container_statuses=(ContainerStatus("main", state=state),)))


def ended(created: float, end: float) -> Pod:
    state = ContainerState(terminated=ContainerStateTerminated(exit_code=1, finished_at=at(end)))
    return pod(created, PodStatus("Failed", container_statuses=(ContainerStatus("main", state=state),)))


RUNS = pod(0, PodStatus("Running"))
FETCHES = pod(
    0,
    PodStatus(
        "Pending",
        init_container_statuses=(ContainerStatus("fetch", state=ContainerState(running=ContainerStateRunning(T0))),),
        container_statuses=no_image(0).status.container_statuses,
    ),
)


def rooms(cpu: float, *, open: bool = True) -> list[Room]:
    return [Room("n", {"cpu": cpu, "pods": 10}, {}, open=open)]


def ends(job: Job, *pods: Pod, rooms: list[Room] | None = None, event: Event | None = None, s: int = HOUR) -> object:
    told = [event] if event else []
    known = Known(job, pods, at(10), Turn(), told=lambda uid: told if uid == "uid" else [], rooms=lambda: rooms or [])
    found = why_of(known, state_of(job, pods), obstacles.of)
    assert found is not None
    return until(known, found, s)


def test_what_cannot_start_has_an_hour_from_its_turn_its_last_end_or_its_newest_pod() -> None:
    assert ends(job(), no_image(0)) == at(HOUR)
    assert ends(job(), unplaced(0, "0/1 nodes are available: 1 node(s) had untolerated taint(s).")) == at(HOUR)
    assert ends(job(failed=1), ended(0, 500), no_image(510)) == at(510 + HOUR)
    # its node went after a day, and took the first pod with it
    assert ends(job(), unplaced(86_400)) == at(86_400 + HOUR)
    about = ObjectReference(uid="uid", namespace="tenant-a")
    refused = Event(involved_object=about, reason="FailedCreate", message=QUOTA, first_timestamp=at(50))
    assert ends(job(), event=refused) == at(50 + HOUR)


def test_no_end_where_the_service_says_so_where_it_is_at_work_or_where_room_will_come() -> None:
    assert ends(job(), no_image(0), s=0) is None
    assert ends(job(), RUNS, no_image(1)) is None
    assert ends(job(), FETCHES) is None
    assert ends(job(), unplaced(0), rooms=rooms(4)) is None
    assert ends(job(), pod(0, PodStatus("Pending"))) is None


@pytest.mark.parametrize("nodes", [rooms(1), rooms(4, open=False), []])
def test_a_pod_that_no_node_could_hold_even_if_it_were_empty_has_an_end(nodes: list[Room]) -> None:
    assert ends(job(), unplaced(0), rooms=nodes) == at(HOUR)


def test_a_deadline_of_its_own_wins_and_is_told_too() -> None:
    own = job(request='{"name": "n", "image": "i", "schedule_to_start": 9000}')
    assert ends(own, no_image(0)) == at(9000)
    assert ends(own, unplaced(0), rooms=rooms(4), s=0) == at(9000)


def test_it_is_ended_then_and_not_before_with_what_kept_it_also_after_an_attempt_that_ran() -> None:
    again = [ended(0, 5), no_image(15)]
    assert plan(job(1), again, at(20), ttl_seconds=60, until=at(60)) == Plan(requeue_after=40)
    assert plan(job(1), again, at(20), ttl_seconds=60) == Plan()
    (action,) = plan(job(1), again, at(60), ttl_seconds=60, until=at(60)).actions
    assert isinstance(action, PatchObject)
    (target,) = action.patch["status"]["conditions"]
    assert target["reason"] == "ImagePull"
    assert target["message"] == "It kept its place for too long without running. not found"


def gone(created: float) -> Pod:
    told = Condition("DisruptionTarget", "True", "DeletionByPodGC", "no such node")
    made = pod(created, PodStatus("Failed", conditions=(told,)))
    return replace(made, spec=replace(made.spec, node_name="node-7"))


def test_what_was_lost_with_its_node_and_finds_no_other_ends_as_that_with_the_nodes_name() -> None:
    cause = lost([ended(0, 5), gone(10)], model.MAIN_CONTAINER)
    assert cause is not None
    assert (cause.reason, cause.message) == ("NodeLost", "Its node node-7 went away: no such node")
    assert lost([gone(0), ended(1, 5)], model.MAIN_CONTAINER) is None, "a newer attempt ended by itself"
    assert lost([RUNS], model.MAIN_CONTAINER) is None
    (action,) = plan(job(), [unplaced(20)], at(60), ttl_seconds=60, until=at(60), lost=cause).actions
    assert isinstance(action, PatchObject)
    (target,) = action.patch["status"]["conditions"]
    assert target["reason"] == "NodeLost"
    assert target["message"] == (
        "Its node node-7 went away: no such node. No attempt could start since. "
        f"It kept its place for too long without running. {SHORT}"
    )


def test_the_time_to_start_of_what_follows_a_lost_pod_counts_from_when_it_was_made() -> None:
    own = job(request='{"name": "n", "image": "i", "schedule_to_start": 60}')
    assert run_by(own, [unplaced(86_400)]) == at(86_460)


def test_between_a_pod_that_was_taken_and_its_successor_nothing_ends_a_job_but_a_refusal_that_lasts() -> None:
    own = job(request='{"name": "n", "image": "i", "schedule_to_start": 60}')
    assert ends(own) is None
    about = ObjectReference(uid="uid", namespace="tenant-a")
    refused = Event(involved_object=about, reason="FailedCreate", message=QUOTA, first_timestamp=at(86_400))
    assert ends(own, event=refused) == at(86_460)
