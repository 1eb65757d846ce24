"""Compares the two runs of a task under DUAL_RUN, and records for good how they went; `desk` asks it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import msgspec

from longshore.errors import LongshoreError, NotFound
from longshore.kinds.tasks.as_jobs import TaskJobs
from longshore.kinds.tasks.as_processes import Processes
from longshore.kinds.tasks.comparison import Run, compare
from longshore.kinds.tasks.kept import Kept, LocalTask
from longshore.kinds.tasks.model import Mode
from longshore.kinds.tasks.process import Output
from longshore.kinds.tasks.view import TaskView
from longshore.web.auth import Caller

MOST = 1000
LOOK_SECONDS = 5.0


class Comparing:
    """One per `serve`; what is not recorded when it ends is when somebody asks."""

    def __init__(self, first: Mode, jobs: TaskJobs | None, processes: Processes, kept: Kept) -> None:
        self._first = first
        self._jobs = jobs
        self._processes = processes
        self._kept = kept
        self._due: dict[str, Caller] = {}

    def soon(self, who: Caller, id: str) -> None:
        """Record how this task's runs compare, once both are over."""
        if len(self._due) < MOST:
            self._due[id] = who

    async def of(self, who: Caller, id: str) -> Any:
        """How its two runs went; recorded for good once both are over. Raises NotFound where it did not run twice."""
        local = await self._processes.find(who.tenant, id) if who.tenant or who.admin else None
        if local is None or self._jobs is None:
            raise NotFound(f"task {id[:64]!r} did not run twice", hint="DUAL_RUN=true runs each task both ways")
        kept = await self._kept.compared(local.tenant, id)
        if kept is not None:
            return kept
        job = await self._jobs.find(who, id)
        if job is None:
            raise NotFound(f"task {id[:64]!r} did not run as a Job", hint="DUAL_RUN=true runs each task both ways")
        printed, whole = await self._jobs.output(who, id) if job.status.final else (None, False)
        compared = compare(id, self._first, _as_job(job, printed, whole), _as_process(local))
        if compared.complete:
            await self._kept.put_compared(local.tenant, id, msgspec.to_builtins(compared))
        return compared

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for id, who in tuple(self._due.items()):
                with suppress(LongshoreError):  # asked for later, it is made then
                    if await self._settled(who, id):
                        del self._due[id]

    async def _settled(self, who: Caller, id: str) -> bool:
        """Whether there is nothing left to record of it: it is recorded, or one of its runs is no more."""
        try:
            return bool(msgspec.to_builtins(await self.of(who, id))["complete"])
        except NotFound:
            return True


def _as_job(task: TaskView, printed: Output | None, whole: bool) -> Run:
    return Run(
        status=task.status,
        reason=task.reason,
        started=task.started,
        finished=task.finished,
        output=printed.text if printed else "",
        output_bytes=printed.size if printed else 0,
        output_sha256=printed.sha256 if printed and whole else None,
    )


def _as_process(task: LocalTask) -> Run:
    return Run(
        status=task.status,
        reason=task.reason,
        started=task.started,
        finished=task.finished,
        output=task.output,
        output_bytes=task.output_bytes,
        output_sha256=task.output_sha256,
    )
