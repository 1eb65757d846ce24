"""What a caller sees of a task: the status document of seed 3, from a Job, a record, or what the service runs; pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any

from msgspec import Struct

from longshore.kinds.jobs import model as jobs
from longshore.kinds.jobs.record import JobRecord
from longshore.kinds.jobs.state import state_of
from longshore.kinds.jobs.view import finished_at
from longshore.kinds.tasks.model import Mode
from longshore.kube.objects import Job, Pod


class Word(StrEnum):
    """The states that this API knows."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    NOT_FOUND = "NotFound"
    ERROR = "Error"

    @property
    def final(self) -> bool:
        return self in (Word.SUCCEEDED, Word.FAILED)


WORDS = {
    jobs.Status.QUEUED: Word.PENDING,
    jobs.Status.PENDING: Word.PENDING,
    jobs.Status.RUNNING: Word.RUNNING,
    jobs.Status.SUCCEEDED: Word.SUCCEEDED,
    jobs.Status.FAILED: Word.FAILED,
    jobs.Status.STOPPED: Word.FAILED,
}


class PodStatus(Struct, frozen=True):
    """One attempt."""

    name: str
    phase: str
    node: str = ""
    start_time: datetime | None = None
    reason: str = ""


class TaskStatus(Struct, frozen=True, kw_only=True):
    """The status document. The numbers count pods, as a Job's own status does."""

    name: str
    namespace: str = ""
    status: Word
    reason: str = ""
    message: str = ""
    hint: str | None = None
    start_time: datetime | None = None
    completion_time: datetime | None = None
    succeeded: int = 0
    failed: int = 0
    active: int = 0
    ready: int = 0
    pods: tuple[PodStatus, ...] = ()

    def news(self) -> dict[str, Any]:
        """What a socket is told at a change."""
        return {"status": self.status, "name": self.name, "reason": self.reason, "message": self.message}


class TaskView(Struct, frozen=True, kw_only=True):
    """One task, whoever runs it."""

    task_id: str
    job_name: str
    mode: Mode
    status: Word
    reason: str = ""
    message: str = ""
    attempts: int = 0
    created: datetime
    started: datetime | None = None
    finished: datetime | None = None
    progress: dict[str, Any] | None = None

    def document(self) -> dict[str, Any]:
        links = {
            "status": f"/api/task-status?job_name={self.task_id}",
            "socket": f"/ws/task-status/{self.task_id}",
            "logs": f"/api/tasks/{self.task_id}/logs",
            "comparison": f"/api/tasks/{self.task_id}/comparison",
        }
        return {**{name: getattr(self, name) for name in self.__struct_fields__}, "links": links}

    def update(self) -> dict[str, Any]:
        """The data of a task_update."""
        told = self.progress or {"progress": None, "stage": "", "message": ""}
        return {"status": self.status, "reason": self.reason, **told, "message": told["message"] or self.message}


def of_job(job: Job, pods: Iterable[Pod]) -> TaskStatus:
    """Failed only when the Job's condition says so: `failed > 0` with retries left is a task that still runs."""
    pods = jobs.attempts(pods)
    state = state_of(job, pods)
    return TaskStatus(
        name=job.metadata.name,
        namespace=job.metadata.namespace,
        status=WORDS[state.status],
        reason=state.reason,
        message=state.message,
        start_time=job.status.start_time,
        completion_time=finished_at(job),
        succeeded=job.status.succeeded,
        failed=job.status.failed,
        active=job.status.active,
        ready=job.status.ready,
        pods=tuple(_pod(pod) for pod in pods),
    )


def of_record(record: JobRecord) -> TaskStatus:
    """Of a job whose object is gone."""
    word = WORDS[record.status]
    succeeded = int(word is Word.SUCCEEDED)
    return TaskStatus(
        name=record.id,
        namespace=record.namespace,
        status=word,
        reason=record.reason,
        message=record.message,
        hint=record.hint,
        start_time=record.started,
        completion_time=record.finished,
        succeeded=succeeded,
        failed=max(0, record.attempts - succeeded),
    )


def not_found(name: str, namespace: str = "") -> TaskStatus:
    return TaskStatus(
        name=name[:253],
        namespace=namespace,
        status=Word.NOT_FOUND,
        message=f"There is no job {name[:64]!r} here.",
        hint="check the name and the namespace",
    )


def error(name: str, message: str, namespace: str = "") -> TaskStatus:
    hint = "the task itself goes on; ask again in a moment"
    return TaskStatus(name=name[:253], namespace=namespace, status=Word.ERROR, message=message, hint=hint)


def _pod(pod: Pod) -> PodStatus:
    ended = next((s.state.terminated for s in pod.status.container_statuses if s.state.terminated), None)
    reason = pod.status.reason or (ended.reason if ended else "")
    return PodStatus(pod.metadata.name, pod.status.phase, pod.spec.node_name, pod.status.start_time, reason)


def progress_of(told: dict[str, Any] | None) -> dict[str, Any] | None:
    """How far a task says it is, in the seed's words."""
    if told is None:
        return None
    return {"progress": told.get("fraction"), "stage": told.get("stage", ""), "message": told.get("message", "")}
