"""Tasks made from the operator's template; `sdk.client` hands it out."""

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Final, Literal

import msgspec

from longshore.sdk.transport import Transport, json_body, segment

FINAL: Final = ("Succeeded", "Failed")
_FIRST_POLL: Final = 0.2
_SLOWEST_POLL: Final = 2.0
_OUTAGE: Final = 60.0

Word = Literal["Pending", "Running", "Succeeded", "Failed", "NotFound", "Error"]


class TaskProgress(msgspec.Struct, frozen=True):
    """How far a task says it is; `progress` from 0 to 1."""

    progress: float | None = None
    stage: str = ""
    message: str = ""


class Task(msgspec.Struct, frozen=True):
    """One task, whether it runs as a Job or as a process of the service (`mode`)."""

    task_id: str
    job_name: str
    mode: str
    status: Word
    reason: str = ""
    message: str = ""
    attempts: int = 0
    created: str = ""
    started: str | None = None
    finished: str | None = None
    progress: TaskProgress | None = None

    @property
    def final(self) -> bool:
        return self.status in FINAL


class TaskStatus(msgspec.Struct, frozen=True):
    """The status of a Job, whoever made it; the numbers count its pods."""

    name: str
    status: Word
    reason: str = ""
    message: str = ""
    start_time: str | None = None
    completion_time: str | None = None
    succeeded: int = 0
    failed: int = 0
    active: int = 0
    ready: int = 0


class _Made(msgspec.Struct, frozen=True):
    task_id: str
    job_name: str


class Tasks:
    """`client.tasks`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def submit(
        self, pipeline_run_id: str, *, parameters: Mapping[str, str] | None = None, heartbeat: bool | None = None
    ) -> str:
        """Fill the operator's template, submit it, and return the Job's name, which is the task's id too.

        It is sent once only: whoever must be able to send it again commissions it by a donation.
        """
        wanted = {"pipeline_run_id": pipeline_run_id, "parameters": parameters or None, "heartbeat": heartbeat}
        body, headers = json_body(wanted)
        made = await self._transport.call("POST", "/api/tasks", _Made, body=body, headers=headers, repeatable=False)
        return made.job_name

    async def commission(
        self,
        donation_id: str | None = None,
        *,
        pipeline_run_id: str | None = None,
        parameters: Mapping[str, str] | None = None,
        heartbeat: bool | None = None,
    ) -> str:
        """The same, as often as wanted: the same donation is the same task. Without an id it is given one."""
        wanted = {
            "donation_id": donation_id or uuid.uuid4().hex,
            "pipeline_run_id": pipeline_run_id,
            "parameters": parameters or None,
            "heartbeat": heartbeat,
        }
        body, headers = json_body(wanted)
        made = await self._transport.call("POST", "/api/tasks/commission", _Made, body=body, headers=headers)
        return made.job_name

    async def get(self, task: str) -> Task:
        """One task. Raises NotFound."""
        return await self._transport.call("GET", f"/api/tasks/{segment(task)}", Task)

    async def status(self, job: str, *, namespace: str | None = None) -> TaskStatus:
        """The status of any Job that the caller may read, whoever made it. Raises NotFound."""
        params = {"job_name": job, "namespace": namespace}
        return await self._transport.call("GET", "/api/task-status", TaskStatus, params=params)

    async def heartbeat(
        self, task: str, *, progress: float | None = None, stage: str | None = None, message: str | None = None
    ) -> Word:
        """Say that a task is alive and how far it is; the answer is its status: a final one means that it may end."""
        body, headers = json_body({"progress": progress, "stage": stage, "message": message})
        path = f"/api/tasks/{segment(task)}/heartbeat"
        return (await self._transport.call("POST", path, _Beaten, body=body, headers=headers)).status

    async def wait(self, task: str, *, deadline: float | None = None) -> Task:
        """The task once it has ended. `deadline` in seconds, else TimeoutError."""
        async with asyncio.timeout(deadline):
            pause = _FIRST_POLL
            while True:
                found = await self._transport.call("GET", f"/api/tasks/{segment(task)}", Task, patience=_OUTAGE)
                if found.final:
                    return found
                await asyncio.sleep(random.uniform(pause / 2, pause))  # noqa: S311 - jitter, not a secret
                pause = min(pause * 1.5, _SLOWEST_POLL)

    async def logs(self, task: str) -> AsyncIterator[bytes]:
        """What the task printed so far, in chunks."""
        async with self._transport.open("GET", f"/api/tasks/{segment(task)}/logs") as response:
            async for chunk in response.content.iter_any():
                yield chunk


class _Beaten(msgspec.Struct, frozen=True):
    status: Word
