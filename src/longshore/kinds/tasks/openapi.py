"""What the REST routes of tasks answer, for the API's document; `kinds.registry` hands it on."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from longshore.kinds.tasks.comparison import Comparison, Duration, Outcome, Printed
from longshore.kinds.tasks.model import Mode
from longshore.kinds.tasks.view import PodStatus, TaskStatus, Word
from longshore.web.openapi import Answer, Operation, Operations

_AT: Final = datetime(2026, 11, 20, 20, 0, tzinfo=UTC)
_ID: Final = "task-runner-run-7-0d4b1a0e6f0e4a55"
_MADE_SCHEMA: Final = {
    "type": "object",
    "required": ["task_id", "job_name", "mode"],
    "properties": {name: {"type": "string"} for name in ("task_id", "job_name", "mode")},
}
_MADE: Final = {"task_id": _ID, "job_name": _ID, "mode": "kubernetes"}
_SUBMITTED: Final = Answer(schema=_MADE_SCHEMA, example=_MADE, says="Accepted.", headers=("Location",))
_THERE: Final = Answer(schema=_MADE_SCHEMA, example=_MADE, says="The task that there is.", headers=("Location",))
_TASK: Final = {
    "type": "object",
    "required": ["task_id", "status"],
    "properties": {"task_id": {"type": "string"}, "status": {"enum": [word.value for word in Word]}},
}
_RUNNING: Final = TaskStatus(
    name=_ID,
    namespace="ls-acme",
    status=Word.RUNNING,
    reason="Running",
    message="The job is running.",
    start_time=_AT,
    active=1,
    ready=1,
    pods=(PodStatus(f"{_ID}-x7k2p", "Running", "node-1", _AT),),
)
_NOT_FOUND: Final = TaskStatus(name=_ID, status=Word.NOT_FOUND, message="There is no such job here.")
_ERROR: Final = TaskStatus(name=_ID, status=Word.ERROR, message="The cluster cannot be reached.")
_COMPARED: Final = Comparison(
    task_id=_ID,
    answered_by=Mode.KUBERNETES,
    complete=True,
    same=True,
    outcome=Outcome("Succeeded", "Succeeded", same=True),
    duration=Duration(12.0, 9.5, 1.26),
    output=Printed(6, 6, "9f86d081", "9f86d081", same=True),
)
WORDS: Final = {
    "task_id": "The task's id, as its submission answered it.",
    "job_name": "Name of a Job, whoever made it.",
    "namespace": "Of the Job; the caller's own where it is left out.",
}

OPERATIONS: Final[Operations] = {
    "POST /api/tasks": Operation(
        request={"pipeline_run_id": "run-7", "parameters": {"INPUT": "a.csv"}},
        answers={202: _SUBMITTED, 200: _THERE},
        problems=(409, 429),
    ),
    "POST /api/tasks/commission": Operation(
        request={"donation_id": "d-42"}, answers={202: _SUBMITTED, 200: _THERE}, problems=(409, 429)
    ),
    "GET /api/tasks/{task_id}": Operation(
        answers={200: Answer(schema=_TASK, example={"task_id": _ID, "status": "Running"}, says="The task.")}
    ),
    "POST /api/tasks/{task_id}/heartbeat": Operation(
        request={"progress": 0.5, "stage": "load", "message": "half of it"},
        answers={200: Answer(schema=_TASK, example={"task_id": _ID, "status": "Running"}, says="Heard.")},
    ),
    "GET /api/tasks/{task_id}/logs": Operation(
        answers={200: Answer(schema={"type": "string"}, example="hello\n", media="text/plain", says="The log.")}
    ),
    "GET /api/tasks/{task_id}/comparison": Operation(
        answers={200: Answer(schema=Comparison, example=_COMPARED, says="The comparison.")}, problems=(409,)
    ),
    "GET /api/task-status": Operation(
        answers={
            200: Answer(schema=TaskStatus, example=_RUNNING, says="The status document."),
            404: Answer(schema=TaskStatus, example=_NOT_FOUND, says="There is no such Job: status NotFound."),
            503: Answer(schema=TaskStatus, example=_ERROR, says="It cannot be known now: status Error."),
        }
    ),
}
