"""Which job is meant: by its id, by what a unique id begins with, or by a name that one job alone has.

`cli.command` asks for every command that takes JOB, `cli.submit` for inputs. A whole id costs no request.
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from longshore.errors import NotFound, Unavailable, UserMistake
from longshore.sdk.answers import Job

if TYPE_CHECKING:
    from longshore.sdk import LongshoreClient

SHORTEST: Final = 4
SHORTEST_FOR_GOOD: Final = 8  # letters, where it cannot be undone
_WHOLE: Final = re.compile(r"[a-z][a-z2-7]{26}|.*/.*", re.DOTALL)
_UPLOAD: Final = "upload"  # upload/ID/NAME is a file of an upload, as the API has it
_SHOWN: Final = 5
_ROWS: Final = 50
_PAGES: Final = 20  # of a long history, each of which the server looks through as far as it does at once


async def resolved(client: "LongshoreClient", own: dict[str, Any], *, for_good: bool) -> dict[str, Any]:
    """The command's parameters, with ids in place of what was typed as JOB."""
    found = dict(own)
    if isinstance(typed := own.get("job_id"), str):
        found["job_id"] = await _meant(client, typed, for_good=for_good)
    if several := own.get("job_ids"):
        found["job_ids"] = [await _meant(client, each, for_good=for_good) for each in several]
    return found


async def inputs(client: "LongshoreClient", wanted: dict[str, object]) -> dict[str, object]:
    """A job to submit, with ids in place of what was typed as JOB of JOB/FILE; an upload has no name but its own."""
    items = wanted.get("inputs")
    if not isinstance(items, list):
        return wanted
    found = []
    for item in items:
        typed, slash, file = str(item.get("artifact", "")).partition("/") if isinstance(item, dict) else ("", "", "")
        is_job = slash and not (typed == _UPLOAD and "/" in file)
        found.append({**item, "artifact": f"{await _meant(client, typed, for_good=False)}/{file}"} if is_job else item)
    return {**wanted, "inputs": found}


async def _meant(client: "LongshoreClient", typed: str, *, for_good: bool) -> str:
    if not typed or _WHOLE.fullmatch(typed):
        return typed
    return choose(typed, await _candidates(client, typed), for_good=for_good)


def choose(typed: str, jobs: Sequence[Job], *, for_good: bool) -> str:
    """The id that is meant; where none of these fits, what was typed, of which the server says that it is not there.

    Raises UserMistake where several fit, or where what cannot be undone is asked for by less than it takes.
    """
    if any(job.id == typed for job in jobs):
        return typed
    by_id = [job for job in jobs if job.id.startswith(typed)] if len(typed) >= SHORTEST else []
    by_name = [job for job in jobs if job.name == typed]
    fitting = list({job.id: job for job in (*by_id, *by_name)}.values())
    if len(fitting) > 1:
        more = ", ..." if len(fitting) > _SHOWN else ""
        raise UserMistake(f"{typed!r} may be any of {len(fitting)} jobs", hint=f"say which: {_named(fitting)}{more}")
    if for_good and fitting and (not by_id or len(typed) < SHORTEST_FOR_GOOD):
        what = "too short" if by_id else "a job's name"
        least = f"what cannot be undone takes its id, or the first {SHORTEST_FOR_GOOD} letters of it"
        raise UserMistake(f"{typed!r} is {what}: {least}", hint=f"it may be {_named(fitting)}")
    return fitting[0].id if fitting else typed


def _named(jobs: Sequence[Job]) -> str:
    return ", ".join(f"{job.id} ({job.name or job.kind}, {job.status.lower()})" for job in jobs[:_SHOWN])


async def _candidates(client: "LongshoreClient", typed: str) -> list[Job]:
    """Jobs whose id begins so or whose name is this; while the archive is away, those in the cluster.

    Raises UserMistake where the history is too long to know that there is no other.
    """
    jobs: list[Job] = []
    cursor, away = None, False
    for _ in range(_PAGES):
        try:
            page = await client.jobs.list(called=typed, limit=_ROWS, cursor=cursor)
        except Unavailable:
            if not away:
                raise
            return jobs
        except NotFound:  # the tenant: the command itself is told so, in its own words
            return jobs
        jobs += page.items
        if page.damaged is not None:
            raise UserMistake(
                f"whether {typed!r} is the only job called so is not known: the archive's list is damaged",
                hint="say the whole id; 'longshore archive verify --repair' mends the list",
            )
        cursor, away = page.cursor, away or page.archive is not None
        if cursor is None or len(jobs) >= _ROWS:
            return jobs
    raise UserMistake(f"there are too many jobs to look for {typed!r} among them", hint="say the whole id")
