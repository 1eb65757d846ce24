"""Follows a job until it has ended: its log as data, its progress as talk; `jobs` and `simulations` use it.

On a terminal a bar stays below the log; a program reads JSON lines; a pipe gets the bare log.
"""

import asyncio
import sys
from contextlib import ExitStack, aclosing
from typing import TYPE_CHECKING, Final, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Column
from rich.text import Text

from longshore.cli.command import Call
from longshore.cli.indexed import IndexedLog, has_own_logs, prefixed
from longshore.cli.lines import Lines
from longshore.cli.output import Output, duration, printable

if TYPE_CHECKING:
    from longshore.sdk import Job

_LOG_END: Final = 30.0


class View(Protocol):
    """How a followed job is shown."""

    def log(self, chunk: bytes) -> None:
        """The next bytes of the log; none when it has ended."""

    def line(self, index: int, line: bytes) -> None:
        """The next line of the log of an index."""

    def job(self, job: "Job") -> None:
        """The job as it is now."""


async def follow(call: Call, submitted: "Job") -> int:
    """Show the log and progress of a job until it has ended; 0 when it succeeded, else 1."""
    job_id = submitted.id
    call.goes_on = f"{job_id} goes on running; `longshore stop {job_id}` ends it"
    with ExitStack() as stack:
        view = _view(call.out, stack)
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(_read_log(call, submitted, view))
            job = await call.client.jobs.wait(job_id, seen=view.job)
            call.goes_on = None
            await asyncio.wait([reading], timeout=_LOG_END)
            if not reading.done():
                reading.cancel()
                call.out.say(f"the log did not end in {_LOG_END:.0f} s; read it with `longshore logs {job_id}`")
    return conclude(call.out, job)


def conclude(out: Output, job: "Job") -> int:
    """Say how a job ended; the exit code of a command that waited for it."""
    if out.json:
        return 0 if job.status == "Succeeded" else 1
    took = duration(job.started, job.finished)
    text = f"{job.id} {job.status.lower()}" + (f" after {took}" if took else "")
    if job.status == "Succeeded":
        out.say(text)
        return 0
    out.say(f"{text}: {job.message or job.reason or 'no reason is known'}")
    if job.hint:
        out.hint(job.hint)
    return 1


async def _read_log(call: Call, job: "Job", view: View) -> None:
    if has_own_logs(job):
        await IndexedLog(call, job, {}, view.line).follow()
        return
    async with aclosing(call.client.jobs.logs(job.id, follow=True)) as chunks:
        async for chunk in chunks:
            view.log(chunk)
    view.log(b"")


def _view(out: Output, stack: ExitStack) -> View:
    if out.json:
        return _JsonLines(out)
    if sys.stderr.isatty():
        bar = _Bar(out)
        stack.enter_context(bar.drawn)
        return bar
    return _Plain(out)


class _JsonLines:
    """One JSON object a line: {"log": a line} and, whenever it changed, {"job": the record}."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._lines = Lines()
        self._last: Job | None = None

    def log(self, chunk: bytes) -> None:
        for line in self._lines.feed(chunk) if chunk else self._lines.rest():
            self._out.line({"log": line})

    def line(self, index: int, line: bytes) -> None:
        self._out.line({"index": index, "log": line.decode(errors="replace")})

    def job(self, job: "Job") -> None:
        if job != self._last:
            self._out.line({"job": job})
            self._last = job


class _Plain:
    """Bare log on stdout, a line on stderr whenever status, reason, stage or the tenth of the way is another."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._said: tuple[object, ...] = ()
        self._line = ""

    def log(self, chunk: bytes) -> None:
        self._out.raw(chunk)

    def line(self, index: int, line: bytes) -> None:
        self._out.raw(prefixed(index, line))

    def job(self, job: "Job") -> None:
        progress = job.progress
        tenth = int(progress.fraction * 10) if progress and progress.fraction is not None else None
        state = (job.status, job.reason, progress.stage if progress else None, tenth)
        if not job.final and state != self._said:
            self._said = state
            if (line := headline(job)) != self._line:
                self._line = line
                self._out.say(f"{job.id} {line}")


class _Bar:
    """A bar below the log. Where both go to one terminal, the log is printed above it, line by line."""

    def __init__(self, out: Output) -> None:
        self._out = out
        console = Console(highlight=False) if out.terminal else out.people
        self.drawn = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, min_width=9)),
            BarColumn(bar_width=16),
            TaskProgressColumn(table_column=Column(no_wrap=True, min_width=4)),
            TimeElapsedColumn(table_column=Column(no_wrap=True, min_width=7)),
            TextColumn("{task.fields[note]}", markup=False, table_column=Column(no_wrap=True, ratio=1)),
            console=console,
            transient=True,
            expand=True,
        )
        self._task = self.drawn.add_task("", total=None, note="")
        self._lines = Lines()

    def log(self, chunk: bytes) -> None:
        if not self._out.terminal:
            self._out.raw(chunk)
            return
        for line in self._lines.feed(chunk) if chunk else self._lines.rest():
            # Programs redraw a line by a carriage return; what they left standing is what counts.
            shown = line.rstrip("\r").rpartition("\r")[2]
            self.drawn.console.print(Text.from_ansi(shown), soft_wrap=True)

    def line(self, index: int, line: bytes) -> None:
        self.log(prefixed(index, line.rstrip(b"\r").rpartition(b"\r")[2]))

    def job(self, job: "Job") -> None:
        progress = job.progress
        fraction = progress.fraction if progress else None
        total = 1.0 if fraction is not None else None
        done, note = fraction or 0.0, _note(job)
        # drawn at once: what does not last until the next frame is seen too
        self.drawn.update(self._task, description=job.status, total=total, completed=done, note=note, refresh=True)


def headline(job: "Job") -> str:
    """A job's state in one line: status, how far, and what it says of itself or waits for."""
    fraction = job.progress.fraction if job.progress and not job.final else None
    parts = [job.status.lower(), f"{fraction:.0%}" if fraction is not None else "", _note(job)]
    return " ".join(part for part in parts if part)


def _note(job: "Job") -> str:
    """In one line, whoever wrote it."""
    said = job.message or ""
    if job.progress and not job.final:
        said = ": ".join(part for part in (job.progress.stage, job.progress.message) if part)
    elif job.why and job.why.sentence and not job.final:
        said = job.why.sentence
    return " ".join(printable(said).split()).rstrip(".")
