"""`longshore list`: one page of jobs or all of them, as a table, names or JSON; `row` is what `watch` shows too."""

import textwrap
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from longshore.cli.command import Call, command
from longshore.cli.completion import STATUSES, Status
from longshore.cli.follow import headline
from longshore.cli.options import pair
from longshore.cli.output import duration
from longshore.errors import Unavailable, UserMistake

if TYPE_CHECKING:
    from longshore.sdk import Job, JobFilters, Page

_AT_ONCE = 200
_SAID = 120  # letters of a row; `get` shows all
COLUMNS: Final = ("ID", "NAME", "KIND", "TENANT", "STATUS", "CREATED", "RAN FOR", "MESSAGE")
WIDE: Final = (*COLUMNS[:-1], "IMAGE", "TAGS", "MESSAGE")
FILTERS: Final[dict[str, Any]] = {
    "status": Annotated[str | None, Status],
    "kind": Annotated[str | None, typer.Option("--kind", help="job, simulation, task, ...")],
    "name": Annotated[str | None, typer.Option("--name", help="What the name begins with.")],
    "tag": Annotated[list[str] | None, typer.Option("--tag", metavar="KEY=VALUE", help="With this tag; repeatable.")],
}


class Form(StrEnum):
    """How a list is printed."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    NAME = "name"


def register(app: typer.Typer) -> None:
    """Add `list` to a group of commands."""
    command(app, "list", options=FILTERS)(list_)


async def list_(
    call: Call,
    created_after: Annotated[str | None, typer.Option(help="Not before this time (RFC 3339).")] = None,
    created_before: Annotated[str | None, typer.Option(help="Before this time (RFC 3339).")] = None,
    live: Annotated[bool, typer.Option("--live", help="Only what is still in the cluster.")] = False,
    sort: Annotated[
        str | None, typer.Option(help="-created or created; with --live also name, -name.", metavar="ORDER")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="Rows of a page.")] = 50,
    cursor: Annotated[str | None, typer.Option(help="Where the page before ended.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every page.")] = False,
    form: Annotated[Form, typer.Option("--output", "-o", help="How to print it.")] = Form.TABLE,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only ids, a line each.")] = False,
    **said: Any,
) -> None:
    """List jobs, live and archived, newest first."""
    wanted: JobFilters = {
        **filters(said),
        "created_after": _time(created_after),
        "created_before": _time(created_before),
        "archived": False if live else None,
        "sort": sort,
    }
    jobs, following, page = await _read(call, wanted, limit, cursor, every)
    if call.out.json or form is Form.JSON:
        call.out.document({"items": jobs, "cursor": following} if every else page)
    elif quiet or form is Form.NAME:
        for job in jobs:
            call.out.text(job.id)
    else:
        wide = form is Form.WIDE
        call.out.table(WIDE if wide else COLUMNS, (row(job, wide=wide) for job in jobs))
        if not jobs and not following:
            call.out.say("there are no jobs to show")
    if following and not call.out.json:
        call.out.say(f"there are more: --cursor {following}, or --all")


def filters(said: dict[str, Any]) -> "JobFilters":
    """What the options of FILTERS narrow a list to."""
    return {
        "status": _known(said.get("status")),
        "kind": said.get("kind"),
        "name": said.get("name"),
        "tags": dict(pair(each) for each in said.get("tag") or ()) or None,
    }


def _known(status: str | None) -> str | None:
    """A status as the API writes it. Raises UserMistake for a word that is none."""
    if status is None:
        return None
    known = {each.lower(): each for each in STATUSES}
    if status.lower() not in known:
        raise UserMistake(f"there is no status {status!r}", hint=f"use one of: {', '.join(STATUSES)}", field="status")
    return known[status.lower()]


def _time(text: str | None) -> str | None:
    """A time that is passed on as it was typed. Raises UserMistake for what is none."""
    if text is not None:
        try:
            datetime.fromisoformat(text)
        except ValueError:
            hint = "write it as 2026-05-01 or 2026-05-01T12:00:00Z"
            raise UserMistake(f"{text!r} is no time", hint=hint) from None
    return text


async def _read(
    call: Call, wanted: "JobFilters", limit: int, cursor: str | None, every: bool
) -> tuple[list["Job"], str | None, object]:
    if every and cursor is None:
        return *await _everything(call, wanted), None
    page = await call.client.jobs.list(limit=limit, cursor=cursor, **wanted)
    _say_away(call, page)
    _say_damaged(call, page)
    return page.items, page.cursor, page


async def _everything(call: Call, wanted: "JobFilters") -> tuple[list["Job"], str | None]:
    """Every page; while the archive is away those of the cluster, and where the archive's begin."""
    jobs: list[Job] = []
    cursor, told, damage = None, False, False
    while True:
        try:
            page = await call.client.jobs.list(limit=_AT_ONCE, cursor=cursor, **wanted)
        except Unavailable:
            if not told:
                raise
            return jobs, cursor
        jobs += page.items
        told = told or _say_away(call, page)
        damage = damage or _say_damaged(call, page)
        cursor = page.cursor
        if cursor is None:
            return jobs, None


def _say_away(call: Call, page: "Page") -> bool:
    if page.archive is None:
        return False
    since = page.archive.since.astimezone()
    call.out.say(f"the archive does not answer since {since:%H:%M:%S %Z}: what it alone has is not shown")
    return True


def _say_damaged(call: Call, page: "Page") -> bool:
    if page.damaged is None:
        return False
    call.out.say(
        f"up to {page.damaged.entries} archived jobs are missing here, for a part of the archive's list cannot be read:"
        " 'longshore archive verify --repair' lists them again"
    )
    return True


def row(job: "Job", *, wide: bool = False) -> tuple[object, ...]:
    """A job in a line."""
    ran = duration(job.started, job.finished) if job.started else None
    quiet = job.status == "Succeeded" or (job.status == "Running" and not job.progress)
    said = None if quiet else textwrap.shorten(headline(job).partition(" ")[2], _SAID, placeholder=" ...")
    more = (job.image, ",".join(f"{name}={value}" for name, value in job.tags.items())) if wide else ()
    return (job.id, job.name, job.kind, job.tenant, job.status, job.created, ran, *more, said)
