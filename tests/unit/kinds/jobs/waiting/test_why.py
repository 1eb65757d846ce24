"""Each reason with what it is read from; the sentences are those of docs/why.md, so neither changes alone."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pytest
from tests.unit.kinds.workloads import T0, at

from longshore.kinds.jobs import model
from longshore.kinds.jobs.record import WhyView
from longshore.kinds.jobs.state import state_of
from longshore.kinds.jobs.waiting import obstacles
from longshore.kinds.jobs.waiting.placement import Room
from longshore.kinds.jobs.waiting.why import Known, Reason, Turn, Workload, WorkloadStatus, kept, span, why_of
from longshore.kinds.tenants.admit import Excess
from longshore.kube.objects import (
    Claim,
    ClaimSource,
    ClaimStatus,
    Condition,
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
    Taint,
    Volume,
)

DOCS = Path(__file__).parents[5] / "docs" / "why.md"
BUSY = Turn(excess=(Excess("jobs", 2, 1, 2),), first="urgent", admitted=frozenset({"x", "y"}))
MINE = Turn(admitted=frozenset({"uid"}))


def job(*conditions: Condition, suspend: bool = False, failed: int = 0, ours: bool = True) -> Job:
    labels = {model.LABEL_KIND: "job"} if ours else {}
    meta = ObjectMeta(name="j", namespace="tenant-a", uid="uid", creation_timestamp=T0, labels=labels)
    begun = None if suspend else at(40)
    status = JobStatus(conditions=conditions, failed=failed, start_time=begun)
    return Job(meta, JobSpec(suspend=suspend), status)


def pod(*statuses: ContainerStatus, unplaced: str | None = None, spec: PodSpec | None = None, phase: str = "") -> Pod:
    said = Condition("PodScheduled", "True" if unplaced is None else "False", "Unschedulable", unplaced or "", at(41))
    status = PodStatus(phase=phase or "Pending", conditions=(said,), container_statuses=statuses)
    meta = ObjectMeta(name="j-x", namespace="tenant-a", uid="pod", creation_timestamp=at(40))
    return Pod(meta, spec or PodSpec(), status)


def waiting(reason: str, message: str) -> Pod:
    return pod(ContainerStatus("main", state=ContainerState(waiting=ContainerStateWaiting(reason, message))))


def told(uid: str, reason: str, message: str, seconds: float = 50) -> Event:
    about = ObjectReference(uid=uid, namespace="tenant-a")
    meta = ObjectMeta(name=reason, resource_version="7")
    return Event(meta, about, reason=reason, message=message, first_timestamp=at(seconds))


def nodes(message: str) -> str:
    return f"0/1 nodes are available: {message}. preemption: 0/1 nodes are available: 1 Preemption is not helpful."


def known(
    job: Job,
    *pods: Pod,
    events: Sequence[Event] = (),
    turn: Turn = MINE,
    ahead: int = 0,
    higher: int = 0,
    rooms: Sequence[Room] = (),
    claim: Claim | None = None,
    workload: Workload | None = None,
) -> Known:
    return Known(
        job,
        pods,
        at(60),
        turn,
        ahead,
        higher,
        lambda uid: [e for e in events if e.involved_object.uid == uid],
        lambda: rooms,
        lambda _: claim,
        workload,
    )


def why(known: Known) -> WhyView:
    found = why_of(known, state_of(known.job, known.pods), obstacles.of)
    assert found is not None
    return found


def claims(name: str) -> PodSpec:
    return PodSpec(volumes=(Volume(), Volume(ClaimSource(name))))


STOP = Condition("FailureTarget", "True", "Stopped", "Stopped by key-1.", at(50))
WAITING_LOAD = Workload(
    status=WorkloadStatus(
        (Condition("QuotaReserved", "False", "Pending", "insufficient unused quota for cpu in flavor default", at(45)),)
    )
)
QUOTA = (
    'Error creating: pods "j-x" is forbidden: exceeded quota: longshore, requested: requests.cpu=1, '
    "used: requests.cpu=3500m, limited: requests.cpu=4"
)
SCALING = "pod triggered scale-up: [{pool-a 1->2 (max: 9)}]"
BACK_OFF = 'Back-off pulling image "nope:1"'
ROOT = "container has runAsNonRoot and image will run as root"
ENDED = ContainerState(terminated=ContainerStateTerminated(exit_code=1, finished_at=at(55)))
RUNNING = ContainerState(running=ContainerStateRunning(at(42)))

# by reason: what is known, and since when the cause is said to have been there
EXAMPLES: dict[Reason, tuple[Known, datetime]] = {
    Reason.STOPPING: (known(job(STOP), pod(phase="Running")), at(50)),
    Reason.SUSPENDED: (known(job(suspend=True, ours=False)), T0),
    Reason.TENANT_LIMIT: (known(job(suspend=True), turn=BUSY, ahead=3, higher=1), T0),
    Reason.COMING: (known(job(suspend=True), turn=Turn()), T0),
    Reason.ADMITTED: (known(job(suspend=True)), T0),
    Reason.KUEUE: (known(job(), workload=WAITING_LOAD), at(45)),
    Reason.QUOTA: (known(job(), events=[told("uid", "FailedCreate", QUOTA)]), at(50)),
    Reason.REFUSED: (
        known(
            job(),
            events=[
                told(
                    "uid",
                    "FailedCreate",
                    'Error creating: admission webhook "images.example" denied the request',
                )
            ],
        ),
        at(50),
    ),
    Reason.SCALING_UP: (
        known(job(), pod(unplaced=nodes("1 Insufficient cpu")), events=[told("pod", "TriggeredScaleUp", SCALING)]),
        at(50),
    ),
    Reason.NO_NODE_FITS: (
        known(
            job(),
            pod(unplaced="0/2 nodes are available: 2 Insufficient memory. preemption: none"),
            rooms=[Room("a", {}, {"memory": 3 * 2**29}), Room("b", {}, {"memory": 2.0**40}, open=False)],
        ),
        at(41),
    ),
    Reason.TAINT: (
        known(
            job(),
            pod(unplaced=nodes("1 node(s) had untolerated taint(s)")),
            rooms=[Room("a", {}, {}, taints=(Taint("gpu", "NoSchedule", "only"),))],
        ),
        at(41),
    ),
    Reason.SELECTOR: (
        known(
            job(),
            pod(
                unplaced=nodes("1 node(s) didn't match Pod's node affinity/selector"),
                spec=PodSpec(node_selector={"zone": "b"}),
            ),
        ),
        at(41),
    ),
    Reason.UNSCHEDULABLE: (known(job(), pod(unplaced=nodes("1 node(s) were unschedulable"))), at(41)),
    Reason.CLAIM_MISSING: (
        known(job(), pod(unplaced=nodes('persistentvolumeclaim "data" not found'), spec=claims("data"))),
        at(41),
    ),
    Reason.VOLUME: (
        known(
            job(),
            pod(unplaced=nodes("pod has unbound immediate PersistentVolumeClaims"), spec=claims("data")),
            claim=Claim(ObjectMeta(name="data", uid="claim"), status=ClaimStatus("Pending")),
            events=[
                told("claim", "FailedBinding", "no persistent volumes available"),
                told("claim", "ProvisioningFailed", 'storageclass.storage.k8s.io "fast" not found', 44),
            ],
        ),
        at(44),
    ),
    Reason.MOUNT: (
        known(
            job(),
            waiting("ContainerCreating", ""),
            events=[told("pod", "FailedMount", 'MountVolume.SetUp failed for volume "data"')],
        ),
        at(50),
    ),
    Reason.IMAGE: (
        known(
            job(),
            waiting("ImagePullBackOff", BACK_OFF),
            events=[told("pod", "Failed", 'Failed to pull image "nope:1": not found')],
        ),
        at(50),
    ),
    Reason.ROOT: (known(job(), waiting("CreateContainerConfigError", ROOT)), at(41)),
    Reason.CONFIG: (known(job(), waiting("CreateContainerConfigError", 'secret "login" not found')), at(41)),
    Reason.BACKOFF: (known(job(failed=2), pod(ContainerStatus("main", state=ENDED), phase="Failed")), at(55)),
    Reason.STARTING: (known(job(), pod(spec=PodSpec("node-1"))), at(41)),
    Reason.RUNNING: (known(job(), pod(ContainerStatus("main", state=RUNNING), phase="Running")), at(42)),
}


def documented() -> dict[str, str]:
    rows = [line.strip("|").split("|") for line in DOCS.read_text().splitlines() if line.startswith("| ")]
    return {row[0].strip(): row[2].strip() for row in rows[1:] if len(row) == 3}


def test_the_documentation_has_every_reason_and_no_other() -> None:
    assert set(documented()) == {reason.value for reason in Reason} == {reason.value for reason in EXAMPLES}


@pytest.mark.parametrize("reason", Reason)
def test_a_cause_is_told_as_documented_and_since_it_began(reason: Reason) -> None:
    case, since = EXAMPLES[reason]
    found = why(case)
    assert (found.reason, found.sentence, found.since) == (reason, documented()[reason], since)


def test_a_job_that_is_over_does_not_wait() -> None:
    done = job(Condition("Complete", "True"))
    assert why_of(known(done), state_of(done, ()), obstacles.of) is None


def test_the_line_says_which_limit_and_how_much_of_it_is_used() -> None:
    turn = Turn(excess=(Excess("cores", 6, 4, 8.5), Excess("GiB of memory", 20, 1, 20)))
    assert why(known(job(suspend=True), turn=turn, ahead=1)).sentence == (
        "Waits for the tenant's turn: 6 of 8.5 cores are in use and the next asks for 4 and "
        "20 of 20 GiB of memory are in use and the next asks for 1, 1 waits ahead."
    )


@pytest.mark.parametrize(("ahead", "seconds"), [(0, 100), (1, 130), (2, 200), (5, 330)])
def test_when_it_may_start_is_reckoned_from_measured_durations(ahead: int, seconds: float) -> None:
    turn = Turn(BUSY.excess, "", 0, BUSY.admitted, (at(100), at(130)), typical=100.0, samples=7)
    eta = why(known(job(suspend=True), turn=turn, ahead=ahead)).eta
    assert eta is not None
    assert eta.at == at(seconds)
    assert "last 7 jobs took 100 s or less" in eta.basis


@pytest.mark.parametrize("turn", [BUSY, Turn(BUSY.excess, "", 0, BUSY.admitted, (at(1),), typical=100.0, samples=2)])
def test_there_is_no_eta_without_measurements(turn: Turn) -> None:
    assert why(known(job(suspend=True), turn=turn, ahead=1)).eta is None


def test_what_is_late_is_expected_now_and_not_in_the_past() -> None:
    turn = Turn(BUSY.excess, "", 0, BUSY.admitted, (at(1), at(2)), typical=1.0, samples=3)
    eta = why(known(job(suspend=True), turn=turn)).eta
    assert eta is not None
    assert eta.at == at(60)


def test_a_quota_that_refused_an_earlier_attempt_is_not_what_a_later_one_waits_for() -> None:
    failed = pod(ContainerStatus("main", state=ENDED), phase="Failed")
    assert why(known(job(failed=1), failed, events=[told("uid", "FailedCreate", QUOTA)])).reason == Reason.BACKOFF


def test_a_shortage_of_an_extended_resource_is_named_whole() -> None:
    found = why(known(job(), pod(unplaced=nodes("1 Insufficient cpu, 1 Insufficient nvidia.com/gpu"))))
    assert found.sentence.startswith("No node has enough cpu and enough nvidia.com/gpu. ")


def test_the_taints_that_an_older_scheduler_names_are_those_that_are_told() -> None:
    found = why(known(job(), pod(unplaced=nodes("1 node(s) had untolerated taint {gpu: only}"))))
    assert "(gpu: only)" in found.sentence


def test_a_node_that_is_counted_for_its_taint_but_has_not_the_labels_is_not_what_is_in_the_way() -> None:
    said = nodes("1 node(s) didn't match Pod's node affinity/selector, 1 node(s) had untolerated taint(s)")
    rooms = [Room("a", {}, {}), Room("b", {}, {}, {"gpu": "yes"}, (Taint("gpu", "NoSchedule", "only"),))]
    wanted, other = ({"gpu": "yes"}, {"zone": "b"})
    assert why(known(job(), pod(unplaced=said, spec=PodSpec(node_selector=wanted)), rooms=rooms)).reason == Reason.TAINT
    assert (
        why(known(job(), pod(unplaced=said, spec=PodSpec(node_selector=other)), rooms=rooms)).reason == Reason.SELECTOR
    )


@pytest.mark.parametrize(
    ("reason", "age", "told_as"),
    [
        ("TriggeredScaleUp", 60, Reason.SCALING_UP),
        ("Nominated", 60, Reason.SCALING_UP),
        ("Nominated", 901, Reason.NO_NODE_FITS),
    ],
)
def test_a_node_that_was_to_come_long_ago_is_not_waited_for(reason: str, age: int, told_as: Reason) -> None:
    event = told("pod", reason, "Pod should schedule on: nodeclaim/x", 60 - age)
    assert why(known(job(), pod(unplaced=nodes("1 Insufficient cpu")), events=[event])).reason == told_as


def test_a_mount_that_succeeded_after_it_had_failed_is_not_what_is_waited_for() -> None:
    begun = waiting("ContainerCreating", "")
    sandbox = Condition("PodReadyToStartContainers", "True")
    status = PodStatus(conditions=(*begun.status.conditions, sandbox))
    after = Pod(begun.metadata, begun.spec, status)
    events = [told("pod", "FailedMount", "no")]
    assert why(known(job(), begun, events=events)).reason == Reason.MOUNT
    assert why(known(job(), after, events=events)).reason == Reason.STARTING


def test_a_preempted_job_is_in_line_since_it_was_suspended_again() -> None:
    back = job(Condition("Suspended", "True", "JobSuspended", "", at(55)), suspend=True)
    back = Job(back.metadata, back.spec, JobStatus(conditions=back.status.conditions, start_time=at(40)))
    assert why(known(back, turn=BUSY)).since == at(55)


def test_what_is_kept_says_how_long_it_waited_and_the_last_cause() -> None:
    done = job(Condition("Complete", "True", last_transition_time=at(60)))
    ran = pod(ContainerStatus("main", state=ContainerState(terminated=ContainerStateTerminated(started_at=at(45)))))
    found = kept(done, [ran], WhyView("NoNodeFits", "No node has enough cpu.", at(41)))
    assert (found.reason, found.since, found.queued, found.pending) == ("NoNodeFits", at(41), 40, 5)
    assert found.sentence == "Waited 40 s for its tenant's turn and 5 s for its pod. No node has enough cpu."


def test_what_was_stopped_in_line_has_only_waited_for_its_turn() -> None:
    failed = Condition("Failed", "True", "Stopped", "", at(30))
    target = Condition("FailureTarget", "True", "Stopped", "", at(30))
    stopped = job(target, failed, suspend=True)
    found = kept(stopped, [], None)
    assert (found.reason, found.queued, found.pending) == ("TenantLimit", 30, None)


def test_after_a_crash_the_events_that_are_left_say_what_it_waited_for() -> None:
    case = known(job(), pod(phase="Failed"), events=[told("pod", "FailedScheduling", nodes("1 Insufficient cpu"))])
    found = obstacles.last_told(case)
    assert found is not None
    assert found.reason == Reason.NO_NODE_FITS
    assert obstacles.last_told(case, after=7) is None


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (119, "119 s"), (120, "2 min"), (7260, "2 h 1 min"), (200_000, "2 d")]
)
def test_lengths_of_time_are_said_as_people_say_them(seconds: float, text: str) -> None:
    assert span(seconds) == text
