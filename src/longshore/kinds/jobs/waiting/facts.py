"""Brings together, from the stores, what is known about one job, for `why`; and remembers what no object tells.

`find` asks it for every record of a live job, so what is a tenant's or a cluster's is worked out once and kept for a
moment. `control` notes what its jobs wait for, so that the archived record can say it when the pod is gone.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from statistics import median

from msgspec import Struct
from msgspec.structs import replace

from longshore.kinds.jobs import model
from longshore.kinds.jobs.failure import Cause, lost
from longshore.kinds.jobs.model import State, Status
from longshore.kinds.jobs.places import TURN
from longshore.kinds.jobs.record import WhyView
from longshore.kinds.jobs.state import state_of
from longshore.kinds.jobs.view import finished_at
from longshore.kinds.jobs.waiting import obstacles, patience
from longshore.kinds.jobs.waiting.departed import Departed
from longshore.kinds.jobs.waiting.placement import Bookings, Room, rooms
from longshore.kinds.jobs.waiting.why import Idle, Known, Reason, Turn, Workload, in_line, kept, resumed_at, why_of
from longshore.kinds.tenants.admit import entry_for, excesses, use_of
from longshore.kinds.tenants.model import Tenant, namespace_of
from longshore.kube.objects import PERSISTENT_VOLUME_CLAIMS, Claim, Event, Job, Node, Pod
from longshore.kube.recent import Recent, age
from longshore.kube.store import PAGE_MAX, Overflowed, Store

CLAIMS = PERSISTENT_VOLUME_CLAIMS.read_as(Claim)
TURN_SECONDS = 1.0
ROOMS_SECONDS = 2.0
# what came so lately may be about to start
STARTS_WITHIN = timedelta(seconds=10)
SAMPLES = 50  # last durations kept of each tenant
MAX_NOTED = 50_000
# of these nothing is worth keeping: they say no more than the record's times
_PASSING = (Reason.COMING, Reason.ADMITTED, Reason.STARTING, Reason.RUNNING, Reason.STOPPING)


def workload_owner(workload: Workload) -> str | None:
    """Index of Workloads by the uid of the Job that they stand for."""
    return next((o.uid for o in workload.metadata.owner_references if o.controller and o.kind == "Job"), None)


class _Reckoned(Struct, frozen=True):
    """A turn, and as of when: the clock, and the tenant's version with the first of its line."""

    at: float
    stand: tuple[str, str]
    turn: Turn


class _Noted(Struct, frozen=True):
    """What a job waited for, and the version of the last Event that had been heard then."""

    view: WhyView
    heard: int


class Facts:
    """What both roles know. `others` are the running pods that are not in `pods`, for what they book of the nodes."""

    def __init__(
        self,
        *,
        jobs: Store[Job],
        pods: Store[Pod],
        tenants: Store[Tenant],
        events: Sequence[Recent],
        nodes: Store[Node],
        others: Store[Pod],
        claims: Store[Claim],
        start_within: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._jobs, self._pods, self._tenants = jobs, pods, tenants
        self._events, self._nodes, self._others, self._claims = events, nodes, others, claims
        self._start_within = start_within
        self._clock = clock
        # Kueue's, where it is installed
        self.workloads: Store[Workload] | None = None
        self._turns: dict[str, _Reckoned] = {}
        self._rooms: tuple[float, list[Room]] | None = None
        self._bookings: dict[Store[Pod], Bookings] = {}
        self._durations: dict[str, deque[float]] = {}
        self._noted: dict[str, _Noted] = {}
        self._lost: dict[str, Cause] = {}
        self.departed = Departed(jobs)

    def why(self, job: Job, pods: Sequence[Pod], state: State, now: datetime) -> WhyView | None:
        """Why this job does not run; what it waited for once it does; None when it is over."""
        if state.status.final:
            return None
        waits = model.waits(job)
        turn = self.turn(model.tenant_of(job), now) if waits else Turn()
        ahead, higher = self._ahead(job, turn) if waits else (0, 0)
        known = Known(
            job,
            pods,
            now,
            turn=turn,
            ahead=ahead,
            higher=higher,
            told=self.told,
            rooms=self.rooms,
            claim=lambda name: self._claims.get(name, job.metadata.namespace),
            workload=self._workload(job),
        )
        found = why_of(known, state, obstacles.of)
        until = patience.until(known, found, self._start_within) if found and state.status is Status.PENDING else None
        return replace(found, until=until) if found and until else found

    def told(self, uid: str) -> list[Event]:
        """The Events about an object, the newest first."""
        found = [event for store in self._events for event in store.by("object", uid)]
        return sorted(found, key=age, reverse=True) if len(found) > 1 else found

    def in_line(self, job: Job, now: datetime) -> WhyView:
        """Why this job would wait for its turn, which needs not exist yet."""
        turn = self.turn(model.tenant_of(job), now)
        ahead, higher = self._ahead(job, turn)
        tenant = self._tenants.get(model.tenant_of(job))
        if not ahead and tenant:
            own = excesses(tenant.spec.limits, use_of(tenant.status.admitted), entry_for(job))
            turn = replace(turn, excess=own, first="")
        return in_line(Known(job, (), now, turn, ahead, higher))

    def claim(self, name: str, namespace: str) -> Claim | None:
        return self._claims.get(name, namespace)

    def turn(self, tenant_name: str, now: datetime) -> Turn:
        """How it stands with a tenant's line; what is expected of it is at most a second old."""
        tenant = self._tenants.get(tenant_name)
        if tenant is None:
            return Turn()
        foremost = next(iter(self._jobs.page(TURN, tenant_name, limit=1).items), None)
        stand = (tenant.metadata.resource_version, foremost.metadata.uid if foremost else "")
        known = self._turns.pop(tenant_name, None)
        if known is None or known.stand != stand or self._clock() - known.at > TURN_SECONDS:
            known = _Reckoned(self._clock(), stand, self._turn(tenant, now))
        self._turns[tenant_name] = known
        if len(self._turns) > MAX_NOTED:
            del self._turns[next(iter(self._turns))]
        return known.turn

    def rooms(self) -> list[Room]:
        """The nodes and what is free of them, at most two seconds old."""
        if self._rooms is None or self._clock() - self._rooms[0] > ROOMS_SECONDS:
            self._rooms = (self._clock(), rooms(self._nodes.list(), list(self._bookings.values())))
        return self._rooms[1]

    def note(self, job: Job, pods: Sequence[Pod], now: datetime) -> WhyView | None:
        """What this job waits for now, which is remembered; the latest that says more than that it waits is kept."""
        if model.is_over(job):
            return None
        if gone := lost(model.attempts(pods), model.MAIN_CONTAINER):
            self._lost[job.metadata.uid] = gone
            if len(self._lost) > MAX_NOTED:
                del self._lost[next(iter(self._lost))]
        elif any(pod.status.phase == "Running" for pod in pods):
            self._lost.pop(job.metadata.uid, None)
        found = self.why(job, pods, state_of(job, pods), now)
        if found is not None and found.reason not in _PASSING:
            self._noted.pop(job.metadata.uid, None)
            self._noted[job.metadata.uid] = _Noted(found, self._heard(job, pods))
            if len(self._noted) > MAX_NOTED:
                del self._noted[next(iter(self._noted))]
        return found

    def kept(self, job: Job, pods: Sequence[Pod], now: datetime) -> WhyView:
        """What a job that is over had waited for, for its record: what was noted, or what Events told after that."""
        last = self._noted.get(job.metadata.uid)
        told = obstacles.last_told(Known(job, pods, now, told=self.told), after=last.heard if last else 0)
        if last is None:
            return kept(job, pods, told)
        # of the same cause what was noted says more
        return kept(job, pods, told if told and told.reason != last.view.reason else last.view)

    def _heard(self, job: Job, pods: Sequence[Pod]) -> int:
        """The version of the newest Event about a job and its pods."""
        told = (event for obj in (job, *pods) for event in self.told(obj.metadata.uid))
        return max((int(event.metadata.resource_version) for event in told), default=0)

    def lost(self, job: Job) -> Cause | None:
        """How an attempt of this job went with its node, if this process saw it."""
        return self._lost.get(job.metadata.uid)

    def forget(self, job: Job) -> None:
        self.departed.forget(job)
        self._lost.pop(job.metadata.uid, None)
        self._noted.pop(job.metadata.uid, None)

    async def follow(self, *, durations: bool) -> None:
        """Keep what is summed up true: what is booked of nodes and, for what is expected of those in line, how long
        jobs take. Lives until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for store in (self._pods, self._others):
                tasks.create_task(self._book(store))
            if durations:
                tasks.create_task(self._learn())

    async def _book(self, store: Store[Pod]) -> None:
        while True:
            async with store.subscribe() as changes:
                booked = self._bookings[store] = Bookings()
                for pod in changes.snapshot:
                    booked.change(None, pod)
                try:
                    while True:
                        for delta in await changes.next():
                            booked.change(delta.old, delta.new)
                            if delta.new is None and (last := delta.last or delta.old) is not None:
                                self.departed.went(last)
                except Overflowed:
                    continue

    async def _learn(self) -> None:
        while True:
            async with self._jobs.subscribe() as changes:
                done = [job for job in changes.snapshot if model.is_over(job)]
                for job in sorted(done, key=lambda j: finished_at(j) or model.EPOCH):
                    self._took(job)
                try:
                    while True:
                        for delta in await changes.next():
                            if delta.new and model.is_over(delta.new) and not (delta.old and model.is_over(delta.old)):
                                self._took(delta.new)
                except Overflowed:
                    self._durations.clear()

    def _took(self, job: Job) -> None:
        begun, ended = resumed_at(job), finished_at(job)
        if begun is not None and ended is not None and model.tenant_of(job):
            last = self._durations.setdefault(model.tenant_of(job), deque(maxlen=SAMPLES))
            last.append(max(0.0, (ended - begun).total_seconds()))

    def _ahead(self, job: Job, turn: Turn) -> tuple[int, int]:
        """How many of its tenant's jobs start before this one, and how many of these are of higher priority."""
        tenant, meta = model.tenant_of(job), job.metadata
        ahead = self._jobs.ahead(TURN, tenant, job)
        if not ahead or model.priority_of(job) >= turn.priority:
            return ahead, 0
        # one that came before all others of this priority
        foremost = replace(meta, name="", uid="", creation_timestamp=model.EPOCH, annotations=_priority_alone(job))
        return ahead, self._jobs.ahead(TURN, tenant, replace(job, metadata=foremost))

    def _turn(self, tenant: Tenant, now: datetime) -> Turn:
        name, admitted = tenant.metadata.name, tenant.status.admitted
        uids = frozenset(entry.uid for entry in admitted)
        line = self._jobs.page(TURN, name, limit=min(PAGE_MAX, len(uids) + 1)).items
        first = next((j for j in line if j.metadata.uid not in uids), None)
        excess = excesses(tenant.spec.limits, use_of(admitted), entry_for(first)) if first else ()
        last = self._durations.get(name, ())
        typical = median(last) if last else None
        called, priority = (model.request_of(first).name, model.priority_of(first)) if first else ("", 0)
        idle, ends = self._places(tenant, typical, now)
        return Turn(excess, called, priority, uids, ends, typical, len(last), idle)

    def _places(
        self, tenant: Tenant, typical: float | None, now: datetime
    ) -> tuple[tuple[Idle, ...], tuple[datetime, ...]]:
        """The admitted jobs that hold their place and cannot start, and when the others will end, if they take as long
        as the tenant's last jobs did."""
        idle, ends = [], []
        for entry in tenant.status.admitted:
            job = self._jobs.get(entry.name, namespace_of(tenant.metadata.name))
            begun = resumed_at(job) if job else None
            late = job is not None and begun is not None and now - begun > STARTS_WITHIN
            if stuck := self._stuck(job, now) if job is not None and late else None:
                idle.append(stuck)
            elif typical is not None:
                ends.append((begun or now) + timedelta(seconds=typical))
        return tuple(idle), tuple(sorted(ends))

    def _stuck(self, job: Job, now: datetime) -> Idle | None:
        if job.spec.suspend or job.status.ready:
            return None
        pods = self._pods.by("job", job.metadata.uid)
        found = self.why(job, pods, state_of(job, pods), now)
        stuck = found is not None and found.reason in patience.STUCK
        return Idle(model.request_of(job).name, found.reason) if found and stuck else None

    def _workload(self, job: Job) -> Workload | None:
        if self.workloads is None:
            return None
        return next(iter(self.workloads.by("job", job.metadata.uid)), None)


def _priority_alone(job: Job) -> dict[str, str]:
    found = job.metadata.annotations.get(model.ANNOTATION_PRIORITY)
    return {model.ANNOTATION_PRIORITY: found} if found else {}


def is_wanted(event: Event) -> bool:
    """Of the cluster's Events only those in tenants' namespaces are held."""
    return event.involved_object.namespace.startswith(namespace_of(""))
