"""What a task is: the operator's template, what a caller adds to it, its name, and the job request both make; pure.

A caller chooses parameters and nothing that could run: image and command are the template's. So the same task may run
as a Job or as a process of the service (`local`), and both can be compared.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from enum import StrEnum
from typing import Any

import msgspec
import yaml
from msgspec import Struct

from longshore.errors import UserMistake
from longshore.kinds.jobs.model import JobRequest, Progress, Resources

KIND = "task"
PREFIX = "task-runner-"
MAX_NAME = 63
PARAMETER = "TASK_PARAM_"
HEARTBEAT = "heartbeat"
ASKED = "asked"
_UUID_NAMESPACE = uuid.UUID("6f1dbf4e-8d8c-4f3f-9f7c-3c8d7b1f52a9")
_HASH = 8


class Mode(StrEnum):
    """Who runs a task."""

    KUBERNETES = "kubernetes"
    LOCAL = "local"


class Template(Struct, frozen=True, forbid_unknown_fields=True):
    """What every task is made from. `retries` None: none, or as many as the heartbeat monitor gives.

    `progress` names a file, below the working directory, to which the command appends lines of JSON: how far it is.
    """

    image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: dict[str, str | int | float | bool] = {}
    resources: Resources = Resources()
    outputs: tuple[str, ...] = ()
    retries: int | None = None
    timeout: int | None = None
    heartbeat: bool = False
    progress: str = ""

    @property
    def argv(self) -> list[str]:
        """What a process of the service runs, where no image has an entrypoint."""
        return [*self.command, *self.args]


class Asked(Struct, frozen=True, omit_defaults=True):
    """What a caller asks for. `heartbeat` None: as the template says."""

    pipeline_run_id: str
    donation_id: str | None = None
    parameters: dict[str, str] = {}
    heartbeat: bool | None = None

    def digest(self) -> str:
        """The same donation with another digest is a conflict, whatever has become of the template meanwhile."""
        return hashlib.sha256(msgspec.json.encode(self, order="deterministic")).hexdigest()


def template_of(given: Any) -> Template:
    """The template from a dict, or from YAML text. Raises UserMistake that says what is wrong with it."""
    try:
        data = yaml.safe_load(given) if isinstance(given, str) else given
        template = msgspec.convert(data, Template)
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise UserMistake(
            f"TASK_TEMPLATE cannot be used: {str(error)[:300]}",
            hint="it is YAML with image, command, args, env, resources {cpu, memory}, retries, timeout, heartbeat",
            field="TASK_TEMPLATE",
        ) from None
    if template.progress:
        safe_path(template.progress)
    if not template.image and not template.argv:
        raise UserMistake(
            "TASK_TEMPLATE names neither an image nor a command",
            hint="image is what a Job runs, command what the service runs itself",
            field="TASK_TEMPLATE",
        )
    return template


def safe_path(path: str) -> str:
    """A file below the working directory, whatever that is."""
    if path.startswith("/") or ".." in path.split("/"):
        raise UserMistake(
            f"TASK_TEMPLATE: progress {path!r} is not below the working directory",
            hint="for example progress.jsonl",
            field="TASK_TEMPLATE",
        )
    return path


def task_name(tenant: str, asked: Asked) -> str:
    """`task-runner-{pipeline_run_id}-{uuid}`, the id and the Job's name in one; DNS-legal and at most 63 long.

    A donation's uuid is made of tenant and donation (RFC 9562, version 5), and stands for its run id too, so that the
    same donation is the same task; any other's is random.
    """
    if asked.donation_id is None:
        return named(asked.pipeline_run_id, uuid.uuid4())
    return named(asked.donation_id, uuid.uuid5(_UUID_NAMESPACE, f"{tenant}\0{asked.donation_id}"))


def named(run_id: str, unique: uuid.UUID) -> str:
    """The run id as it is where it is legal and short enough, else cut, with a hash so that two stay apart."""
    room = MAX_NAME - len(PREFIX) - 1 - 32
    slug = re.sub(r"[^a-z0-9]+", "-", run_id.lower()).strip("-")
    if slug != run_id or len(slug) > room:
        digest = hashlib.sha256(run_id.encode()).hexdigest()[:_HASH]
        slug = f"{slug[: room - _HASH - 1].strip('-')}-{digest}".strip("-")
    return f"{PREFIX}{slug}-{unique.hex}"


def environment(template: Template, asked: Asked, id: str) -> dict[str, str]:
    """What the command sees. Parameters get a prefix: a caller must not set PATH or LD_PRELOAD of our own process."""
    return {
        **{name: _text(value) for name, value in template.env.items()},
        "TASK_ID": id,
        **({"TASK_PROGRESS": template.progress} if template.progress else {}),
        "PIPELINE_RUN_ID": asked.pipeline_run_id,
        **({"DONATION_ID": asked.donation_id} if asked.donation_id is not None else {}),
        **{f"{PARAMETER}{name.upper()}": value for name, value in asked.parameters.items()},
    }


def promises_heartbeats(template: Template, asked: Asked) -> bool:
    return template.heartbeat if asked.heartbeat is None else asked.heartbeat


def job_request(template: Template, asked: Asked, id: str, *, heartbeat_retries: int) -> JobRequest:
    """The job of this task. Who promises heartbeats and falls silent is tried again, out of the same retries."""
    promised = promises_heartbeats(template, asked)
    retries = template.retries if template.retries is not None else heartbeat_retries if promised else 0
    tags = {"pipeline_run_id": asked.pipeline_run_id}
    if asked.donation_id is not None:
        tags["donation_id"] = asked.donation_id
    return JobRequest(
        name=f"task {asked.pipeline_run_id}",
        image=template.image,
        command=template.command,
        args=template.args,
        env=environment(template, asked, id),
        resources=template.resources,
        outputs=template.outputs,
        retries=retries,
        timeout=template.timeout,
        tags=tags,
        progress=Progress("lines", template.progress) if template.progress else None,
        extra={ASKED: asked.digest(), **({HEARTBEAT: "true"} if promised else {})},
    )


def _text(value: str | float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def task_topic(id: str) -> str:
    """Of the bus: the status of a task which the service runs has changed."""
    return f"task/{id}"
