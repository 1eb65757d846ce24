"""What the routes of simulations answer, for the API's document, and the form that they take; `kinds.registry` hands it
on."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from longshore.kinds.jobs.files.openapi import FILES
from longshore.kinds.jobs.openapi import LOG, MADE, RECORD, WAITING
from longshore.kinds.jobs.record import JobRecord
from longshore.web.openapi import Answer, Operation, Operations

_QUEUED: Final = replace(WAITING, kind="simulation", name="grid")
_FORM: Final = {
    "multipart/form-data": {
        "schema": {
            "type": "object",
            "required": ["scenario_id", "sumo_files"],
            "properties": {
                "scenario_id": {"type": "string", "description": "A name for people."},
                "sumo_files": {"type": "string", "format": "binary", "description": "ZIP with one .sumocfg."},
                "config": {"type": "string", "description": "Which .sumocfg, where there are several."},
                "cpu_request": {"type": "integer", "description": "Cores."},
                "memory_gi": {"type": "integer", "description": "GiB."},
                "seed": {"type": "integer"},
                "end": {"type": "number", "description": "Simulated seconds."},
                "options": {"type": "array", "items": {"type": "string"}, "description": "Options of sumo."},
                "outputs": {"type": "array", "items": {"type": "string"}, "description": "Globs of files to keep."},
            },
        },
        "example": {"scenario_id": "grid", "sumo_files": "(the ZIP)", "seed": 42},
    }
}
_SUMMARY: Final = {"vehicles": 812.0, "mean_travel_time_s": 214.6}
WORDS: Final = {"job_id": "The job's id."}

OPERATIONS: Final[Operations] = {
    "POST /v1/simulations": Operation(
        body=_FORM,
        answers={
            202: Answer(schema=JobRecord, example=_QUEUED, says="Accepted.", headers=MADE),
            200: Answer(
                schema=JobRecord,
                example=replace(RECORD, kind="simulation", name="grid"),
                says="The simulation that the same key made before.",
                headers=MADE,
            ),
        },
        problems=(409, 429),
    ),
    "GET /v1/simulations/{id}/results": Operation(answers={200: FILES}),
    "GET /v1/simulations/{id}/summary": Operation(
        answers={200: Answer(schema=dict[str, float], example=_SUMMARY, says="Numbers of the whole run, by name.")},
        problems=(409,),
    ),
    "POST /jobs": Operation(
        body=_FORM,
        answers={
            200: Answer(
                schema=dict[str, str],
                example={"job_id": RECORD.id, "status": "PENDING", "config_file": "grid.sumocfg"},
                says="Accepted.",
                headers=MADE,
            )
        },
        problems=(409, 429),
    ),
    "GET /jobs/{job_id}": Operation(
        summary="Get Job",
        answers={
            200: Answer(
                schema={"type": "object", "required": ["job_id", "scenario_id", "status", "submitted_at"]},
                example={
                    "job_id": RECORD.id,
                    "scenario_id": "grid",
                    "status": "SUCCEEDED",
                    "submitted_at": RECORD.created,
                },
                says="The simulation in seed 4's words.",
            )
        },
    ),
    "GET /jobs/{job_id}/logs": Operation(answers={200: LOG}, problems=(410, 429)),
}
