"""What a caller sees of a job, live or archived: one record, the same fields at the same URL for life; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec

from longshore.errors import LongshoreError
from longshore.kinds.jobs import indexes, model
from longshore.kinds.jobs.failure import NEVER_RAN
from longshore.kinds.jobs.model import Status
from longshore.kinds.jobs.record import JobRecord, OutputsView, ResourcesView, WhyView
from longshore.kinds.jobs.state import finished_main, state_of
from longshore.kube.objects import Job, Pod

# of the log, kept in the record of a failure
TAIL_CHARACTERS = 2048


class Archived(Protocol):
    """What the archive's index keeps of a job, for lists."""

    @property
    def id(self) -> str: ...

    @property
    def kind(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def created(self) -> datetime: ...

    @property
    def finished(self) -> datetime | None: ...

    @property
    def status(self) -> str: ...

    @property
    def reason(self) -> str: ...

    @property
    def tags(self) -> dict[str, str]: ...

    @property
    def started(self) -> datetime | None: ...

    @property
    def message(self) -> str | None: ...


def record_of(
    job: Job,
    pods: Iterable[Pod],
    *,
    tenant_id: str,
    progress: dict[str, Any] | None = None,
    outputs: OutputsView | None = None,
    why: WhyView | None = None,
) -> JobRecord:
    """The record of a job that is in the cluster."""
    pods = model.attempts(pods)
    request = model.request_of(job)
    state = state_of(job, pods)
    foreign = not model.tenant_of(job)
    id = public_id(job, tenant_id)
    failed = state.status is Status.FAILED
    end = finished_main(indexes.of_failed(job, pods) if failed else pods, failed=failed)
    # pods of a job that was stopped or too late are gone by now; the Job has counted them
    ran = max(len(pods), job.status.active + job.status.succeeded + job.status.failed)
    return JobRecord(
        id=id,
        uid=job.metadata.uid,
        kind=model.kind_of(job),
        tenant=tenant_id,
        name=request.name,
        namespace=job.metadata.namespace,
        status=state.status,
        reason=state.reason,
        message=state.message,
        hint=hint_for(state.reason, id) if failed else None,
        created=job.metadata.creation_timestamp or model.EPOCH,
        started=started_at(pods) or (job.status.start_time if ran and not pods and model.is_over(job) else None),
        finished=finished_at(job),
        image=request.image,
        command=request.command,
        args=request.args,
        resources=ResourcesView(**msgspec.structs.asdict(request.resources)),
        priority=request.priority,
        indexes=indexes.seen(job, request, pods),
        tags=request.tags,
        exit_code=end.exit_code if end else None,
        attempts=ran,
        progress=None if state.status in (Status.QUEUED, Status.PENDING) else progress,
        why=why,
        outputs=outputs,
        log_tail=end.message[-TAIL_CHARACTERS:] if failed and end and end.reason not in NEVER_RAN else None,
        rerun_of=request.rerun_of,
        foreign=foreign,
        archived=model.is_released(job) and not foreign,
        links=links_of(id, foreign=foreign),
        resource_version=job.metadata.resource_version,
    )


def record_in(kept: bytes, id: str) -> JobRecord:
    """The record that the archive keeps of this job. Raises LongshoreError for one that cannot be read."""
    try:
        return msgspec.json.decode(kept, type=JobRecord)
    except msgspec.DecodeError as error:
        hint = "'longshore archive verify' names all that is damaged; restore it from a backup of the archive"
        raise LongshoreError(f"the record of {id} in the archive is damaged", hint=hint) from error


def summary_of(entry: Archived, tenant_id: str) -> dict[str, Any]:
    """What a list shows of an archived job; its record at `links.self` has the rest."""
    return {
        "id": entry.id,
        "kind": entry.kind,
        "tenant": tenant_id,
        "name": entry.name,
        "status": entry.status,
        "reason": entry.reason,
        "message": entry.message,
        "created": entry.created,
        "started": entry.started,
        "finished": entry.finished,
        "tags": entry.tags,
        "archived": True,
        "links": links_of(entry.id),
    }


def public_id(job: Job, tenant_id: str) -> str:
    """By which callers know it: the object's name, with its tenant and kind before it where others made it."""
    name = job.metadata.name
    return name if model.tenant_of(job) else f"{tenant_id}/{model.kind_of(job)}/{name}"


def links_of(id: str, *, foreign: bool = False) -> dict[str, str]:
    if foreign:
        return {"self": f"/v1/jobs/{id}", "stop": f"/v1/jobs/{id}/stop"}
    return {
        "self": f"/v1/jobs/{id}",
        "logs": f"/v1/jobs/{id}/logs",
        "artifacts": f"/v1/jobs/{id}/artifacts",
        "events": f"/v1/jobs/{id}/events",
        "stop": f"/v1/jobs/{id}/stop",
        "rerun": f"/v1/jobs/{id}/rerun",
    }


_NO_COMMAND = "check its command, and that its image has it and this user may run it; then submit it again"
_HINTS = {
    **dict.fromkeys((*NEVER_RAN, "CreateContainerError", "RunContainerError"), _NO_COMMAND),
    "OOMKilled": "it used more memory than it asked for: ask for more with resources.memory",
    "DeadlineExceeded": "raise its timeout, or make it do less",
    "Evicted": "it took more of the disk than it may, or its node ran short: the message says which",
    "ImagePull": "check the image's name, and with image_pull_secrets the credentials to pull it; then run it again",
    "NeedsRoot": "use an image that runs as user 1000: longshore runs nothing as root",
    "NodeLost": "its node went away: set retries, or run it again",
    "Preempted": "work of higher priority took its place: run it again",
    "Unschedulable": "ask for less, or give it longer with schedule_to_start: nodes may have to be made first",
    "InputsFailed": "see the log of its container longshore-fetch: add ?container=longshore-fetch",
}


def hint_for(reason: str, id: str) -> str:
    """What to do next about a failure."""
    return _HINTS.get(reason, f"its log says more: longshore logs {id}")


def started_at(pods: Sequence[Pod]) -> datetime | None:
    times = []
    for pod in pods:
        for status in pod.status.container_statuses:
            if status.name == model.MAIN_CONTAINER:
                for state in (status.state, status.last_state):
                    begun = state.running or state.terminated
                    ran = state.terminated is None or state.terminated.reason not in NEVER_RAN
                    if ran and begun is not None and begun.started_at is not None:
                        times.append(begun.started_at)
    return min(times, default=None)


def finished_at(job: Job) -> datetime | None:
    if job.status.completion_time is not None:
        return job.status.completion_time
    failed = model.condition(job.status.conditions, "Failed")
    return failed.last_transition_time if failed else None


def finished_attempt(pod: Pod) -> datetime | None:
    """When the user's container ended in this pod."""
    ends = (s.state.terminated for s in pod.status.container_statuses if s.name == model.MAIN_CONTAINER)
    return next((end.finished_at for end in ends if end is not None), None)
