"""What ends a job for good, and what hides one that was deleted: patches that `commands` and reconcilers send; pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from longshore.kinds.jobs.model import (
    ANNOTATION_HIDDEN,
    DELETED,
    PURGED,
    REASON_STOPPED,
    is_over,
    is_purged,
    stop_requested,
)
from longshore.kube.objects import Job


def hide_patch(job: Job, now: datetime, message: str, *, purge: bool) -> dict[str, Any]:
    """Strategic merge patch of jobs/status, one write: nobody is shown this job any more, and it ends if it has not."""
    ends = is_over(job) or stop_requested(job)
    kept = PURGED if purge or is_purged(job) else DELETED
    metadata = {"uid": job.metadata.uid, "annotations": {ANNOTATION_HIDDEN: kept}}
    return {**({} if ends else stop_patch(job, now, message)), "metadata": metadata}


def stop_patch(job: Job, now: datetime, message: str, reason: str = REASON_STOPPED) -> dict[str, Any]:
    """Strategic merge patch of jobs/status that ends this job for good: FailureTarget with this reason.

    Mere suspension would never end and Kueue would undo it. A Job that never started needs a startTime too, or the
    Job controller's own write of Failed is refused by validation for ever.
    Source: Kubernetes KEP-3329 (FailureTarget), pkg/controller/job.
    """
    stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    target = {
        "type": "FailureTarget",
        "status": "True",
        "reason": reason,
        "message": message,
        "lastProbeTime": stamp,
        "lastTransitionTime": stamp,
    }
    status: dict[str, Any] = {"conditions": [target]}
    if job.status.start_time is None:
        status["startTime"] = stamp
    return {"metadata": {"uid": job.metadata.uid}, "status": status}
