"""`longshore logs`: a job's log, now or long after it has ended, all of it or what is looked for."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from longshore.cli.command import Call, command
from longshore.cli.completion import JobId
from longshore.cli.indexed import IndexedLog, Show, has_own_logs, prefixed
from longshore.cli.lines import Lines
from longshore.cli.output import Output

if TYPE_CHECKING:
    from longshore.sdk import Job

_BEFORE = ("Queued", "Pending")
_TIME = "A time (RFC 3339), or how long ago: 90s, 10m, 2h."


def register(app: typer.Typer) -> None:
    """Add `logs` to a group of commands."""
    command(app, "logs")(logs)


async def logs(
    call: Call,
    job_id: JobId,
    follow_log: Annotated[bool, typer.Option("--follow", "-f", help="Until the job has ended.")] = False,
    since: Annotated[str | None, typer.Option("--since", help=f"From then on. {_TIME}")] = None,
    until: Annotated[str | None, typer.Option("--until", help=f"Up to then. {_TIME}")] = None,
    tail: Annotated[int | None, typer.Option("--tail", min=0, help="Only so many of the last lines.")] = None,
    search: Annotated[str | None, typer.Option("--search", help="Only lines with this text.")] = None,
    regex: Annotated[bool, typer.Option("--regex", help="This text is a regular expression (RE2).")] = False,
    context: Annotated[int | None, typer.Option("--context", min=0, help="Lines around each of these.")] = None,
    timestamps: Annotated[bool, typer.Option("--timestamps", help="The time of each line.")] = False,
    previous: Annotated[bool, typer.Option("--previous", "-p", help="Of the attempt before the last.")] = False,
    container: Annotated[str | None, typer.Option("--container", help="Another container's log.")] = None,
    index: Annotated[int | None, typer.Option("--index", min=0, help="Of an indexed job: only of this index.")] = None,
    no_prefix: Annotated[bool, typer.Option("--no-prefix", help="Of an indexed job: lines without index.")] = False,
) -> None:
    """Print a job's log, now or long after it has ended; of an indexed job that of each index."""
    call.goes_on = f"{job_id} is not touched by that" if follow_log else None
    part: dict[str, Any] = {
        "since": since,
        "until": until,
        "tail": tail,
        "search": search,
        "regex": regex,
        "context": context,
        "timestamps": timestamps,
        "previous": previous,
        "container": container,
    }
    if index is None:
        job = await call.client.jobs.get(job_id)
        if job.status in _BEFORE and job.started is None and not call.out.json:
            call.out.say(not_started(job))
        if has_own_logs(job):
            log = IndexedLog(call, job, part, _shown(call.out, prefix=not no_prefix))
            await (log.follow() if follow_log else log.read())
            return
    await _one(call, call.client.jobs.logs(job_id, follow=follow_log, index=index, **part))


def not_started(job: "Job") -> str:
    """Why there is no log yet, in a line, and what says more."""
    said = job.why.sentence if job.why and job.why.sentence else job.message or job.status.lower()
    return f"{job.id} has not started: {' '.join(said.split()).rstrip('.')}; `longshore why {job.id}` says more"


async def _one(call: Call, chunks: AsyncGenerator[bytes, None]) -> None:
    lines = Lines()
    async with aclosing(chunks):
        async for chunk in chunks:
            if call.out.json:
                _print_lines(call.out, lines.feed(chunk))
            else:
                call.out.raw(chunk)
    _print_lines(call.out, lines.rest())


def _shown(out: Output, *, prefix: bool) -> Show:
    def show(index: int, line: bytes) -> None:
        if out.json:
            out.line({"index": index, "log": line.decode(errors="replace")})
        else:
            out.raw(prefixed(index, line) if prefix else line + b"\n")

    return show


def _print_lines(out: Output, lines: list[str]) -> None:
    for line in lines:
        out.line({"log": line})
