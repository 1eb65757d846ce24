"""What to do next for one pod: from its spec, what is known of its containers, and the time; pure.

`worker` calls it after every event and at the time it asks for, and carries out what it returns. Source of the rules:
Kubernetes docs "Pod Lifecycle" and "Init Containers", KEP-753 for sidecars.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from longshore.cluster.node.attempts import Run
from longshore.cluster.node.model import Container, Pod, is_sidecar
from longshore.cluster.node.world import (
    Abandon,
    Action,
    Ending,
    Kill,
    Prepare,
    Start,
    Step,
    Stop,
    Stopping,
    View,
    World,
    backoff,
)

STEADY = timedelta(minutes=10)  # an attempt that ran so long wipes out the crashes before it
_SIDECAR_GRACE = timedelta(seconds=2)  # at least, when the pod's own grace is used up
_NODE_GRACE = timedelta(seconds=8)  # that pods get at most when their node stops
_VANISHED_GRACE = timedelta(seconds=2)
_EVICTED_GRACE = timedelta(seconds=1)  # the kubelet's immediateEvictionGracePeriodSeconds


def decide(pod: Pod, world: World, now: datetime) -> Step:
    """The next step of this pod."""
    if world.refused:
        return Step(is_over=True)
    ending = _ending(pod, world, now)
    if ending:
        return _wind_down(pod, world, ending, now)
    times = list(_times(pod, world, now))
    if not world.prepared:
        due = not world.preparing and (world.trouble is None or world.trouble.retry_at <= now)
        return Step((Prepare(),) if due else (), min(times, default=None))
    actions = tuple(_advance(pod, world, now))
    return Step(actions, min(times, default=None))


def restart_at(run: Run) -> datetime | None:
    """When an attempt that ended may be followed by another; None while it runs."""
    if run.end is None:
        return None
    crashes = 0 if run.end.at - run.started_at >= STEADY else run.attempt.crashes
    return run.end.at + (timedelta() if crashes == 0 else backoff(crashes))


def restarts(container: Container, pod: Pod, run: Run) -> bool:
    """Whether the restart policy wants another attempt after this one, which has ended."""
    if container in pod.spec.init_containers and not is_sidecar(container):
        policy = "Never" if pod.spec.restart_policy == "Never" else "OnFailure"
    else:
        policy = container.restart_policy or pod.spec.restart_policy
    return policy == "Always" or (policy == "OnFailure" and run.end is not None and run.end.code != 0)


def is_initialized(pod: Pod, world: World) -> bool:
    """Whether the main containers may run: once they have, whatever happens to the init containers."""
    if any(world.of(container).run for container in pod.spec.containers):
        return True
    return all(
        world.of(container).is_started if is_sidecar(container) else world.of(container).succeeded
        for container in pod.spec.init_containers
    )


def failed_init(pod: Pod, world: World) -> Container | None:
    """The init container whose failure is the pod's, if there is one."""
    for container in pod.spec.init_containers:
        run = world.of(container).run
        over = run is not None and run.end is not None and run.end.code != 0 and not restarts(container, pod, run)
        if over and not is_sidecar(container):
            return container
    return None


def _ending(pod: Pod, world: World, now: datetime) -> Ending | None:
    """Every reason limits the time; the pod's outcome is told by the one that came before its containers' own end."""
    grace = timedelta(seconds=pod.spec.termination_grace_period_seconds)
    finished, limit = _finished_at(pod, world), _deadline(pod, world)
    endings: list[Ending] = []
    if limit and limit <= now and not (finished and finished < limit):
        endings.append(Ending("DeadlineExceeded", limit + grace))
    if world.evicted and not (finished and finished < world.evicted.at):
        endings.append(Ending("Evicted", world.evicted.at + _EVICTED_GRACE))
    if world.node_stops_at and not (finished and finished < world.node_stops_at):
        endings.append(Ending("NodeStops", world.node_stops_at + min(grace, _NODE_GRACE)))
    if finished:
        limit = world.node_stops_at + _NODE_GRACE if world.node_stops_at else finished + grace
        endings.append(Ending("Finished", min(finished + grace, limit)))
    if pod.metadata.deletion_timestamp:
        # the time of the request plus the grace it gave, cut down to a whole second: nobody gets less than promised
        endings.append(Ending("Deleted", pod.metadata.deletion_timestamp + timedelta(seconds=1)))
    if world.vanished_at:
        endings.append(Ending("Deleted", world.vanished_at + _VANISHED_GRACE))
    if not endings:
        return None
    return Ending(endings[0].why, min(ending.deadline for ending in endings))


def _deadline(pod: Pod, world: World) -> datetime | None:
    seconds = pod.spec.active_deadline_seconds
    return None if seconds is None else world.started_at + timedelta(seconds=seconds)


def _finished_at(pod: Pod, world: World) -> datetime | None:
    """When the last main container ended for good, or the init container that failed the pod."""
    failed = failed_init(pod, world)
    runs = [world.of(container).run for container in ([failed] if failed else pod.spec.containers)]
    owners = [failed] if failed else list(pod.spec.containers)
    ends = [
        run.end.at
        for owner, run in zip(owners, runs, strict=True)
        if run is not None and run.end is not None and not restarts(owner, pod, run)
    ]
    return max(ends) if len(ends) == len(owners) else None


def _wind_down(pod: Pod, world: World, ending: Ending, now: datetime) -> Step:
    """Main containers first, all at once; then the sidecars one by one, last started first (KEP-753)."""
    actions: list[Action] = [Abandon("")] if world.preparing else []
    actions += [Abandon(c.name) for c in pod.containers if world.of(c).busy]
    sidecars = [c for c in pod.spec.init_containers if is_sidecar(c)]
    active = [c for c in pod.containers if c not in sidecars and world.of(c).is_running]
    extra = timedelta()
    if not active:
        active = [c for c in reversed(sidecars) if world.of(c).is_running][:1]
        extra = _SIDECAR_GRACE
    times: list[datetime] = []
    for container in active:
        stopping = world.of(container).stopping
        if stopping is None:
            actions.append(Stop(container.name, max(ending.deadline, now + extra)))
        elif not stopping.killed:
            due = _due(stopping, ending, extra)
            if due <= now:
                actions.append(Kill(container.name))
            else:
                times.append(due)
    return Step(tuple(actions), min(times, default=None), ending, is_over=not active and not actions)


def _due(stopping: Stopping, ending: Ending, extra: timedelta) -> datetime:
    """A second DELETE may have shortened the time."""
    return min(stopping.deadline, max(ending.deadline, stopping.at + extra))


def _advance(pod: Pod, world: World, now: datetime) -> Iterator[Action]:
    ready = is_initialized(pod, world)
    for container in pod.spec.init_containers:
        view = world.of(container)
        if is_sidecar(container) or not (ready or view.succeeded):
            yield from _keep(container, pod, view, now)
        if not ready and not (view.is_started if is_sidecar(container) else view.succeeded):
            return
    for container in pod.spec.containers:
        yield from _keep(container, pod, world.of(container), now)


def _keep(container: Container, pod: Pod, view: View, now: datetime) -> Iterator[Action]:
    """Start it, start it again, or end it because a probe says so."""
    if view.busy or (view.trouble and view.trouble.retry_at > now):
        return
    if view.run is None:
        yield Start(container.name)
    elif view.is_running:
        yield from _heal(container, pod, view, now)
    elif restarts(container, pod, view.run) and (at := restart_at(view.run)) and at <= now:
        yield Start(container.name)


def _heal(container: Container, pod: Pod, view: View, now: datetime) -> Iterator[Action]:
    if view.stopping is None and view.unhealthy:
        seconds = pod.spec.termination_grace_period_seconds if view.grace is None else view.grace
        yield Stop(container.name, now + timedelta(seconds=seconds))
    elif view.stopping and not view.stopping.killed and view.stopping.deadline <= now:
        yield Kill(container.name)


def _times(pod: Pod, world: World, now: datetime) -> Iterator[datetime]:
    """Every moment after `now` at which the decision could change by itself."""
    candidates = [_deadline(pod, world)]
    views = [world.of(container) for container in pod.containers]
    troubles = [trouble for trouble in (world.trouble, *(view.trouble for view in views)) if trouble]
    candidates += [time for trouble in troubles for time in (trouble.settles_at, trouble.retry_at)]
    candidates += [view.stopping.deadline for view in views if view.stopping]
    for container, view in zip(pod.containers, views, strict=True):
        if view.run and restarts(container, pod, view.run):
            candidates.append(restart_at(view.run))
    yield from (time for time in candidates if time and time > now)
