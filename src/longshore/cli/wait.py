"""`longshore wait`: until one job, all or any of several have ended, with an exit code for scripts."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from longshore.cli.command import Call, command
from longshore.cli.completion import JobIds
from longshore.cli.follow import conclude

if TYPE_CHECKING:
    from longshore.sdk import Job

TIMED_OUT = 124


def register(app: typer.Typer) -> None:
    """Add `wait` to a group of commands."""
    command(app, "wait")(wait)


async def wait(
    call: Call,
    job_ids: JobIds,
    any_of_them: Annotated[
        bool, typer.Option("--any/--all", help="Until the first of them has ended, instead of all.")
    ] = False,
    deadline: Annotated[
        float | None, typer.Option("--timeout", min=0, help="Give up after so many seconds: exit code 124.")
    ] = None,
) -> int:
    """Wait until jobs have ended; exit code 1 when one did not succeed."""
    several = len(job_ids) > 1
    call.goes_on = "they go on running" if several else f"{job_ids[0]} goes on running"
    ended: list[Job] = []
    try:
        async with asyncio.timeout(deadline), asyncio.TaskGroup() as group:
            tasks = [group.create_task(call.client.jobs.wait(each)) for each in dict.fromkeys(job_ids)]
            for finished in asyncio.as_completed(tasks):
                ended.append(await finished)
                if any_of_them:
                    break
            for task in tasks:
                task.cancel()
    except TimeoutError:
        call.out.say(too_long(job_ids, ended, deadline))
        return TIMED_OUT
    if call.out.json:
        call.out.document({"items": ended} if several else ended[0])
    return max(conclude(call.out, job) for job in ended)


def too_long(job_ids: Sequence[str], ended: Iterable["Job"], deadline: float | None) -> str:
    """Which of them have not ended in that time."""
    over = {job.id for job in ended}
    left = [each for each in job_ids if each not in over]
    goes = "goes" if len(left) == 1 else "go"
    have = "has" if len(left) == 1 else "have"
    return f"{', '.join(left)} {have} not ended in {deadline:g} s and {goes} on running"
