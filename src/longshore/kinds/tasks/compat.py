"""The REST half of seed 3: /api/tasks and /api/task-status. `sockets` has the other half, `desk` what both work with.

Fields and words are the seed's: a status that is NotFound or Error comes in the status document (404, 503), so that a
page which polls reads one shape; every other refusal is a problem document as everywhere.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
import structlog
from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from longshore.errors import LongshoreError
from longshore.kinds.jobs.logs import answer as log
from longshore.kinds.tasks.desk import Desk, Made, ReadyDesk, TaskDesk
from longshore.kinds.tasks.model import Asked, Mode
from longshore.kinds.tasks.view import TaskStatus, Word
from longshore.web.answers import answer
from longshore.web.auth import Caller, Who

router = APIRouter(prefix="/api", tags=["tasks"])
talk = structlog.get_logger(__name__)

_Id = Annotated[str, Field(min_length=1, max_length=200, description="Of the pipeline run; part of the Job's name.")]
_Parameter = Annotated[str, Field(pattern="^[A-Za-z_][A-Za-z0-9_]*$", max_length=100)]
_Value = Annotated[str, Field(max_length=4096, pattern=r"^[^\x00]*$")]
RETRY_AFTER = {"Retry-After": "2"}


class TaskInput(BaseModel):
    """A task to run from the operator's template."""

    model_config = ConfigDict(extra="forbid")
    pipeline_run_id: _Id
    parameters: dict[_Parameter, _Value] = Field(
        {}, max_length=100, description="Seen by the command as environment variables TASK_PARAM_<NAME>."
    )
    heartbeat: bool | None = Field(
        None, description="Whether it promises heartbeats: silent for too long, it is ended and tried again."
    )

    def asked(self) -> Asked:
        return Asked(self.pipeline_run_id, None, self.parameters, self.heartbeat)


class CommissionInput(BaseModel):
    """A donation to process; the same donation is the same task, however often it is sent."""

    model_config = ConfigDict(extra="forbid")
    donation_id: _Id
    pipeline_run_id: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    parameters: dict[_Parameter, _Value] = Field({}, max_length=100)
    heartbeat: bool | None = None

    def asked(self) -> Asked:
        return Asked(self.pipeline_run_id or self.donation_id, self.donation_id, self.parameters, self.heartbeat)


class Beat(BaseModel):
    """A sign of life, with how far the task is where it knows."""

    model_config = ConfigDict(extra="forbid")
    progress: float | None = Field(None, ge=0, le=1, description="From 0 to 1.")
    stage: str = Field("", max_length=100)
    message: str = Field("", max_length=500)


@router.post("/tasks", status_code=202)
async def submit(body: TaskInput, who: Who, desk: ReadyDesk, tenant: str | None = None) -> Response:
    """Run a task: as a Job, or by the service itself, as USE_K8S_JOBS says."""
    return await _submitted(desk, who, body.asked(), tenant)


@router.post("/tasks/commission", status_code=202)
async def commission(body: CommissionInput, who: Who, desk: ReadyDesk, tenant: str | None = None) -> Response:
    """Run the task of a donation, once: 202 for a new task, 200 for the one there is, 409 with other parameters."""
    return await _submitted(desk, who, body.asked(), tenant)


async def _submitted(desk: TaskDesk, who: Caller, asked: Asked, tenant: str | None) -> Response:
    try:
        made = await desk.submit(who, asked, tenant)
    except LongshoreError as error:
        talk.warning("task refused", run=asked.pipeline_run_id, why=error.message)
        raise
    return _made(made)


def _made(made: Made) -> Response:
    body = {"task_id": made.id, "job_name": made.id, "mode": made.mode}
    return answer(body, 202 if made.created else 200, headers={"Location": f"/api/tasks/{made.id}"})


@router.get("/tasks/{task_id}")
async def get_task(task_id: str, who: Who, desk: ReadyDesk) -> Response:
    """One task: its status, how far it is, and where the rest is."""
    return answer((await desk.task(who, task_id)).document())


@router.post("/tasks/{task_id}/heartbeat")
async def heartbeat(task_id: str, who: Who, desk: ReadyDesk, body: Beat | None = None) -> Response:
    """Say that a task is alive, and how far it is; the answer says its status, by which one that was given up knows."""
    told = None
    if body is not None and body.model_fields_set:
        told = {"fraction": body.progress, "stage": body.stage, "message": body.message}
    return answer(await desk.heartbeat(who, task_id, told))


@router.get("/tasks/{task_id}/logs")
async def logs(task_id: str, who: Who, desk: ReadyDesk) -> Response:
    """What the task printed, as plain text; of one that the service ran itself the last 64 KiB."""
    task = await desk.task(who, task_id)
    if task.mode is Mode.KUBERNETES and desk.jobs is not None:
        return await log.respond(desk.jobs.parts, who, task_id)
    local = await desk.local(who, task_id)
    headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
    return Response(local.output if local else "", media_type="text/plain; charset=utf-8", headers=headers)


@router.get("/tasks/{task_id}/comparison")
async def comparison(task_id: str, who: Who, desk: ReadyDesk) -> Response:
    """How the two runs of a task under DUAL_RUN went: outcome, duration, output."""
    return answer(await desk.comparing.of(who, task_id))


@router.get("/task-status")
async def task_status(
    who: Who,
    desk: Desk,
    job_name: Annotated[str, Query(min_length=1, max_length=253)],
    namespace: Annotated[str | None, Query(max_length=63)] = None,
) -> Response:
    """The status of a Job, whoever made it: in the caller's own namespace, or in one that he may read."""
    return status_answer(await desk.status(who, job_name, namespace))


def status_answer(status: TaskStatus) -> Response:
    """The document; where it is NotFound or Error it says so in `detail` too, as every other refusal does."""
    if status.status not in (Word.NOT_FOUND, Word.ERROR):
        return answer(status)
    body = {**msgspec.to_builtins(status), "detail": status.message}
    if status.status is Word.ERROR:
        return answer(body, 503, headers=RETRY_AFTER)
    return answer(body, 404)
