"""How long a job may keep its place without running, where it says nothing of that itself; pure.

Else a job that can never start would hold one of its tenant's places for ever. `facts` tells it in `why`, by which
`reconcile` ends the job; decisions/0017 has the reasons.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from longshore.kinds.jobs.record import WhyView
from longshore.kinds.jobs.state import run_by
from longshore.kinds.jobs.view import finished_attempt
from longshore.kinds.jobs.waiting.placement import Room, asked
from longshore.kinds.jobs.waiting.why import Known, Reason
from longshore.kube.objects import Pod

STUCK = frozenset(
    (
        Reason.QUOTA,
        Reason.REFUSED,
        Reason.NO_NODE_FITS,
        Reason.TAINT,
        Reason.SELECTOR,
        Reason.UNSCHEDULABLE,
        Reason.CLAIM_MISSING,
        Reason.VOLUME,
        Reason.MOUNT,
        Reason.IMAGE,
        Reason.CONFIG,
    )
)
"""What keeps a job that has its turn, and of which nobody can say when it ends."""


def until(known: Known, found: WhyView, seconds: int) -> datetime | None:
    """When this job is ended if it does not run by then; None where it may wait. `seconds` is how long those may keep
    their place that name no `schedule_to_start`, 0 for ever.

    What would fit a node that others use now may wait, and so may what a node is being made for: room will come.
    """
    own = run_by(known.job, known.pods, found.since if found.reason in STUCK else None)
    if own is not None:
        return own
    coming = [pod for pod in known.pods if pod.status.phase not in ("Succeeded", "Failed")]
    if not seconds or found.reason not in STUCK or any(_at_work(pod) for pod in coming):
        return None
    if found.reason == Reason.NO_NODE_FITS and any(_would_fit(pod, known.rooms()) for pod in coming):
        return None
    times = [known.job.status.start_time, *(pod.metadata.creation_timestamp for pod in coming)]
    times += [finished_attempt(pod) for pod in known.pods]
    if not coming:
        times.append(found.since)  # nothing but the refusal is left to tell since when it has no pod
    begun = max((time for time in times if time is not None), default=None)
    return begun + timedelta(seconds=seconds) if begun else None


def _at_work(pod: Pod) -> bool:
    """Whether it runs, or what it needs is being fetched."""
    return pod.status.phase == "Running" or any(s.state.running for s in pod.status.init_container_statuses)


def _would_fit(pod: Pod, rooms: Sequence[Room]) -> bool:
    """Whether any node could take this pod if it were empty; that one of them tolerates it, the scheduler has said."""
    needs, labels = asked(pod.spec), pod.spec.node_selector.items()
    return any(
        room.open
        and all(room.labels.get(key) == value for key, value in labels)
        and all(need <= room.whole.get(name, 0.0) for name, need in needs.items() if need > 0)
        for room in rooms
    )
