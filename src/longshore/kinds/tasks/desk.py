"""What one `serve` has for tasks: which mode answers, and where a task is found whichever ran it.

`serve` opens it; `compat` and `sockets` ask it. Without a Kubernetes (`jobs` None) the service runs tasks itself; with
DUAL_RUN each task runs both ways, under one name, and the two are compared.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Protocol

import structlog
from fastapi import Depends
from starlette.requests import HTTPConnection

from longshore.archive.objects import Objects
from longshore.errors import Forbidden, LongshoreError, NotFound, UserMistake
from longshore.kinds.jobs import commands
from longshore.kinds.jobs.find import heartbeat_topic, progress_topic
from longshore.kinds.kind import Services
from longshore.kinds.tasks import model, view
from longshore.kinds.tasks.as_jobs import TaskJobs
from longshore.kinds.tasks.as_processes import Processes, executor
from longshore.kinds.tasks.comparing import Comparing
from longshore.kinds.tasks.kept import Kept, LocalTask
from longshore.kinds.tasks.model import Asked, Mode, Template, task_topic
from longshore.kinds.tasks.view import TaskStatus, TaskView, Word
from longshore.kinds.tenants.model import Tenant, object_name
from longshore.runtime.bus import Bus
from longshore.settings import Settings
from longshore.web.auth import Caller

ALONE = "local"  # the tenant of what an administrator runs where there is no cluster to have tenants
POLL_SECONDS = 2.0
LATE_ROUNDS = 15
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Made:
    """What became of a submission."""

    id: str
    mode: Mode
    created: bool


class Again(Protocol):
    """Who follows a task, and is told to look again."""

    def again(self) -> None: ...


class TaskDesk:
    """One per `serve`. `modes`: those that run here; the first one answers."""

    def __init__(
        self,
        settings: Settings,
        template: Template | None,
        jobs: TaskJobs | None,
        bus: Bus,
        now: Callable[[], datetime],
    ) -> None:
        self.jobs = jobs
        self.bus = bus
        self.modes = modes(settings)
        self.processes: Processes
        self.comparing: Comparing
        self._template = template
        self._now = now
        self._followed: dict[str, set[Again]] = {}

    async def submit(self, who: Caller, asked: Asked, tenant: str | None) -> Made:
        """Run it in the first mode, and in the second where there are two. Raises UserMistake, Conflict,
        TooManyRequests, Unavailable."""
        template = self._template
        if template is None:
            raise UserMistake("no task can run here: there is no template", hint="the operator sets TASK_TEMPLATE")
        target = await self._tenant(who, tenant)
        name = target if isinstance(target, str) else target.metadata.name
        id = model.task_name(name, asked)
        first, *others = self.modes
        created = await self._run(first, who, target, template, asked, id)
        if created:
            log.info("task created", task=id, mode=first, tenant=name, run=asked.pipeline_run_id)
        for mode in others if created else ():
            await self._run_beside(mode, who, target, template, asked, id)
        return Made(id, first, created)

    async def _tenant(self, who: Caller, asked: str | None) -> Tenant | str:
        if self.jobs is not None:
            return await commands.tenant_for_work(self.jobs.parts, who, asked)
        return who.tenant_for(object_name(asked) if asked else ALONE)

    async def _run(
        self, mode: Mode, who: Caller, tenant: Tenant | str, template: Template, asked: Asked, id: str
    ) -> bool:
        if mode is Mode.LOCAL:
            name = tenant if isinstance(tenant, str) else tenant.metadata.name
            return await self.processes.submit(name, template, asked, id)
        assert self.jobs is not None
        assert isinstance(tenant, Tenant)
        return await self.jobs.submit(who, tenant, template, asked, id)

    async def _run_beside(
        self, mode: Mode, who: Caller, tenant: Tenant | str, template: Template, asked: Asked, id: str
    ) -> None:
        """The second run is for comparison; that it cannot be had is no failure of the first."""
        try:
            await self._run(mode, who, tenant, template, asked, id)
            self.comparing.soon(who, id)
        except LongshoreError as error:
            log.warning("task not run a second time", task=id, mode=mode, why=error.message)

    async def task(self, who: Caller, id: str) -> TaskView:
        """Whoever ran it. Raises NotFound alike for none and another tenant's."""
        for mode in (*self.modes, *(set(Mode) - set(self.modes))):
            found = await (self._as_process(who, id) if mode is Mode.LOCAL else self._as_job(who, id))
            if found is not None:
                return found
        raise NotFound(f"there is no task {id[:64]!r}", hint="its id was in the answer to its submission")

    async def _as_job(self, who: Caller, id: str) -> TaskView | None:
        return await self.jobs.find(who, id) if self.jobs is not None else None

    async def _as_process(self, who: Caller, id: str) -> TaskView | None:
        task = await self.local(who, id)
        if task is None:
            return None
        document = task.document()
        return TaskView(
            task_id=id,
            job_name=id,
            mode=Mode.LOCAL,
            status=document.status,
            reason=document.reason,
            message=document.message,
            attempts=task.attempts,
            created=task.created,
            started=task.started,
            finished=task.finished,
            progress=view.progress_of(self.bus.latest(progress_topic(id))),
        )

    async def local(self, who: Caller, id: str) -> LocalTask | None:
        """What the service itself, this one or another, has run under this name for the caller."""
        if who.tenant is None and not who.admin:
            return None
        return await self.processes.find(who.tenant, id)

    async def status(self, who: Caller, name: str, namespace: str | None) -> TaskStatus:
        """The status document. Raises Forbidden for a namespace that the caller may not read."""
        if who.pod is not None:
            raise Forbidden("a pod's token does not open this", hint="use an API key")
        if self.jobs is not None:
            self.jobs.namespace_for(who, name, namespace)
        # what the service runs itself is in no namespace, so any that the caller may read will do
        if self.modes[0] is Mode.LOCAL and (local := await self.local(who, name)) is not None:
            return local.document()
        if self.jobs is None:
            return view.not_found(name, namespace or "")
        status = await self.jobs.status(who, name, namespace)
        if status.status is Word.NOT_FOUND and self.modes[0] is Mode.KUBERNETES:
            local = await self.local(who, name)
            return local.document() if local is not None else status
        return status

    async def heartbeat(self, who: Caller, id: str, progress: dict[str, Any] | None) -> dict[str, Any]:
        """A sign of life; the answer says the status, by which a task that was given up knows."""
        task = await self.task(who, id)
        if not task.status.final:
            at = self._now()
            self.bus.publish(heartbeat_topic(id), {"at": at})
            if progress is not None:
                self.bus.publish(progress_topic(id), {**progress, "at": at})
        return {"task_id": id, "status": task.status}

    def followed(self, id: str, one: Again) -> None:
        """While news from other replicas cannot be had, it is told to look again now and then."""
        self._followed.setdefault(id, set()).add(one)

    def unfollowed(self, id: str, one: Again) -> None:
        there = self._followed.get(id, set())
        there.discard(one)
        if not there:
            self._followed.pop(id, None)

    async def poll(self) -> None:
        """The way of updates while the link is down, and a late look at what a lost replica ran; until cancelled.

        Only tasks that another `serve` runs need it: what runs as a Job is seen by our own watch.
        """
        rounds = 0
        while True:
            await asyncio.sleep(POLL_SECONDS)
            rounds += 1
            if self.bus.hears_since is not None and rounds % LATE_ROUNDS:
                continue
            for id, ones in tuple(self._followed.items()):
                if self.processes.owns(id) or not id.startswith(model.PREFIX):
                    continue
                if self.jobs is not None and self.jobs.parts.stores.jobs.by("id", id):
                    continue
                for one in tuple(ones):
                    one.again()


def modes(settings: Settings) -> tuple[Mode, ...]:
    """The first answers."""
    first, second = (Mode.KUBERNETES, Mode.LOCAL) if settings.use_k8s_jobs else (Mode.LOCAL, Mode.KUBERNETES)
    return (first, second) if settings.dual_run else (first,)


@asynccontextmanager
async def opened(
    settings: Settings, parts: Services | None, bus: Bus, now: Callable[[], datetime]
) -> AsyncIterator[TaskDesk]:
    """The desk, with what it runs in the background; at the end no process of a task is left."""
    template = load_template(settings.task_template)
    jobs = TaskJobs(parts, settings.task_heartbeat_retries) if parts is not None else None
    desk = TaskDesk(settings, template, jobs, bus, now)
    kept = Kept(Objects(settings.archive))

    def changed(task: LocalTask) -> None:
        bus.publish(task_topic(task.id), {"status": task.status})

    async with executor(settings, kept, now, changed, bus) as processes, asyncio.TaskGroup() as tasks:
        desk.processes = processes
        desk.comparing = Comparing(desk.modes[0], jobs, processes, kept)
        running = [tasks.create_task(desk.comparing.run()), tasks.create_task(desk.poll())]
        if jobs is not None:
            running.append(tasks.create_task(jobs.watching.run()))
        yield desk
        for task in running:
            task.cancel()


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


async def _ready_desk(connection: HTTPConnection) -> TaskDesk:
    """Raises Unavailable until the caches are in: nobody is answered from half of the cluster."""
    desk: TaskDesk = connection.app.state.tasks
    if desk.jobs is not None:
        stores = desk.jobs.parts.stores
        for store in (stores.jobs, stores.pods, stores.tenants):
            await store.wait_synced()
    return desk


Desk = Annotated[TaskDesk, Depends(_desk)]
ReadyDesk = Annotated[TaskDesk, Depends(_ready_desk)]
