"""Which state a job is in, and why: what its conditions and its pods say; pure. Every reader of jobs asks here."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from longshore.kinds.jobs import indexes
from longshore.kinds.jobs.failure import COUNTED, Cause, cause_of
from longshore.kinds.jobs.model import MAIN_CONTAINER, REASON_STOPPED, State, Status, attempts, condition, request_of
from longshore.kube.objects import Condition, ContainerStateTerminated, Job, Pod


def finished_main(pods: Iterable[Pod], *, failed: bool = False) -> ContainerStateTerminated | None:
    """How the user's container ended in the newest attempt in which it ended, or failed: of an indexed job that failed
    there may be newer ones that did not."""
    for pod in reversed(attempts(pods)):
        for status in pod.status.container_statuses:
            end = status.state.terminated
            if status.name == MAIN_CONTAINER and end and (not failed or end.exit_code or end.signal):
                return end
    return None


def settled(job: Job) -> Status | None:
    """The status where the Job alone says it, without its pods; cheap, for filters."""
    if condition(job.status.conditions, "Complete"):
        return Status.SUCCEEDED
    if failed := condition(job.status.conditions, "Failed"):
        return Status.STOPPED if failed.reason == REASON_STOPPED else Status.FAILED
    return Status.QUEUED if job.spec.suspend else None


def state_of(job: Job, pods: Iterable[Pod]) -> State:
    """The state that conditions and pods say, and why."""
    pods = tuple(pods)
    if condition(job.status.conditions, "Complete"):
        return State(Status.SUCCEEDED, "Completed", "The job ended with exit code 0.")
    failed = condition(job.status.conditions, "Failed")
    if failed:
        return _failure(job, failed, pods)
    ending = condition(job.status.conditions, "FailureTarget")
    if ending:
        running = Status.QUEUED if job.spec.suspend else Status.RUNNING
        reason = "Stopping" if ending.reason == REASON_STOPPED else ending.reason or "Ending"
        return State(running, reason, "Its pods are being ended.")
    if job.spec.suspend:
        return State(Status.QUEUED, "WaitingForTurn", "Waits until the tenant's limits allow it to start.")
    if any(p.status.phase == "Running" for p in pods):
        return State(Status.RUNNING, "Running", "The job is running.")
    coming = [p for p in pods if p.status.phase not in ("Succeeded", "Failed")]
    # Of those that ended some may never be counted: a policy ignores pods that were ended with their node.
    if not coming and len(pods) > job.status.succeeded + job.status.failed:
        return State(Status.RUNNING, "Finishing", "Its pod has ended, which Kubernetes has yet to record in the job.")
    return _pending(job, coming)


def _pending(job: Job, coming: Iterable[Pod]) -> State:
    for pod in coming:
        for c in pod.status.conditions:
            if c.type == "PodScheduled" and c.status == "False":
                return State(Status.PENDING, c.reason or "Unschedulable", c.message)
        for s in (*pod.status.init_container_statuses, *pod.status.container_statuses):
            if s.state.waiting and s.state.waiting.reason not in ("", "PodInitializing", "ContainerCreating"):
                return State(Status.PENDING, s.state.waiting.reason, s.state.waiting.message)
    if job.status.failed:
        return State(Status.PENDING, "Retrying", f"{job.status.failed} attempt(s) failed; the next one is starting.")
    return State(Status.PENDING, "Starting", "Admitted; its pod is not running yet.")


def _failure(job: Job, failed: Condition, pods: tuple[Pod, ...]) -> State:
    if failed.reason == REASON_STOPPED:
        return State(Status.STOPPED, REASON_STOPPED, failed.message or "Stopped on request.")
    if failed.reason == "DeadlineExceeded":
        return State(Status.FAILED, failed.reason, "The job ran longer than its timeout and was ended.")
    if failed.reason not in COUNTED:
        return _as_told(failed)
    if (fatal := _fatal(job, pods)) is None:
        return _as_told(failed)
    pod, cause = fatal
    index = indexes.number_of(pod)
    of_index = "" if index is None else f"Index {index}: "
    return State(Status.FAILED, cause.reason, of_index + cause.message)


def _fatal(job: Job, pods: Iterable[Pod]) -> tuple[Pod, Cause] | None:
    """The newest pod that tells what a failed job died of."""
    for pod in reversed(attempts(indexes.of_failed(job, pods))):
        if cause := cause_of([pod], MAIN_CONTAINER):
            return pod, cause
    return None


def failed_index(job: Job, pods: Iterable[Pod]) -> int | None:
    """The index that the message of a failed job names; None where it names none."""
    failed = condition(job.status.conditions, "Failed")
    fatal = _fatal(job, pods) if failed and failed.reason in COUNTED else None
    return indexes.number_of(fatal[0]) if fatal else None


def _as_told(failed: Condition) -> State:
    return State(Status.FAILED, failed.reason, failed.message)


def run_by(job: Job, pods: Iterable[Pod], refused: datetime | None = None) -> datetime | None:
    """When it must run by its own `schedule_to_start`; None where it names none, has run, or its turn has not come.

    `refused` is since when its pods are refused. Without that a job that has no pod is about to get one: that of
    another attempt, where the one before was taken from it, which nothing in the cluster tells any more.

    The time counts from its turn, which is when the Job controller sets startTime: waiting for the tenant's limits is
    not a matter of placement.
    """
    seconds, begun = request_of(job).schedule_to_start, job.status.start_time
    pods = tuple(pods)
    if seconds is None or begun is None or has_started(job, pods):
        return None
    # of a pod that went with its node nothing is left: the time of its successor counts from when that was made
    made = min((pod.metadata.creation_timestamp or begun for pod in pods), default=refused)
    return max(begun, made) + timedelta(seconds=seconds) if made else None


def has_started(job: Job, pods: Iterable[Pod]) -> bool:
    """Whether any of its pods ever ran."""
    counted = job.status.ready + job.status.succeeded + job.status.failed
    return counted > 0 or any(pod.status.phase in ("Running", "Succeeded", "Failed") for pod in pods)
