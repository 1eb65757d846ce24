"""The real reason of a failure wins over the Job controller's count, and what cannot start says what keeps it."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from tests.unit.kinds import workloads
from tests.unit.kinds.workloads import T0 as NOW
from tests.unit.kinds.workloads import ended, pod, waits

from longshore.archive.log_chunk import Chunk
from longshore.kinds.jobs.archiver import tail_of
from longshore.kinds.jobs.failure import obstacle
from longshore.kinds.jobs.happened import happened
from longshore.kinds.jobs.model import EPOCH, Status
from longshore.kinds.jobs.reconcile import plan
from longshore.kinds.jobs.request import JobRequest
from longshore.kinds.jobs.state import run_by, state_of
from longshore.kinds.jobs.view import record_of
from longshore.kube.objects import (
    Condition,
    ContainerState,
    ContainerStateTerminated,
    ContainerStatus,
    Job,
    Pod,
)
from longshore.runtime.plan import PatchObject, Plan
from longshore.services import open_archive

COUNTED = Condition("Failed", "True", reason="BackoffLimitExceeded", message="Job has reached the backoff limit")


def job(*conditions: Condition, started: datetime | None = None, **fields: int) -> Job:
    request = JobRequest(name="n", image="i", **fields)  # type: ignore[arg-type]
    return workloads.job(*conditions, request=request, started=started)


def disrupted(reason: str, message: str = "") -> Condition:
    return Condition("DisruptionTarget", "True", reason=reason, message=message)


PRESSURE = "The node was low on resource: ephemeral-storage."


@pytest.mark.parametrize(
    ("pods", "reason", "told"),
    [
        ([pod("Failed", ended(3))], "Error", "exit code 3"),
        ([pod("Failed", ended(137, "OOMKilled"))], "OOMKilled", "memory"),
        ([pod("Failed", ended(137), reason="Evicted", message=PRESSURE)], "Evicted", PRESSURE),
        ([pod("Failed", ended(143), conditions=(disrupted("DeletionByTaintManager", "bad"),))], "NodeLost", "bad"),
        ([pod("Running", conditions=(disrupted("DeletionByPodGC"),))], "NodeLost", "DeletionByPodGC"),
        ([pod("Failed", reason="NodeShutdown", message="shut down")], "NodeLost", "shut down"),
        ([pod("Failed", ended(0, "Completed"), conditions=(disrupted("PreemptionByScheduler"),))], "Preempted", ""),
        ([pod("Pending", waits("ImagePullBackOff", "no such image"))], "ImagePull", "no such image"),
        # of an indexed job the newest may have done well
        ([pod("Failed", ended(4), age=9), pod("Succeeded", ended(0, "Completed"))], "Error", "exit code 4"),
        ([pod("Failed", ended(1), age=9), pod("Failed", ended(137, "OOMKilled"), age=1)], "OOMKilled", "memory"),
        ([], "BackoffLimitExceeded", "backoff limit"),
    ],
)
def test_the_pods_own_reason_wins(pods: list[Pod], reason: str, told: str) -> None:
    state = state_of(job(COUNTED), pods)
    assert (state.status, state.reason) == (Status.FAILED, reason)
    assert told in state.message


RUNTIME = 'exec: "nosuchcmd": executable file not found in $PATH: unknown'


@pytest.mark.parametrize(("code", "reason"), [(128, "StartError"), (127, "ContainerCannotRun")])
def test_a_command_that_never_ran_is_not_said_to_have_ended_or_to_have_a_log(code: int, reason: str) -> None:
    # containerd gives such a container the epoch as its start
    end = ContainerStateTerminated(code, 0, reason, f"{RUNTIME}\n", started_at=EPOCH, finished_at=NOW)
    never = ContainerStatus("main", state=ContainerState(terminated=end))
    record = record_of(job(COUNTED), [pod("Failed", never)], tenant_id="a")
    assert (record.reason, record.message) == (reason, f"Its command could not be started: {RUNTIME}")
    assert (record.started, record.log_tail) == (None, None)
    assert record.hint is not None
    assert "its command" in record.hint
    assert "longshore logs" not in record.hint
    events = happened(job(COUNTED), [pod("Failed", never)], lambda _: []).items
    said = [(each.reason, each.message) for each in events if each.source.startswith("pod")]
    assert (reason, f"main: Its command could not be started: {RUNTIME}") in said
    assert "ContainerStarted" not in dict(said)


def test_a_runtime_that_says_nothing_of_a_command_that_never_ran_is_said_to() -> None:
    state = state_of(job(COUNTED), [pod("Failed", ended(128, "StartError"))])
    assert state.message == "Its command could not be started: the runtime does not say why."


def test_what_longshore_ended_it_for_stands_whatever_its_pods_say_afterwards() -> None:
    told = Condition("Failed", "True", reason="Unschedulable", message="0/1 nodes are available")
    state = state_of(job(told), [pod("Failed", ended(143))])
    assert (state.reason, state.message) == ("Unschedulable", "0/1 nodes are available")


def test_a_record_of_a_failure_has_the_code_and_the_last_2_kib_of_that_attempt() -> None:
    pods = [pod("Failed", ended(4, message="x" * 3000 + "end"), age=9), pod("Succeeded", ended(0, "Completed"))]
    record = record_of(job(COUNTED), pods, tenant_id="a")
    assert record.exit_code == 4
    assert record.log_tail is not None
    assert (len(record.log_tail), record.log_tail[-3:]) == (2048, "end")
    retried = [pod("Failed", ended(4), age=9), pod("Succeeded", ended(0))]
    assert record_of(job(Condition("Complete", "True")), retried, tenant_id="a").exit_code == 0


def test_what_is_not_placed_in_time_is_ended_with_what_kept_it_and_not_before() -> None:
    stuck = Condition("PodScheduled", "False", reason="Unschedulable", message="0/1 nodes are available: too small.")
    pods = [pod("Pending", conditions=(stuck,))]
    waiting = job(started=NOW, schedule_to_start=60)
    until = run_by(waiting, pods)
    assert plan(waiting, pods, NOW + timedelta(seconds=20), ttl_seconds=60, until=until) == Plan(requeue_after=40)
    (action,) = plan(waiting, pods, NOW + timedelta(seconds=60), ttl_seconds=60, until=until).actions
    assert isinstance(action, PatchObject)
    (target,) = action.patch["status"]["conditions"]
    assert (target["type"], target["status"], target["reason"]) == ("FailureTarget", "True", "Unschedulable")
    assert "within 60 s" in target["message"]
    assert "too small" in target["message"]
    pulling = [pod("Pending", waits("ErrImagePull", "no such image"))]
    (action,) = plan(waiting, pulling, NOW + timedelta(seconds=61), ttl_seconds=60, until=until).actions
    assert isinstance(action, PatchObject)
    assert action.patch["status"]["conditions"][0]["reason"] == "ImagePull"


@pytest.mark.parametrize(
    ("waiting", "pods"),
    [
        (job(started=NOW), [pod("Pending")]),
        (job(started=NOW, schedule_to_start=60), [pod("Running")]),
        (job(started=NOW, schedule_to_start=60), [pod("Failed", ended(3), age=9), pod("Pending")]),
        (job(schedule_to_start=60), []),
        (job(started=NOW, schedule_to_start=60), []),  # its pod is about to be made, the first or after another one
    ],
)
def test_what_ran_once_or_has_no_such_time_waits_for_however_long(waiting: Job, pods: list[Pod]) -> None:
    until = run_by(waiting, pods)
    assert plan(waiting, pods, NOW + timedelta(days=9), ttl_seconds=60, until=until) == Plan()


def test_an_image_that_insists_on_root_ends_the_job_at_once() -> None:
    told = "container has runAsNonRoot and image will run as root"
    (action,) = plan(
        job(started=NOW), [pod("Pending", waits("CreateContainerConfigError", told))], NOW, ttl_seconds=60
    ).actions
    assert isinstance(action, PatchObject)
    (target,) = action.patch["status"]["conditions"]
    assert target["reason"] == "NeedsRoot"
    assert told in target["message"]


def test_a_container_that_is_only_being_made_is_no_obstacle() -> None:
    assert obstacle([pod("Pending", waits("ContainerCreating"))]) is None


async def test_where_no_kubelet_told_the_end_of_the_log_it_is_taken_from_what_was_collected(tmp_path: Path) -> None:
    archive, lost = open_archive(tmp_path.as_uri()), job(COUNTED)
    text, stamp = b"x" * 3000 + b"\nlast words\n", b"2026-01-01T00:00:00Z"
    for stream in ("20260101T000000Z.abc.main", "20260101T000000Z.abc.longshore-send"):
        await archive.logs.append("a", "j1", stream, Chunk(0, text, [stamp, stamp]))
    sizes = {f"20260101T000000Z.abc.{container}": len(text) for container in ("main", "longshore-send")}
    tail = await tail_of(archive, lost, sizes)
    assert tail is not None
    assert (len(tail), tail.endswith("x\nlast words\n")) == (2048, True)
    assert await tail_of(archive, lost, {}) is None


async def test_the_last_lines_are_those_of_the_index_that_failed_where_logs_say_whose_they_are(tmp_path: Path) -> None:
    archive, stamp = open_archive(tmp_path.as_uri()), b"2026-01-01T00:00:00Z"
    logs = {"20260101T000000Z.abc.1.main": b"of 1\n", "20260101T000009Z.def.2.main": b"of 2\n"}
    for stream, text in logs.items():
        await archive.logs.append("a", "j1", stream, Chunk(0, text, [stamp]))
    sizes = {stream: len(text) for stream, text in logs.items()}
    assert [await tail_of(archive, job(COUNTED), sizes, index) for index in (1, 2, 3, None)] == [
        "of 1\n",
        "of 2\n",
        None,
        "of 2\n",
    ]
    await archive.logs.append("a", "j1", "20260101T000000Z.abc.main", Chunk(0, b"of old\n", [stamp]))
    assert await tail_of(archive, job(COUNTED), {"20260101T000000Z.abc.main": 7}, 1) == "of old\n"
