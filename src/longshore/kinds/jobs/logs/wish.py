"""What somebody wants of a log, and which lines that means; pure. Routes make it, `answer` heeds it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from longshore.errors import UserMistake
from longshore.kinds.jobs.logs.lines import MOST_CONTEXT, Lines, moment
from longshore.kinds.jobs.logs.pattern import matcher


@dataclass(frozen=True)
class Wish:
    """What is wanted of a log; times as asked for."""

    follow: bool = False
    tail: int | None = None
    since: str | None = None
    until: str | None = None
    search: str | None = None
    context: int = 0
    timestamps: bool = False
    previous: bool = False
    container: str | None = None
    offset: int | None = None
    late: bool = False
    regex: bool = False
    index: int | None = None


def lines_of(wish: Wish, now: datetime) -> Lines:
    """Raises UserMistake where the wishes cannot be had together."""
    if wish.offset is not None and wish.tail is not None:
        raise UserMistake("offset and tail cannot both say where to begin", hint="leave one out", field="offset")
    if wish.late and (wish.follow or wish.tail is not None or wish.offset is not None):
        hint = "leave follow, tail and offset out"
        raise UserMistake("what came late is read as a whole, beside the log", hint=hint, field="late")
    if wish.tail is not None and wish.follow and (wish.search or wish.since or wish.until):
        hint = "leave tail out, or follow out"
        raise UserMistake("which lines are the last of a log that goes on is not known", hint=hint, field="tail")
    return Lines(
        since=moment(wish.since, now, "since") if wish.since else "",
        until=moment(wish.until, now, "until") if wish.until else "",
        search=matcher(wish.search) if wish.regex and wish.search else (wish.search or "").encode(),
        context=min(wish.context, MOST_CONTEXT),
        timestamps=wish.timestamps,
    )
