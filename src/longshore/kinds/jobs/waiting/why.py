"""Why a job does not run yet, in one sentence, since when, who is ahead, and when it may start; pure.

`facts` brings together what is known, and every record carries the answer. Each cause is read from where Kubernetes
or the tenant says it (docs/why.md lists where), none is guessed; `kinds.jobs.waiting.obstacles` has those of a pod.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from msgspec import Struct

from longshore.kinds.jobs import model
from longshore.kinds.jobs.model import State, Status
from longshore.kinds.jobs.record import EtaView, WhyView
from longshore.kinds.jobs.view import finished_at, started_at
from longshore.kinds.jobs.waiting.placement import Room
from longshore.kinds.tenants.admit import Excess
from longshore.kube.objects import Claim, Condition, Event, Job, Object, Pod

# so many measured ends make an expectation
MIN_SAMPLES = 3
# so many of those that hold places without running are called by name
NAMED = 3


class Reason(StrEnum):
    """Every word that `why.reason` may be while a job is not over."""

    STOPPING = "Stopping"
    SUSPENDED = "Suspended"
    TENANT_LIMIT = "TenantLimit"
    COMING = "TurnComing"
    ADMITTED = "Admitted"
    KUEUE = "WaitingForKueue"
    QUOTA = "QuotaExceeded"
    REFUSED = "PodRefused"
    SCALING_UP = "ScalingUp"
    NO_NODE_FITS = "NoNodeFits"
    TAINT = "UntoleratedTaint"
    SELECTOR = "NoMatchingNode"
    UNSCHEDULABLE = "Unschedulable"
    CLAIM_MISSING = "ClaimMissing"
    VOLUME = "VolumeUnbound"
    MOUNT = "MountFailed"
    IMAGE = "ImagePull"
    ROOT = "ImageRunsAsRoot"
    CONFIG = "ContainerConfig"
    BACKOFF = "RetryBackoff"
    STARTING = "Starting"
    RUNNING = "Running"


class WorkloadStatus(Struct, frozen=True, gc=False):
    conditions: tuple[Condition, ...] = ()


class Workload(Object, frozen=True):
    """kueue.x-k8s.io Workload: Kueue's side of a job that waits in one of its queues."""

    status: WorkloadStatus = WorkloadStatus()


class Idle(Struct, frozen=True, gc=False):
    """A job that holds a place of its tenant and cannot start: the name that people gave it, and what keeps it."""

    name: str
    reason: str


class Turn(Struct, frozen=True):
    """How it stands with a tenant's line: what keeps its first job from starting, and how long its jobs take.

    `first` is the name that people gave that job, `priority` what its own counts.
    `admitted` are uids, `ends` when what is admitted may be expected to end, soonest first, `typical` the median of
    the last `samples` durations in seconds. `idle` are those of the admitted that cannot start; they have no end.
    """

    excess: tuple[Excess, ...] = ()
    first: str = ""
    priority: int = 0
    admitted: frozenset[str] = frozenset()
    ends: tuple[datetime, ...] = ()
    typical: float | None = None
    samples: int = 0
    idle: tuple[Idle, ...] = ()


class Known(Struct, frozen=True):
    """What is known about one job. `told` gives the Events about an object by its uid, newest first."""

    job: Job
    pods: Sequence[Pod]
    now: datetime
    turn: Turn = Turn()
    ahead: int | None = None
    higher: int = 0  # of these, how many of higher priority
    told: Callable[[str], Sequence[Event]] = lambda _: ()
    rooms: Callable[[], Sequence[Room]] = tuple
    claim: Callable[[str], Claim | None] = lambda _: None
    workload: Workload | None = None


def why_of(known: Known, state: State, obstacle: Callable[[Known], WhyView]) -> WhyView | None:
    """Why this job does not run; what it waited for once it does; None when it is over. `obstacle` is that of its
    pod, `obstacles.of`."""
    job = known.job
    if state.status.final:
        return None
    ending = model.condition(job.status.conditions, "FailureTarget")
    if ending is not None:
        said = ending.message or "Its end was asked for."
        return WhyView(Reason.STOPPING, f"Its pods are being ended: {said}", ending.last_transition_time)
    if job.metadata.deletion_timestamp is not None:
        return WhyView(Reason.STOPPING, "It is being deleted, and its pods ended.", job.metadata.deletion_timestamp)
    if state.status is Status.RUNNING:
        return _running(known)
    if job.spec.suspend and model.LABEL_KIND not in job.metadata.labels:
        said = "It is suspended by whoever made it, which was not longshore."
        return WhyView(Reason.SUSPENDED, said, resumed_or_created(job))
    if job.spec.suspend and job.metadata.uid not in known.turn.admitted:
        return in_line(known)
    waits = _in_kueue(known.workload)
    if waits is not None:
        return waits
    if job.spec.suspend:
        return WhyView(Reason.ADMITTED, "Its turn has come; it is about to start.", resumed_or_created(job), 0)
    return obstacle(known)


def kept(job: Job, pods: Sequence[Pod], last: WhyView | None) -> WhyView:
    """What a job that is over had waited for: how long by its timestamps, for what by the last cause that is known."""
    queued, pending = waits(job, pods, finished_at(job))
    reason = last.reason if last else (Reason.TENANT_LIMIT if queued >= (pending or 0) else Reason.STARTING)
    told = f" {last.sentence}" if last else ""
    return WhyView(
        reason,
        f"{_waited(queued, pending)}.{told}",
        last.since if last else job.metadata.creation_timestamp,
        queued=queued,
        pending=pending,
    )


def waits(job: Job, pods: Sequence[Pod], end: datetime | None) -> tuple[float, float | None]:
    """Seconds from its creation until its turn came, and from then until it ran; up to `end` where that never came.
    When it ran is not known where none of the pods that the Job controller has counted is."""
    created = job.metadata.creation_timestamp or model.EPOCH
    turn = resumed_at(job)
    if turn is None:
        return _seconds(created, end or created), None
    unknown = not pods and job.status.succeeded + job.status.failed > 0
    ran = started_at(pods) or (None if unknown else end)
    return _seconds(created, turn), _seconds(turn, ran) if ran else None


def resumed_at(job: Job) -> datetime | None:
    """When it was last let go on; None for one that never was.

    Source: Kubernetes KEP-2232, the condition Suspended and startTime of a Job.
    """
    for found in job.status.conditions:
        if found.type == "Suspended":
            return found.last_transition_time if found.status == "False" else None
    ending = model.condition(job.status.conditions, "FailureTarget")
    never_ran = ending is not None and job.spec.suspend
    return None if never_ran else job.status.start_time


def resumed_or_created(job: Job) -> datetime | None:
    """Since when it stands where it stands: preempted work is back in line since then."""
    for found in job.status.conditions:
        if found.type == "Suspended" and found.last_transition_time is not None:
            return found.last_transition_time if job.status.start_time else job.metadata.creation_timestamp
    return job.metadata.creation_timestamp


def span(seconds: float) -> str:
    """A length of time as people say it: 12 s, 4 min, 3 h 5 min, 2 d."""
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{whole // 60} min"
    if whole < 172_800:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d"


def _running(known: Known) -> WhyView:
    queued, pending = waits(known.job, known.pods, None)
    since = started_at(known.pods)
    return WhyView(Reason.RUNNING, f"{_waited(queued, pending)}.", since, queued=queued, pending=pending)


def _waited(queued: float, pending: float | None) -> str:
    if pending is None:
        return f"Waited {span(queued)} for its tenant's turn"
    return f"Waited {span(queued)} for its tenant's turn and {span(pending)} for its pod"


def in_line(known: Known) -> WhyView:
    """Which limit of the tenant is in the way, and who is ahead."""
    turn, ahead = known.turn, known.ahead
    line = "" if ahead is None else f"{ahead} wait ahead" if ahead != 1 else "1 waits ahead"
    if known.higher:
        line += f", {known.higher} of them of higher priority (first {turn.first!r})"
    since = resumed_or_created(known.job)
    if not turn.excess:
        sentence = f"The tenant's limits have room, its turn is about to come{': ' if line else ''}{line}."
        return WhyView(Reason.COMING, sentence, since, ahead)
    limits = " and ".join(_limit(excess) for excess in turn.excess)
    sentence = f"Waits for the tenant's turn: {limits}{', ' if line else ''}{line}.{_idle(turn)}"
    return WhyView(Reason.TENANT_LIMIT, sentence, since, ahead, _eta(known))


def _idle(turn: Turn) -> str:
    """Who of those that have their turn makes no use of it."""
    if not turn.idle:
        return ""
    named = ", ".join(f"{idle.name!r} ({idle.reason})" for idle in turn.idle[:NAMED])
    more = f" and {len(turn.idle) - NAMED} more" if len(turn.idle) > NAMED else ""
    return f" {len(turn.idle)} of {len(turn.admitted)} places are held by jobs that cannot start: {named}{more}."


def _limit(excess: Excess) -> str:
    if excess.limit == "jobs":
        return f"{excess.used:g} of {excess.allowed:g} jobs are admitted"
    return f"{excess.used:g} of {excess.allowed:g} {excess.limit} are in use and the next asks for {excess.adds:g}"


def _eta(known: Known) -> EtaView | None:
    """When the jobs ahead will have ended, if each takes as long as this tenant's last ones did."""
    turn, ahead = known.turn, known.ahead
    if turn.typical is None or turn.samples < MIN_SAMPLES or not turn.ends or ahead is None:
        return None
    rounds, place = divmod(ahead, len(turn.ends))
    at = max(turn.ends[place], known.now) + timedelta(seconds=rounds * turn.typical)
    basis = (
        f"half of this tenant's last {turn.samples} jobs took {span(turn.typical)} or less; "
        f"{len(turn.ends)} run at once, {ahead} start before it"
    )
    if turn.idle:
        basis += f"; {len(turn.idle)} places are left out, as their jobs cannot start"
    return EtaView(at.replace(microsecond=0), basis)


def _in_kueue(workload: Workload | None) -> WhyView | None:
    """What Kueue says of a Workload that it has reserved no quota for, or not admitted.

    Source: Kueue docs, "Workload": conditions QuotaReserved and Admitted.
    """
    if workload is None or model.condition(workload.status.conditions, "Admitted"):
        return None
    told = [c for c in workload.status.conditions if c.type in ("QuotaReserved", "Admitted") and c.status == "False"]
    said = told[0].message if told else ""
    since = told[0].last_transition_time if told else workload.metadata.creation_timestamp
    sentence = f"Waits for Kueue: {said}" if said else "Waits for Kueue, which has not said why."
    return WhyView(Reason.KUEUE, sentence, since)


def _seconds(begin: datetime, end: datetime) -> float:
    return max(0.0, (end - begin).total_seconds())
