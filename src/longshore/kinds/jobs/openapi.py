"""What the routes of jobs answer, for the API's document: types, examples, problems; `kinds.registry` hands it on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from longshore.kinds.jobs.happened import Happened
from longshore.kinds.jobs.model import Status
from longshore.kinds.jobs.record import (
    EventView,
    IndexCountsView,
    IndexesView,
    IndexFailureView,
    JobRecord,
    OutputsView,
    ResourcesView,
    WhyView,
)
from longshore.kinds.jobs.view import hint_for, links_of
from longshore.kinds.jobs.waiting.dryrun import PlanView
from longshore.kinds.jobs.waiting.placement import Estimate
from longshore.web.openapi import Answer, Operation, Operations

AT: Final = datetime(2026, 11, 20, 20, 0, tzinfo=UTC)
ID: Final = "jmfzwizlnmvxgoylsmf2gs33om4"
FRESH: Final = ("Age", "Longshore-Resource-Version")
MADE: Final = ("Location",)

WORDS: Final = {
    "id": "The job's id, as `POST /v1/jobs` answered it.",
    "tenant": "For whom an administrator acts, or whose work he lists; a tenant's key knows its own.",
    "kind": "Only this kind of work: job, simulation, task.",
    "status": "Only work in this state.",
    "name": "Only work whose name begins so; in a path: the name of a file.",
    "called": "Only work whose id begins so, or whose whole name this is.",
    "tag": "Only work with this tag, as key=value; repeatable.",
    "created_after": "Only work that was accepted after this time (RFC 3339).",
    "created_before": "Only work that was accepted before this time (RFC 3339).",
    "sort": "The order; newest first is the default.",
    "limit": "Rows of the page.",
    "cursor": "Where the page before ended: its `cursor`, as it is.",
    "min_resource_version": "Wait, 2 s at most, until this replica knows at least this version.",
    "follow": "Go on until the job has ended.",
    "tail": "Only so many of the last lines.",
    "timestamps": "Each line begins with its time.",
    "container": "The log of another container of the pod.",
    "Idempotency-Key": "The same key with the same request is the same job, however often it is sent.",
    "Longshore-Key-Made": "When the key was made up (RFC 3339); a new one is not looked for in the archive.",
    "X-Content-SHA256": "sha256 of the content, in hex; what differs is refused.",
    "force": "Also a tenant that has unfinished work, which is stopped.",
    "purge": "Remove its record, log and files too, once it has ended.",
    "dry_run": "Do nothing, and answer what would be.",
    "area": "outputs or inputs.",
    "transfer": "The transfer's id.",
    "number": "Which part, from 0.",
}

RECORD: Final = JobRecord(
    id=ID,
    uid="0d4b1a0e-6f0e-4a55-9d0a-6f2f4f6c2a51",
    kind="job",
    tenant="acme",
    name="train",
    namespace="ls-acme",
    status=Status.SUCCEEDED,
    reason="Completed",
    message="The job ended with exit code 0.",
    created=AT,
    started=AT + timedelta(seconds=2),
    finished=AT + timedelta(seconds=64),
    image="python:3.13",
    command=("python", "-c", "print('hello')"),
    resources=ResourcesView("500m", "512Mi"),
    tags={"team": "vision"},
    exit_code=0,
    attempts=1,
    outputs=OutputsView("complete"),
    archived=True,
    links=links_of(ID),
    resource_version="4711",
)
_FAILED_INDEX: Final = IndexFailureView(4, 2, 1, "Error", "The command ended with exit code 1.")
INDEXED: Final = msgspec.structs.replace(
    RECORD,
    name="sweep",
    status=Status.FAILED,
    reason="Error",
    message=f"Index 4: {_FAILED_INDEX.message}",
    hint=hint_for("Error", ID),
    exit_code=1,
    attempts=11,
    indexes=IndexesView(
        10, 5, "0-3,5-9", "4", (_FAILED_INDEX,), counts=IndexCountsView(succeeded=9, failed=1, running=0), own_logs=True
    ),
)
WAITING: Final = JobRecord(
    id=ID,
    uid=RECORD.uid,
    kind="job",
    tenant="acme",
    name="train",
    namespace="ls-acme",
    status=Status.QUEUED,
    reason="WaitingForTurn",
    message="Waits until the tenant's limits allow it to start.",
    created=AT,
    image="python:3.13",
    command=RECORD.command,
    resources=RECORD.resources,
    tags=RECORD.tags,
    why=WhyView(
        reason="TenantLimit",
        sentence="Waits for the tenant's turn: 2 of 2 jobs are admitted, 3 wait ahead.",
        ahead=3,
    ),
    links=links_of(ID),
    resource_version="4711",
)
REQUEST: Final[dict[str, Any]] = {
    "name": "train",
    "image": "python:3.13",
    "command": ["python", "-c", "print('hello')"],
    "resources": {"cpu": "500m", "memory": "512Mi"},
    "outputs": ["*.csv"],
    "retries": 1,
    "timeout": 3600,
    "tags": {"team": "vision"},
}
PLAN: Final = PlanView(
    would="wait",
    sentence="Waits for the tenant's turn: 2 of 2 jobs are admitted, 3 wait ahead.",
    admitted=False,
    ahead=3,
    placement=Estimate(3, 1, 2, {"cpu": 2}, {"taint gpu": 1}, ()),
    unchecked=("whether its image can be pulled", "whether room is made by preemption or by an autoscaler"),
)
EVENTS: Final = Happened(
    (
        EventView(AT, "Normal", "Accepted", "The job was taken in.", "job"),
        EventView(AT + timedelta(seconds=1), "Normal", "Started", "Its turn came: it was let go on.", "job"),
        EventView(AT + timedelta(seconds=1), "Normal", "Scheduled", "It goes to node node-1.", f"pod {ID}-x7k2p"),
    )
)
_ROW: Final = {
    "description": "A job in a list; of archived ones it has what the index keeps, the start of the message too, and"
    " `links.self` the rest.",
    "type": "object",
    "required": ["id", "kind", "tenant", "name", "status", "reason", "created", "archived", "links"],
    "properties": {
        "id": {"type": "string"},
        "kind": {"type": "string"},
        "tenant": {"type": "string"},
        "name": {"type": "string"},
        "status": {"$ref": "#/components/schemas/Status"},
        "reason": {"type": "string"},
        "message": {"type": ["string", "null"]},
        "created": {"type": "string", "format": "date-time"},
        "started": {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]},
        "finished": {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]},
        "archived": {"type": "boolean"},
        "links": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}
_AWAY: Final = {
    "description": "Only while the archive does not answer: what it alone has is missing here.",
    "type": "object",
    "required": ["available", "since", "hint"],
    "properties": {
        "available": {"const": False},
        "since": {"type": "string", "format": "date-time"},
        "hint": {"type": "string"},
    },
}
_DAMAGED: Final = {
    "description": "Only where files of the archive's list cannot be read: up to so many entries are missing here.",
    "type": "object",
    "required": ["files", "entries", "hint"],
    "properties": {"files": {"type": "integer"}, "entries": {"type": "integer"}, "hint": {"type": "string"}},
}
_PAGE: Final = {
    "type": "object",
    "required": ["items", "cursor", "resource_version", "age_seconds"],
    "properties": {
        "items": {"type": "array", "items": _ROW},
        "cursor": {"type": ["string", "null"], "description": "Asks for the next page; null on the last one."},
        "archive": _AWAY,
        "damaged": _DAMAGED,
        "resource_version": {"type": "string"},
        "age_seconds": {"type": "number"},
    },
}

LOG: Final = Answer(schema={"type": "string"}, example="hello\n", media="text/plain", says="The log.")

OPERATIONS: Final[Operations] = {
    "POST /v1/jobs": Operation(
        request=REQUEST,
        answers={
            202: Answer(schema=JobRecord, example=WAITING, says="Accepted.", headers=MADE),
            200: Answer(
                schema=(JobRecord, PlanView),
                example=PLAN,
                says="With dry_run the plan; without, the job that the same key made before.",
                headers=MADE,
            ),
        },
        problems=(409, 429),
    ),
    "GET /v1/jobs": Operation(
        answers={
            200: Answer(
                schema=_PAGE,
                example={"items": [RECORD], "cursor": None, "resource_version": "4711", "age_seconds": 0.2},
                says="A page.",
                headers=FRESH,
            )
        },
        problems=(404, 410),
    ),
    "GET /v1/jobs/{id}": Operation(
        summary="Get Job",
        answers={200: Answer(schema=JobRecord, example=INDEXED, says="The record.", headers=FRESH)},
        problems=(410,),
    ),
    "GET /v1/jobs/{id}/events": Operation(
        answers={200: Answer(schema=Happened, example=EVENTS, says="Oldest first, 200 at most.", headers=FRESH)}
    ),
    "POST /v1/jobs/{id}/stop": Operation(
        answers={
            202: Answer(schema=JobRecord, example=WAITING, says="It is being ended."),
            200: Answer(schema=JobRecord, example=RECORD, says="It was over already."),
        },
        problems=(409,),
    ),
    "POST /v1/jobs/{id}/rerun": Operation(
        answers={
            202: Answer(schema=JobRecord, example=WAITING, says="The new job.", headers=MADE),
            200: Answer(schema=JobRecord, example=RECORD, says="The one that the same key made before.", headers=MADE),
        },
        problems=(409, 413, 429),
    ),
    "DELETE /v1/jobs/{id}": Operation(answers={204: Answer(says="It is shown no more.")}, problems=(409,)),
    "GET /v1/jobs/{tenant_id}/job/{name}": Operation(
        answers={200: Answer(schema=JobRecord, example=RECORD, says="The record.", headers=FRESH)}
    ),
    "POST /v1/jobs/{tenant_id}/job/{name}/stop": Operation(
        answers={202: Answer(schema=JobRecord, example=WAITING, says="It is being ended.")}, problems=(409,)
    ),
    "GET /v1/jobs/{id}/logs": Operation(answers={200: LOG}, problems=(410, 429)),
}
