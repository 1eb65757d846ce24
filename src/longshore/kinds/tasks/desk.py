"""What one `serve` has for tasks: it knows in which mode they run, and finds them wherever they are.

`app` opens it; `compat` and `sockets` ask it. Without a Kubernetes (`parts` None) the service runs tasks itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import structlog
from fastapi import Depends
from starlette.requests import HTTPConnection

from longshore.errors import Forbidden, NotFound, Unavailable, UserMistake
from longshore.kinds.jobs import commands as jobs
from longshore.kinds.jobs import find
from longshore.kinds.kind import Services
from longshore.kinds.tasks import commands, model, view
from longshore.kinds.tasks.model import Asked, Mode, Template
from longshore.kinds.tasks.view import TaskStatus, Word
from longshore.kinds.tasks.watching import Watching, key_of, status_in
from longshore.kinds.tenants.model import namespace_of
from longshore.settings import Settings
from longshore.web.auth import Caller

ARRIVAL_SECONDS = 1.0
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Made:
    """What became of a submission."""

    id: str
    mode: Mode
    created: bool


class Arrival:
    """Listens for one status."""

    def __init__(self) -> None:
        self.first: asyncio.Future[TaskStatus] = asyncio.get_running_loop().create_future()

    def status(self, status: TaskStatus | None) -> None:
        if status is not None and not self.first.done():
            self.first.set_result(status)

    def trouble(self, why: str | None) -> None:
        """No status comes of it."""


class TaskDesk:
    """One per `serve`."""

    def __init__(self, settings: Settings, parts: Services, template: Template | None) -> None:
        self.settings = settings
        self.parts = parts
        self.template = template
        self.watching = Watching(parts.stores, time.monotonic)

    async def submit(self, who: Caller, asked: Asked, tenant: str | None) -> Made:
        """Run it in the first mode. Raises UserMistake, Conflict, TooManyRequests, Unavailable."""
        template = self.template
        if template is None:
            raise UserMistake("no task can run here: there is no template", hint="the operator sets TASK_TEMPLATE")
        target = jobs.tenant_for_work(self.parts, who, tenant)
        id = model.task_name(target.metadata.name, asked)
        made = await commands.submit(self.parts, who, target, template, asked, id)
        if made.created:
            if made.job is not None:
                with suppress(Unavailable):  # so that the caller's next request here finds it
                    await self.parts.stores.jobs.wait_for(made.job.metadata.resource_version)
            log.info("task created", task=id, mode=Mode.KUBERNETES, tenant=target.id, run=asked.pipeline_run_id)
        return Made(id, Mode.KUBERNETES, made.created)

    async def task(self, who: Caller, id: str) -> dict[str, Any]:
        """Raises NotFound alike for none and another tenant's."""
        record = await find.full_record(self.parts, await find.find(self.parts, who, id))
        if record.kind != model.KIND:
            raise NotFound(f"there is no task {id[:64]!r}")
        return {
            "task_id": record.id,
            "job_name": record.id,
            "mode": Mode.KUBERNETES,
            "status": view.WORDS[record.status],
            "reason": record.reason,
            "message": record.message,
            "attempts": record.attempts,
            "created": record.created,
            "started": record.started,
            "finished": record.finished,
            "progress": view.progress_of(record.progress),
            "links": {
                "status": f"/api/task-status?job_name={record.id}",
                "socket": f"/ws/task-status/{record.id}",
                "logs": record.links["logs"],
            },
        }

    async def heartbeat(self, who: Caller, id: str, progress: float | None, stage: str, message: str) -> dict[str, Any]:
        found = await find.find(self.parts, who, id)
        record = await find.full_record(self.parts, found)
        word = view.WORDS[record.status]
        if not word.final:
            at = self.parts.now()
            self.parts.bus.publish(heartbeat_topic(id), {"at": at.isoformat()})
            if progress is not None or stage or message:
                told = {
                    "fraction": progress,
                    "stage": stage,
                    "message": message,
                    "values": dict[str, float](),
                    "at": at,
                }
                self.parts.bus.publish(find.progress_topic(id), told)
        return {"task_id": id, "status": word}

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
        if who.pod is not None:
            raise Forbidden("a pod's token does not open this", hint="use an API key")
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


def heartbeat_topic(id: str) -> str:
    return f"heartbeat/{id}"


@asynccontextmanager
async def opened(settings: Settings, parts: Services) -> AsyncIterator[TaskDesk]:
    """The desk, with what it runs in the background."""
    desk = TaskDesk(settings, parts, load_template(settings.task_template))
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(desk.watching.run())
        yield desk
        watching.cancel()


def load_template(given: str | None) -> Template | None:
    """TASK_TEMPLATE: the YAML itself, or the path of a file with it; read once."""
    if not given:
        return None
    if "\n" in given or given.lstrip().startswith("{"):
        return model.template_of(given)
    try:
        return model.template_of(Path(given).read_text())
    except OSError as error:
        why = f"TASK_TEMPLATE cannot be read: {error.strerror}"
        raise UserMistake(why, hint="it is the path of a YAML file, or the YAML itself") from None


async def _desk(connection: HTTPConnection) -> TaskDesk:
    desk: TaskDesk = connection.app.state.tasks
    return desk


Desk = Annotated[TaskDesk, Depends(_desk)]
