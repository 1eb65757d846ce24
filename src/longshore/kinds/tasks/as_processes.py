"""The local process executor: tasks as children of this `serve`, no cluster needed. The former way, kept to go back to.

It runs the operator's command only, so many at once, so many waiting, each with a time limit. `desk` submits and asks.
"""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import structlog

from longshore.errors import AlreadyExists, Conflict, LongshoreError, UserMistake
from longshore.kinds.jobs.find import heartbeat_topic, progress_topic
from longshore.kinds.tasks import model, process, silence
from longshore.kinds.tasks.kept import RENEW_SECONDS, Kept, LocalTask, is_name
from longshore.kinds.tasks.model import Asked, Template
from longshore.kinds.tasks.process import Output
from longshore.kinds.tasks.silence import Promise
from longshore.kinds.tasks.turns import Turns
from longshore.kinds.tasks.view import Word
from longshore.runner.lines import JsonLines
from longshore.runtime.bus import Bus
from longshore.runtime.outcome import is_cancelled
from longshore.settings import Settings

log = structlog.get_logger(__name__)
DEFAULT_TIMEOUT = 3600
RETRY_PAUSE_SECONDS = 1.0
PROGRESS_SECONDS = 1.0
REMEMBERED = 1000  # finished ones, in memory
TENANTS = 20  # so many may have all of their tasks waiting that they may


class Running:
    """One task in this process: `task` is what is so now; replaced, never changed."""

    def __init__(self, task: LocalTask, argv: Sequence[str], env: dict[str, str], template: Template) -> None:
        self.task = task
        self.argv, self.env = list(argv), env
        self.timeout = template.timeout or DEFAULT_TIMEOUT
        self.promised = False
        self.retries = template.retries or 0
        self.progress = template.progress
        self.output = Output()
        self.since = 0.0
        self.beat: float | None = None
        self.attempt: asyncio.Task[int] | None = None
        self.silent = False
        self.unkept = False  # the archive was away when it should have been told
        self.keeping = asyncio.Lock()  # what is written later is what was so later


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
        self._changed = changed
        self._bus = bus
        self._known: OrderedDict[str, Running] = OrderedDict()
        waiting = settings.task_local_queue
        self._turns = Turns(settings.task_local_parallel, each=waiting, most=TENANTS * waiting)
        self._tasks: set[asyncio.Task[None]] = set()

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
        running = Running(task, template.argv, model.environment(template, asked, id), template)
        running.promised = model.promises_heartbeats(template, asked)
        if running.promised and template.retries is None:
            running.retries = self._settings.task_heartbeat_retries
        self._remember(running)
        work = asyncio.create_task(self._live(running), name=id)
        self._tasks.add(work)
        work.add_done_callback(self._tasks.discard)
        work.add_done_callback(lambda _: self._turns.leave(tenant))
        return work

    async def find(self, tenant: str | None, id: str) -> LocalTask | None:
        """The task, in this process or kept; None as tenant asks all."""
        running = self._known.get(id)
        if running is not None and tenant in (None, running.task.tenant):
            return self._seen(running)
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

    def look(self, now: float) -> None:
        """End the attempts that promised heartbeats and are silent; each goes on as `_live` decides."""
        promises = [
            Promise(one.task.id, one.since, one.beat, one.retries)
            for one in self._known.values()
            if one.promised and one.attempt is not None
        ]
        limit = self._settings.task_heartbeat_limit_seconds
        for verdict in silence.verdicts(promises, now, hears_since=self._bus.hears_since, limit=limit):
            running = self._known[verdict.id]
            log.warning("task is silent", task=verdict.id, seconds=round(verdict.silent), again=verdict.again)
            running.silent = True
            if running.attempt is not None:
                running.attempt.cancel()

    async def _live(self, running: Running) -> None:
        """One task from its waiting to its end."""
        topic = heartbeat_topic(running.task.id)
        self._bus.join(topic, self)
        try:
            async with self._turns.place(running.task.tenant):
                while True:
                    code = await self._attempt(running)
                    if code == 0 or running.retries <= 0 or running.task.reason == "CannotStart":
                        break
                    running.retries -= 1
                    self._set(running, reason="Retrying", message="It failed and is tried again.")
                    await asyncio.sleep(RETRY_PAUSE_SECONDS)
            self._finish(running, code)
        except OSError as error:  # of the service's own disk or its open files: it must not look as if it ran
            log.error("a task could not be run", task=running.task.id, why=str(error))
            self._set(running, reason="CannotStart", message=f"The service has no place for it: {error.strerror}.")
            self._finish(running, None)
        except asyncio.CancelledError:
            self._set(
                running,
                status=Word.FAILED,
                reason="ServiceStopped",
                message="The service that ran it was stopped.",
                finished=self._now(),
            )
            raise
        finally:
            self._bus.leave(topic, self)
            await self._keep(running)

    async def _attempt(self, running: Running) -> int | None:
        """The exit code of one attempt, None where there is none; why is in the task's reason."""
        task = running.task
        self._set(
            running,
            status=Word.RUNNING,
            reason="Running",
            message="The task is running.",
            started=task.started or self._now(),
            attempts=task.attempts + 1,
        )
        await self._keep(running)
        running.since, running.beat, running.silent = asyncio.get_running_loop().time(), None, False
        with tempfile.TemporaryDirectory(prefix="longshore-task-", ignore_cleanup_errors=True) as folder:
            work = process.run(running.argv, running.env, Path(folder), running.output, running.timeout)
            running.attempt = asyncio.create_task(work)
            following = asyncio.create_task(self._follow_progress(running, Path(folder)))
            try:
                code: int | None = await running.attempt
            except TimeoutError:
                self._set(
                    running, reason="DeadlineExceeded", message=f"It ran longer than {running.timeout} s and was ended."
                )
                code = None
            except UserMistake as mistake:
                self._set(running, reason="CannotStart", message=mistake.message)
                code = None
            except asyncio.CancelledError:
                if not running.silent or is_cancelled():
                    await _ended(running.attempt)
                    raise
                self._set(running, reason="HeartbeatLost", message="It promised heartbeats and fell silent.")
                code = None
            finally:
                running.attempt = None
                following.cancel()
                await asyncio.wait([following])
        if code != 0:
            self._set(running, failed=running.task.failed + 1)
        return code

    async def _follow_progress(self, running: Running, folder: Path) -> None:
        """What the command appends to its progress file is told as if it had been sent; until cancelled."""
        if not running.progress:
            return
        lines = JsonLines(folder / running.progress)
        while True:
            if (told := lines.poll()) is not None:
                at = self._now()
                self._bus.publish(progress_topic(running.task.id), {**told.document(), "at": at})
                self._bus.publish(heartbeat_topic(running.task.id), {"at": at})
            await asyncio.sleep(PROGRESS_SECONDS)

    def _finish(self, running: Running, code: int | None) -> None:
        ended: dict[str, Any] = {"finished": self._now(), "exit_code": code}
        if code == 0:
            ended |= {"status": Word.SUCCEEDED, "reason": "Completed", "message": "The task ended with exit code 0."}
        elif code is None:
            ended |= {"status": Word.FAILED}
        else:
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            ended |= {"status": Word.FAILED, "reason": "Error", "message": f"The command ended with {how}."}
        self._set(running, **ended)

    def _set(self, running: Running, **fields: Any) -> None:
        before = running.task.status
        running.task = msgspec.structs.replace(running.task, **fields)
        if running.task.status is not before:
            log.info("task status", task=running.task.id, status=running.task.status, reason=running.task.reason)
        self._changed(self._seen(running))

    def _seen(self, running: Running) -> LocalTask:
        output = running.output
        return msgspec.structs.replace(
            running.task, output=output.text, output_bytes=output.size, output_sha256=output.sha256
        )

    async def _keep(self, running: Running) -> None:
        await _whole(self._write(running))

    async def _write(self, running: Running) -> None:
        async with running.keeping:
            running.task = msgspec.structs.replace(running.task, renewed=self._now())
            try:
                await self._kept.put(self._seen(running))
                running.unkept = False
            except LongshoreError as error:  # it is in memory, and tried again at the next renewal
                running.unkept = True
                log.warning("what became of a task could not be kept", task=running.task.id, why=error.message)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            for running in tuple(self._known.values()):
                if running.unkept or not running.task.status.final:
                    await self._keep(running)

    async def _listen_for_silence(self) -> None:
        while True:
            await asyncio.sleep(self._settings.task_heartbeat_check_seconds)
            self.look(asyncio.get_running_loop().time())

    def _remember(self, running: Running) -> None:
        self._known[running.task.id] = running
        over = [id for id, one in self._known.items() if one.task.status.final and not one.unkept]
        for id in over[: max(0, len(over) - REMEMBERED)]:
            del self._known[id]

    def _same(self, earlier: LocalTask, asked: Asked) -> bool:
        if earlier.asked != asked.digest():
            raise Conflict("this donation was sent with other parameters", hint="use another donation id")
        return False


async def _whole(work: Coroutine[Any, Any, None]) -> None:
    """Await it to its end, also when told to stop meanwhile: what was begun is then on record."""
    doing = asyncio.ensure_future(work)
    try:
        await asyncio.shield(doing)
    except asyncio.CancelledError:
        await asyncio.wait([doing])
        raise


async def _ended(attempt: asyncio.Task[int]) -> None:
    """Wait until its processes are gone, however the service ends."""
    attempt.cancel()
    await asyncio.wait([attempt])


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
