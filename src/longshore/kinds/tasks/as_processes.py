"""The local process executor: tasks as children of this `serve`, no cluster needed. The former way, kept to go back to.

It runs the operator's command only, so many at once, so many waiting, each with a time limit. `desk` submits and asks.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import structlog

from longshore.errors import AlreadyExists, Conflict, UserMistake
from longshore.kinds.jobs.find import heartbeat_topic
from longshore.kinds.tasks import model, silence
from longshore.kinds.tasks.kept import RENEW_SECONDS, Kept, LocalTask, is_name
from longshore.kinds.tasks.model import Asked, Template
from longshore.kinds.tasks.running import Around, Running
from longshore.kinds.tasks.silence import Promise
from longshore.kinds.tasks.turns import Turns
from longshore.kinds.tasks.view import Word
from longshore.runtime.bus import Bus
from longshore.runtime.outcome import is_cancelled
from longshore.settings import Settings

log = structlog.get_logger(__name__)
RETRY_PAUSE_SECONDS = 1.0
REMEMBERED = 1000  # finished ones, in memory
TENANTS = 20  # so many may have all of their tasks waiting that they may


class Processes:
    """One per `serve`. `changed` is called with each new state of a task."""

    def __init__(
        self,
        settings: Settings,
        kept: Kept,
        now: Callable[[], datetime],
        changed: Callable[[LocalTask], None],
        bus: Bus,
    ) -> None:
        self._settings = settings
        self._kept = kept
        self._now = now
        self._bus = bus
        self._around = Around(kept, now, changed, bus)
        self._known: OrderedDict[str, Running] = OrderedDict()
        waiting = settings.task_local_queue
        self._turns = Turns(settings.task_local_parallel, each=waiting, most=TENANTS * waiting)
        self._tasks: set[asyncio.Task[None]] = set()
        self._awake_since = 0.0

    async def submit(self, tenant: str, template: Template, asked: Asked, id: str) -> bool:
        """Take a task in; False where the same donation is here already. Raises Conflict for another by its name,
        TooManyRequests when too many wait, Unavailable when nothing can be kept of it.
        """
        if not template.argv:
            raise UserMistake("TASK_TEMPLATE names no command", hint="the operator adds command: [...] to it")
        if (earlier := await self.find(tenant, id)) is not None:
            return self._same(earlier, asked)
        self._turns.enter(tenant)
        work: asyncio.Task[None] | None = None
        try:
            work = await self._take_in(tenant, template, asked, id)
        finally:
            if work is None:
                self._turns.leave(tenant)
        return work is not None

    async def _take_in(self, tenant: str, template: Template, asked: Asked, id: str) -> asyncio.Task[None] | None:
        """Its work, begun; None where another has taken in the same donation meanwhile."""
        now = self._now()
        task = LocalTask(
            id=id,
            tenant=tenant,
            run=asked.pipeline_run_id,
            asked=asked.digest(),
            owner=f"process {os.getpid()} on {socket.gethostname()}",
            created=now,
            renewed=now,
        )
        try:
            await self._kept.add(task)
        except AlreadyExists:
            there = await self._kept.get(tenant, id)
            self._same(there or task, asked)
            return None
        running = Running(task, template, template.argv, model.environment(template, asked, id), self._around)
        running.promised = model.promises_heartbeats(template, asked)
        if running.promised and template.retries is None:
            running.retries = self._settings.task_heartbeat_retries
        self._remember(running)
        work = asyncio.create_task(self._live(running), name=id)
        self._tasks.add(work)
        work.add_done_callback(self._tasks.discard)
        work.add_done_callback(lambda _: None if running.begun else self._turns.leave(tenant))
        return work

    async def find(self, tenant: str | None, id: str) -> LocalTask | None:
        """The task, in this process or kept; None as tenant asks all."""
        running = self._known.get(id)
        if running is not None and tenant in (None, running.task.tenant):
            return running.seen()
        if not is_name(id):
            return None
        found = await (self._kept.find(id) if tenant is None else self._kept.get(tenant, id))
        return None if found is None else found.as_of(self._now())

    def offer(self, topic: str, _value: Any) -> None:
        """Called by the bus: a task says that it is alive, here or at another replica."""
        if (running := self._known.get(topic.partition("/")[2])) is not None:
            running.beat = asyncio.get_running_loop().time()

    def owns(self, id: str) -> bool:
        return id in self._known

    async def run(self) -> None:
        """Renews what is kept of running tasks, and judges those that fell silent, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._renew())
            tasks.create_task(self._listen_for_silence())

    async def stop(self) -> None:
        """End every task that still runs, with its processes."""
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(tuple(self._tasks))

    def look(self, now: float, slept: float = 0.0) -> None:
        """End the attempts that promised heartbeats and are silent; each goes on as `_live` decides. `slept`: since the
        look before."""
        promises = [
            Promise(one.task.id, one.since, one.beat, one.retries)
            for one in self._known.values()
            if one.promised and one.attempt is not None
        ]
        limit, meant = self._settings.task_heartbeat_limit_seconds, self._settings.task_heartbeat_check_seconds
        if silence.overslept(slept, meant=meant, limit=limit):
            self._awake_since = now
        linked = self._bus.hears_since
        hears_since = None if linked is None else max(linked, self._awake_since)
        for verdict in silence.verdicts(promises, now, hears_since=hears_since, limit=limit):
            running = self._known[verdict.id]
            log.warning("task is silent", task=verdict.id, seconds=round(verdict.silent), again=verdict.again)
            running.silent = True
            if running.attempt is not None:
                running.attempt.cancel()

    async def _live(self, running: Running) -> None:
        """One task from its waiting to its end."""
        topic, running.begun = heartbeat_topic(running.task.id), True
        self._bus.join(topic, self)
        try:
            async with self._turns.place(running.task.tenant):
                while True:
                    code = await running.once()
                    if code == 0 or running.retries <= 0 or running.task.reason == "CannotStart":
                        break
                    if is_cancelled():  # it had failed by itself just before
                        raise asyncio.CancelledError
                    running.retries -= 1
                    running.set(reason="Retrying", message="It failed and is tried again.")
                    await asyncio.sleep(RETRY_PAUSE_SECONDS)
            running.finish(code)
        except OSError as error:  # of the service's own disk or its open files: it must not look as if it ran
            log.error("a task could not be run", task=running.task.id, why=str(error))
            running.set(reason="CannotStart", message=f"The service has no place for it: {error.strerror}.")
            running.finish(None)
        except asyncio.CancelledError:
            running.set(
                status=Word.FAILED,
                reason="ServiceStopped",
                message="The service that ran it was stopped.",
                finished=self._now(),
            )
            raise
        finally:
            self._bus.leave(topic, self)
            self._turns.leave(running.task.tenant)  # it is over: that it is still being kept keeps nobody out
            await running.keep()

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            for running in tuple(self._known.values()):
                if running.unkept or not running.task.status.final:
                    await running.keep()

    async def _listen_for_silence(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            asleep = clock()
            await asyncio.sleep(self._settings.task_heartbeat_check_seconds)
            self.look(now := clock(), now - asleep)

    def _remember(self, running: Running) -> None:
        self._known[running.task.id] = running
        over = [id for id, one in self._known.items() if one.task.status.final and not one.unkept]
        for id in over[: max(0, len(over) - REMEMBERED)]:
            del self._known[id]

    def _same(self, earlier: LocalTask, asked: Asked) -> bool:
        if earlier.asked != asked.digest():
            raise Conflict("this donation was sent with other parameters", hint="use another donation id")
        return False


@asynccontextmanager
async def executor(
    settings: Settings, kept: Kept, now: Callable[[], datetime], changed: Callable[[LocalTask], None], bus: Bus
) -> AsyncIterator[Processes]:
    """It, with what it does in the background; at the end nothing that it started is left."""
    processes = Processes(settings, kept, now, changed, bus)
    running = asyncio.create_task(processes.run())
    try:
        yield processes
    finally:
        running.cancel()
        await asyncio.wait([running])
        await processes.stop()
