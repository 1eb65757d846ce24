"""One task in a process of this service, as it is now: what is told of it, what is kept of it, and its attempts.

`as_processes` says when it is its turn, and how often it is tried.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import structlog

from longshore.errors import LongshoreError, UserMistake
from longshore.kinds.jobs.find import heartbeat_topic, progress_topic
from longshore.kinds.tasks import process
from longshore.kinds.tasks.kept import Kept, LocalTask
from longshore.kinds.tasks.model import Template
from longshore.kinds.tasks.process import Output
from longshore.kinds.tasks.view import Word
from longshore.runner.lines import JsonLines
from longshore.runtime.bus import Bus
from longshore.runtime.outcome import is_cancelled

log = structlog.get_logger(__name__)

DEFAULT_TIMEOUT = 3600
PROGRESS_SECONDS = 1.0


@dataclass(frozen=True)
class Around:
    """Where a task is kept, and who is told: `changed` of each new state."""

    kept: Kept
    now: Callable[[], datetime]
    changed: Callable[[LocalTask], None]
    bus: Bus


class Running:
    """One task in this process: `task` is what is so now; replaced, never changed."""

    def __init__(
        self, task: LocalTask, template: Template, argv: Sequence[str], env: dict[str, str], around: Around
    ) -> None:
        self._around = around
        self.task = task
        self.argv, self.env = list(argv), env
        self.timeout = template.timeout or DEFAULT_TIMEOUT
        self.begun = False
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

    async def once(self) -> int | None:
        """The exit code of one attempt, None where there is none; why is in the task's reason."""
        task = self.task
        self.set(
            status=Word.RUNNING,
            reason="Running",
            message="The task is running.",
            started=task.started or self._around.now(),
            attempts=task.attempts + 1,
        )
        await self.keep()
        self.since, self.beat, self.silent = asyncio.get_running_loop().time(), None, False
        with tempfile.TemporaryDirectory(prefix="longshore-task-", ignore_cleanup_errors=True) as folder:
            following = asyncio.create_task(self._follow_progress(Path(folder)))
            try:
                code = await self._run(Path(folder))
            finally:
                following.cancel()
                await asyncio.wait([following])
        if code != 0:
            self.set(failed=self.task.failed + 1)
        return code

    async def _run(self, folder: Path) -> int | None:
        work = process.run(self.argv, self.env, folder, self.output, self.timeout)
        attempt = self.attempt = asyncio.create_task(work)
        try:
            return await attempt
        except TimeoutError:
            self.set(reason="DeadlineExceeded", message=f"It ran longer than {self.timeout} s and was ended.")
        except UserMistake as mistake:
            self.set(reason="CannotStart", message=mistake.message)
        except asyncio.CancelledError:
            if not self.silent or is_cancelled():
                await _ended(attempt)
                raise
            self.set(reason="HeartbeatLost", message="It promised heartbeats and fell silent.")
        finally:
            self.attempt = None
        return None

    def finish(self, code: int | None) -> None:
        ended: dict[str, Any] = {"finished": self._around.now(), "exit_code": code}
        if code == 0:
            ended |= {"status": Word.SUCCEEDED, "reason": "Completed", "message": "The task ended with exit code 0."}
        elif code is None:
            ended |= {"status": Word.FAILED}
        else:
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            ended |= {"status": Word.FAILED, "reason": "Error", "message": f"The command ended with {how}."}
        self.set(**ended)

    def set(self, **fields: Any) -> None:
        before = self.task.status
        self.task = msgspec.structs.replace(self.task, **fields)
        if self.task.status is not before:
            log.info("task status", task=self.task.id, status=self.task.status, reason=self.task.reason)
        self._around.changed(self.seen())

    def seen(self) -> LocalTask:
        output = self.output
        return msgspec.structs.replace(
            self.task, output=output.text, output_bytes=output.size, output_sha256=output.sha256
        )

    async def keep(self) -> None:
        await _whole(self._write())

    async def _write(self) -> None:
        async with self.keeping:
            self.task = msgspec.structs.replace(self.task, renewed=self._around.now())
            try:
                await self._around.kept.put(self.seen())
                self.unkept = False
            except LongshoreError as error:  # it is in memory, and tried again at the next renewal
                self.unkept = True
                log.warning("what became of a task could not be kept", task=self.task.id, why=error.message)

    async def _follow_progress(self, folder: Path) -> None:
        """What the command appends to its progress file is told as if it had been sent; until cancelled."""
        if not self.progress:
            return
        lines = JsonLines(folder / self.progress)
        while True:
            if (told := lines.poll()) is not None:
                at = self._around.now()
                self._around.bus.publish(progress_topic(self.task.id), {**told.document(), "at": at})
                self._around.bus.publish(heartbeat_topic(self.task.id), {"at": at})
            await asyncio.sleep(PROGRESS_SECONDS)


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
