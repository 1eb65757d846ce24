"""`longshore watch`: a live table of jobs, or one job until it has ended; changes come by stream, or by polling.

The rows are a fold of the changes that `sdk.stream` yields; on a terminal they are drawn anew, to a program or a pipe
each change is a line.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.table import Table

from longshore.cli.command import Call, command
from longshore.cli.completion import complete_jobs
from longshore.cli.follow import conclude
from longshore.cli.listing import COLUMNS, FILTERS, filters, row
from longshore.cli.output import Output, cell

if TYPE_CHECKING:
    from longshore.sdk import Change, Job

_FRAMES = 4  # a second
_WIDE = 140
_SPARED = ("KIND", "TENANT", "CREATED")
Watched = Annotated[
    str | None,
    typer.Argument(metavar="JOB", help="One job, until it has ended; else the list.", autocompletion=complete_jobs),
]


def register(app: typer.Typer) -> None:
    """Add `watch` to a group of commands."""
    command(app, "watch", options=FILTERS)(watch)


async def watch(
    call: Call,
    job_id: Watched = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="Rows of the table.")] = 50,
    **said: Any,
) -> int:
    """Show jobs as they change, newest first, until Ctrl-C; of one job until it has ended."""
    call.goes_on = f"{job_id} goes on" if job_id else "the jobs go on"
    wanted = filters(said)
    changes = call.client.jobs.watch(
        job_id,
        kind=wanted["kind"],
        status=wanted["status"],
        name=wanted["name"],
        tags=wanted["tags"],
        limit=limit,
        window=job_id is None,
    )
    rows = Rows()
    if call.out.terminal and not call.out.json:
        with Live(rows, console=call.out.data, refresh_per_second=_FRAMES, transient=False) as live:
            async for change in changes:
                rows.take(change)
            live.refresh()
    else:
        async for change in changes:
            before = dict(rows.jobs)
            _tell(call.out, rows.take(change), before)
    last = next(iter(rows.jobs.values()), None)
    return conclude(call.out, last) if job_id and last is not None and last.final else 0


class Rows:
    """The jobs that are shown, by id, as they are now; drawn into as many lines as the terminal has."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}

    def take(self, change: "Change") -> list["Job"]:
        """Fold a change in; the jobs that are another than before."""
        if change.type == "snapshot":
            before, self.jobs = self.jobs, {job.id: job for job in change.jobs}
            return [job for job in change.jobs if before.get(job.id) != job]
        if change.type == "job" and change.job is not None:
            self.jobs[change.job.id] = change.job
            return [change.job]
        if change.type == "gone" and change.id is not None and not change.archived:
            self.jobs.pop(change.id, None)
        return []

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield table(self.jobs, options.max_height or console.height, options.max_width)


def table(jobs: Mapping[str, "Job"], height: int, width: int) -> Table:
    """Newest first, a line each, no more than fit; a narrow one leaves out what says least, for the message."""
    shown = [number for number, column in enumerate(COLUMNS) if width >= _WIDE or column not in _SPARED]
    drawn = Table(box=None, pad_edge=False, header_style="bold", expand=True)
    for column in (COLUMNS[number] for number in shown):
        last = column == COLUMNS[-1]
        drawn.add_column(column, no_wrap=True, overflow="ellipsis", ratio=1 if last else None)
    newest = sorted(jobs.values(), key=lambda job: (job.created is not None, job.created, job.id), reverse=True)
    for job in newest[: max(1, height - 2)]:
        values = row(job)
        drawn.add_row(*(cell(values[number]) for number in shown))
    return drawn


def _tell(out: Output, changed: list["Job"], before: Mapping[str, "Job"]) -> None:
    """A line each; to people none that reads as the one before it of that job."""
    for job in changed:
        if out.json:
            out.line({"job": job})
        elif (known := before.get(job.id)) is None or _line(known) != _line(job):
            out.text(_line(job))


def _line(job: "Job") -> str:
    return "  ".join(part for part in (job.id, job.name or "-", job.status, job.message or "") if part)
