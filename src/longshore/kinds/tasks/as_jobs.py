"""Tasks as Kubernetes Jobs: submitted through `jobs.commands`, read from the stores and, once gone, from the archive.

`desk` submits and asks; the other way to run them is `as_processes`.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import Any

from longshore.errors import Conflict, Forbidden, NotFound, Unavailable, UserMistake
from longshore.kinds.jobs import commands as jobs
from longshore.kinds.jobs import find
from longshore.kinds.jobs.commands import Submitted
from longshore.kinds.jobs.logs import answer as log
from longshore.kinds.jobs.model import JobRequest, request_of
from longshore.kinds.jobs.record import JobRecord
from longshore.kinds.kind import Services
from longshore.kinds.tasks import model, view
from longshore.kinds.tasks.model import Asked, Mode, Template
from longshore.kinds.tasks.process import Output
from longshore.kinds.tasks.view import TaskStatus, TaskView, Word
from longshore.kinds.tasks.watching import Watching, key_of, status_in
from longshore.kinds.tenants.model import Tenant, namespace_of
from longshore.web.auth import Caller

ARRIVAL_SECONDS = 1.0
MOST_LOG_BYTES = 64 << 20  # that are read to be compared


class Arrival:
    """Listens for one status."""

    def __init__(self) -> None:
        self.first: asyncio.Future[TaskStatus] = asyncio.get_running_loop().create_future()

    def status(self, status: TaskStatus | None) -> None:
        if status is not None and not self.first.done():
            self.first.set_result(status)

    def trouble(self, why: str | None) -> None:
        """No status comes of it."""


class TaskJobs:
    """One per `serve`."""

    def __init__(self, parts: Services, heartbeat_retries: int) -> None:
        self.parts = parts
        self.watching = Watching(parts.stores, time.monotonic)
        self._heartbeat_retries = heartbeat_retries

    async def submit(self, who: Caller, tenant: Tenant, template: Template, asked: Asked, id: str) -> bool:
        """Create the task's Job, suspended, as `jobs.commands.submit` does; False where it is there already.

        The same donation with the same parameters is the same task, also after the operator has changed the template.
        """
        if not template.image:
            raise UserMistake("TASK_TEMPLATE names no image, which a Job needs", hint="the operator adds one to it")
        made = await self._submit(who, tenant, template, asked, id)
        await find.known(self.parts, made)
        return made.created

    async def _submit(self, who: Caller, tenant: Tenant, template: Template, asked: Asked, id: str) -> Submitted:
        request = model.job_request(template, asked, id, heartbeat_retries=self._heartbeat_retries)
        key = asked.donation_id
        try:
            return await jobs.submit(self.parts, tenant, request, kind=model.KIND, id=id, idempotency_key=key)
        except Conflict:
            found = await find.find(self.parts, who, id)
            earlier = request_of(found.job) if found.job else found.record.request if found.record else None
            if not _asks_the_same(earlier, asked):
                raise
            return Submitted(id, created=False, job=found.job, record=found.record)

    async def find(self, who: Caller, id: str) -> TaskView | None:
        """The task, None where there is no such task of the caller's."""
        record = await self._record(who, id)
        if record is None or record.kind != model.KIND:
            return None
        return TaskView(
            task_id=record.id,
            job_name=record.id,
            mode=Mode.KUBERNETES,
            status=view.WORDS[record.status],
            reason=record.reason,
            message=record.message,
            attempts=record.attempts,
            created=record.created,
            started=record.started,
            finished=record.finished,
            progress=view.progress_of(record.progress),
        )

    async def _record(self, who: Caller, id: str) -> JobRecord | None:
        try:
            return await find.full_record(self.parts, await find.find(self.parts, who, id))
        except (NotFound, UserMistake):
            return None

    async def status(self, who: Caller, name: str, namespace: str | None) -> TaskStatus:
        """The status document of any Job that the caller may read. Raises Forbidden for a namespace that he may not."""
        space = self.namespace_for(who, name, namespace)
        why = self.why_stale()
        if why is not None:
            return view.error(name, why, space)
        there = status_in(self.parts.stores, space, name)
        if there is not None:
            return there
        status = await self._archived(who, name, namespace)
        if status.status is Word.NOT_FOUND and name.startswith(model.PREFIX):
            return await self._soon(space, name) or status
        return status

    def namespace_for(self, who: Caller, name: str, asked: str | None) -> str:
        """Where to look for this Job: the namespace that was asked for, the caller's own, or where it is."""
        if asked is not None:
            if not who.admin and (who.tenant is None or asked != namespace_of(who.tenant)):
                raise Forbidden(f"namespace {asked!r} is not yours to read", hint="leave it out for your own")
            return asked
        if who.tenant is not None:
            return namespace_of(who.tenant)
        own = [job.metadata.namespace for job in self.parts.stores.jobs.by("id", name)]
        return own[0] if own else "default"

    def why_stale(self) -> str | None:
        """Why nothing can be said about Jobs for now."""
        stores = self.parts.stores
        if not (stores.jobs.synced and stores.pods.synced):
            return "the cluster's Jobs are not known yet"
        return self.watching.why

    async def output(self, who: Caller, id: str) -> tuple[Output, bool]:
        """What the task printed, and whether that is all."""
        output = Output()
        answer: Any = await log.respond(self.parts, who, id)
        async with aclosing(answer.body_iterator) as chunks:
            async for chunk in chunks:
                output.add(chunk)
                if output.size > MOST_LOG_BYTES:
                    return output, False
        return output, answer.headers.get("X-Longshore-Log-Complete", "true") == "true"

    async def _soon(self, space: str, name: str) -> TaskStatus | None:
        """Another replica may have made it this very moment: then our watch is about to tell."""
        arrival = Arrival()
        key = key_of(space, name)
        self.watching.add(key, arrival)
        try:
            async with asyncio.timeout(ARRIVAL_SECONDS):
                return await arrival.first
        except TimeoutError:
            return status_in(self.parts.stores, space, name)
        finally:
            self.watching.remove(key, arrival)

    async def _archived(self, who: Caller, name: str, namespace: str | None) -> TaskStatus:
        try:
            found = await find.archived(self.parts, who, name)
        except UserMistake:  # not a name that an archive could have
            found = None
        except Unavailable as away:
            return view.error(name, away.message, namespace or "")
        record = found.record if found else None
        if record is None or (namespace is not None and record.namespace != namespace):
            return view.not_found(name, namespace or "")
        return view.of_record(record)


def _asks_the_same(earlier: JobRequest | None, asked: Asked) -> bool:
    return earlier is not None and earlier.extra.get(model.ASKED) == asked.digest()
