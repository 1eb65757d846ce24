"""What Tab completes besides options: ids of jobs, as the API lists them now, and the words for states.

Every command that takes an id or a state uses these; `longshore --install-completion` puts them into the shell.
"""

import asyncio
from contextlib import suppress
from typing import Annotated, Any, Final

import typer

from longshore import errors

STATUSES: Final = ("Queued", "Pending", "Running", "Succeeded", "Failed", "Stopped")
_ROWS: Final = 100
_SECONDS: Final = 2.0  # a person waits behind the key


def complete_jobs(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Ids that begin so, newest first, with what they are; nothing where nobody answers in time."""
    given = context.params
    with suppress(errors.LongshoreError, TimeoutError):
        return asyncio.run(_jobs(given, incomplete))
    return []


async def _jobs(given: dict[str, Any], incomplete: str) -> list[tuple[str, str]]:
    from longshore.sdk import LongshoreClient
    from longshore.sdk.target import Target

    target = Target.choose(given.get("url"), given.get("key"), given.get("cluster"))
    async with (
        asyncio.timeout(_SECONDS),
        LongshoreClient(target.url, target.key, tenant=given.get("tenant"), patience=0) as client,
    ):
        page = await client.jobs.list(limit=_ROWS)
    taken = given.get("job_ids") or ()
    return [
        (job.id, f"{job.status.lower()} {job.name or ''}".strip())
        for job in page.items
        if job.id.startswith(incomplete) and job.id not in taken
    ]


def complete_status(incomplete: str) -> list[str]:
    """States that begin so, in capitals or not, written as they were begun: others the shell would not take."""
    found = [status for status in STATUSES if status.lower().startswith(incomplete.lower())]
    return [incomplete + status[len(incomplete) :] for status in found]


JobId = Annotated[
    str,
    typer.Argument(
        metavar="JOB",
        help="The job's id, 4 letters or more that only it begins with, or its name.",
        autocompletion=complete_jobs,
    ),
]
JobIdForGood = Annotated[
    str, typer.Argument(metavar="JOB", help="The job's id, or 8 letters or more of it.", autocompletion=complete_jobs)
]
JobIds = Annotated[
    list[str],
    typer.Argument(
        metavar="JOB...", help="Ids of jobs, what these begin with, or names.", autocompletion=complete_jobs
    ),
]
Status: Final = typer.Option(
    "--status",
    help="Queued, Pending, Running, Succeeded, Failed or Stopped, in capitals or not.",
    autocompletion=complete_status,
)
