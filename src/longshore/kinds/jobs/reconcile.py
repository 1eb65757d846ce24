"""What to do next about one job: end it when it is being deleted, archive it when it is over, then let it go; pure.

Admission (who may start) is decided per tenant, in `kinds.tenants.admit`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import ClassVar

from longshore.kinds.jobs import model
from longshore.kinds.jobs.failure import NEEDS_ROOT, UNSCHEDULABLE, Cause, obstacle
from longshore.kinds.jobs.pod import STOP_GRACE_SECONDS
from longshore.kinds.jobs.state import has_started
from longshore.kinds.jobs.stop import stop_patch
from longshore.kube.objects import JOBS, PODS, Job, Patch, Pod
from longshore.runtime.plan import Action, DeleteObject, Effect, PatchObject, Plan

# a stopped pod's sidecar gets this long to send what there is
STOPPED_POD_SECONDS = STOP_GRACE_SECONDS + 30
# longest wait for the last pods of a finished Job to report how they ended before the record is written without that
PODS_SETTLE_SECONDS = 120


class ArchiveJob(Effect, frozen=True):
    """Collect the logs of these pods, write the record and its index entry, read them back and compare."""

    job: Job
    pods: tuple[Pod, ...]
    deadline: ClassVar[float] = 3600.0  # seconds; a log of many gigabytes is copied at the pace of its kubelet


class HideEntry(Effect, frozen=True):
    """Show the archive's entry of this job no more: it was deleted before the archive had it."""

    job: Job


class PurgeJob(Effect, frozen=True):
    """Remove what the archive has of this job: it is to go without a trace."""

    job: Job


def plan(
    job: Job | None,
    pods: Sequence[Pod],
    now: datetime,
    *,
    ttl_seconds: int,
    until: datetime | None = None,
    lost: Cause | None = None,
) -> Plan:
    """Next actions for one job; nothing for what is gone, or released and not to be purged.

    `until` is when its place is taken from it if it does not run by then, `lost` how an attempt went with its node,
    which its pods tell no more.
    """
    if job is None:
        return Plan()
    if model.FINALIZER not in job.metadata.finalizers:
        return Plan(_vanish(job) if model.is_over(job) and model.is_purged(job) else ())
    if model.is_over(job):
        return _archive(job, pods, now, ttl_seconds)
    if job.metadata.deletion_timestamp is not None and not model.stop_requested(job):
        return Plan((stop(job, now, "Deleted while it was not over; stopped."),))
    if model.stop_requested(job):
        return Plan(tuple(_hurry(pod) for pod in pods if _lingers(pod)))
    return _begin(job, pods, now, until, lost)


def _begin(job: Job, pods: Sequence[Pod], now: datetime, until: datetime | None, lost: Cause | None) -> Plan:
    """End a job that cannot start: because its image insists on root, or because it was to run by now."""
    if job.spec.suspend:
        return Plan()
    cause = obstacle(pods)
    if cause is not None and cause.reason == NEEDS_ROOT and not has_started(job, pods):
        return Plan((stop(job, now, cause.message, cause.reason),))
    if until is None:
        return Plan()
    left = (until - now).total_seconds()
    if left > 0:
        return Plan(requeue_after=left)
    cause = cause or Cause(UNSCHEDULABLE, "Nothing says what kept it.")
    why = f"{_late(job, pods)} {cause.message}"
    if lost is not None:
        return Plan((stop(job, now, f"{lost.message.rstrip('.')}. No attempt could start since. {why}", lost.reason),))
    return Plan((stop(job, now, why, cause.reason),))


def _late(job: Job, pods: Sequence[Pod]) -> str:
    own = model.request_of(job).schedule_to_start
    if own is None or has_started(job, pods):
        return "It kept its place for too long without running."
    return f"It did not run within {own} s of its turn."


def stop(job: Job, now: datetime, message: str, reason: str = model.REASON_STOPPED) -> PatchObject:
    """Ask the Job controller to end this job for good."""
    return PatchObject(
        JOBS,
        job.metadata.name,
        job.metadata.namespace,
        stop_patch(job, now, message, reason),
        type=Patch.STRATEGIC,
        subresource="status",
        uid=job.metadata.uid,
    )


def _archive(job: Job, pods: Sequence[Pod], now: datetime, ttl_seconds: int) -> Plan:
    ended = model.ended_at(job, now)
    unsettled = any(p.status.phase in ("Pending", "Running") for p in pods)
    if unsettled and now - ended < timedelta(seconds=PODS_SETTLE_SECONDS):
        # the sidecar may still be sending outputs; a pod's change wakes this key, the timer is only the bound
        hurry = tuple(_hurry(pod) for pod in pods if model.stop_requested(job) and _lingers(pod))
        return Plan(hurry, requeue_after=PODS_SETTLE_SECONDS)
    hidden = (HideEntry(job),) if model.is_hidden(job) else ()
    gone = _vanish(job) if model.is_purged(job) else ()
    return Plan((ArchiveJob(job, tuple(pods)), *hidden, release(job, ttl_seconds), *gone))


def _vanish(job: Job) -> tuple[Action, ...]:
    """The purge before the object, whose annotation says that it is still to be done. It comes after the release, so
    that no archiving of this job can follow it."""
    if job.metadata.deletion_timestamp is not None:
        return (PurgeJob(job),)
    return (PurgeJob(job), DeleteObject(JOBS, job.metadata.name, job.metadata.namespace, uid=job.metadata.uid))


def release(job: Job, ttl_seconds: int) -> Action:
    """One patch that drops the finalizer and starts the TTL, never earlier: a TTL deletes in the foreground and
    would take the pods, and their logs, while the finalizer holds only the Job."""
    left = [f for f in job.metadata.finalizers if f != model.FINALIZER]
    return PatchObject(
        JOBS,
        job.metadata.name,
        job.metadata.namespace,
        {"metadata": {"finalizers": left}, "spec": {"ttlSecondsAfterFinished": ttl_seconds}},
        uid=job.metadata.uid,
        resource_version=job.metadata.resource_version,
    )


def _lingers(pod: Pod) -> bool:
    grace = pod.metadata.deletion_grace_period_seconds
    return pod.metadata.deletion_timestamp is not None and grace is not None and grace > STOPPED_POD_SECONDS


def _hurry(pod: Pod) -> Action:
    """A second DELETE shortens the grace of a pod that is already ending."""
    return DeleteObject(
        PODS,
        pod.metadata.name,
        pod.metadata.namespace,
        uid=pod.metadata.uid,
        grace_period_seconds=STOPPED_POD_SECONDS,
    )
