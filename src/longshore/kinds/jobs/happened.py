"""What happened to a job, in order: merged from its conditions, its pods and the Events about them; pure.

`find` answers with it while the job lives, the archiver keeps it in the record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from msgspec import Struct

from longshore.kinds.jobs import model
from longshore.kinds.jobs.failure import NEVER_RAN, not_started
from longshore.kinds.jobs.record import EventView
from longshore.kinds.jobs.waiting.why import resumed_at
from longshore.kube.objects import Condition, ContainerStatus, Event, Job, Pod

MOST = 200
NORMAL, WARNING = "Normal", "Warning"
_OF_JOB = {"Complete": NORMAL, "Failed": WARNING, "FailureTarget": WARNING, "Suspended": NORMAL}
_GONE = "It has ended: none of its pods is left running."
_OF_POD = {"PodScheduled": NORMAL, "DisruptionTarget": WARNING}


class Happened(Struct, frozen=True):
    """The newest `MOST`, oldest first, and how many before these were left out."""

    items: tuple[EventView, ...]
    left_out: int = 0


def happened(job: Job, pods: Sequence[Pod], told: Callable[[str], Sequence[Event]]) -> Happened:
    """`told` gives the Events about an object by its uid."""
    found = [*_of_job(job), *_of_events("job", told(job.metadata.uid))]
    for pod in model.attempts(pods):
        found += [*_of_pod(pod), *_of_events(f"pod {pod.metadata.name}", told(pod.metadata.uid))]
    # sorting keeps the order of what has the same time, which is in whole seconds
    found.sort(key=lambda event: event.at)
    return Happened(tuple(found[-MOST:]), max(0, len(found) - MOST))


def _of_job(job: Job) -> Iterator[EventView]:
    created = job.metadata.creation_timestamp
    if created is not None:
        yield EventView(created, NORMAL, "Accepted", "The job was taken in.", "job")
    held = model.tenant_of(job) or any(found.type == "Suspended" for found in job.status.conditions)
    if held and (begun := resumed_at(job)):  # also where the Job controller has not seen that it was held
        yield EventView(begun, NORMAL, "Started", "Its turn came: it was let go on.", "job")
    for found in job.status.conditions:
        type_ = _OF_JOB.get(found.type)
        if found.last_transition_time is None or type_ is None:
            continue
        if found.type == "Suspended" and found.status == "True" and job.status.start_time is not None:
            yield EventView(found.last_transition_time, NORMAL, "Suspended", "It was put back in line.", "job")
        elif found.type != "Suspended" and found.status == "True":
            decided = model.condition(job.status.conditions, "FailureTarget") if found.type == "Failed" else None
            said = _GONE if decided and decided.message == found.message else _ended(found)
            yield EventView(found.last_transition_time, type_, found.reason or found.type, said, "job")


def _ended(found: Condition) -> str:
    said = {"Complete": "The job ended well.", "Failed": "The job failed.", "FailureTarget": "Its end was decided."}
    return found.message or said[found.type]


def _of_pod(pod: Pod) -> Iterator[EventView]:
    source = f"pod {pod.metadata.name}"
    created = pod.metadata.creation_timestamp
    if created is not None:
        yield EventView(created, NORMAL, "PodCreated", "An attempt began.", source)
    for found in pod.status.conditions:
        if found.type not in _OF_POD or found.last_transition_time is None:
            continue
        if found.type == "PodScheduled" and found.status == "True":
            said = f"It goes to node {pod.spec.node_name}."
            yield EventView(found.last_transition_time, NORMAL, "Scheduled", said, source)
        elif found.type == "PodScheduled":
            yield EventView(found.last_transition_time, WARNING, found.reason, found.message, source)
        elif found.status == "True":
            yield EventView(found.last_transition_time, WARNING, found.reason or found.type, found.message, source)
    for status in (*pod.status.init_container_statuses, *pod.status.container_statuses):
        yield from _of_container(status, source)


def _of_container(status: ContainerStatus, source: str) -> Iterator[EventView]:
    for state in (status.last_state, status.state):
        begun = state.running or state.terminated
        ran = state.terminated is None or state.terminated.reason not in NEVER_RAN
        if ran and begun is not None and begun.started_at is not None:
            yield EventView(begun.started_at, NORMAL, "ContainerStarted", f"{status.name} began.", source)
        end = state.terminated
        if end is not None and end.finished_at is not None:
            bad = end.exit_code or end.signal
            how = f"signal {end.signal}" if end.signal else f"exit code {end.exit_code}"
            reason = end.reason or ("Error" if bad else "Completed")
            what = f"{status.name} ended with {how}." if ran else f"{status.name}: {not_started(end)}"
            yield EventView(end.finished_at, WARNING if bad else NORMAL, reason, what, source)


def _of_events(source: str, events: Sequence[Event]) -> Iterator[EventView]:
    for event in events:
        at: datetime | None = event.last
        if at is not None:
            yield EventView(at, event.type or NORMAL, event.reason, event.message, source, event.times)
