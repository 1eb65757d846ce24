"""`longshore jobs ...`: submit work of any image and see it through; reads work of every kind."""

import shlex
import textwrap
from typing import TYPE_CHECKING, Annotated

import typer

from longshore.cli.command import Call, command
from longshore.cli.follow import conclude, follow, headline
from longshore.cli.lines import Lines
from longshore.cli.output import Output, duration

if TYPE_CHECKING:
    from longshore.sdk import Job

app = typer.Typer(help="Jobs of every kind: submit, list, read logs, stop.", no_args_is_help=True)

JobId = Annotated[str, typer.Argument(metavar="JOB", help="The job's id.")]
TIMED_OUT = 124
_SAID = 120  # letters of a row; `get` shows all


def pair(text: str) -> tuple[str, str]:
    """KEY=VALUE."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise typer.BadParameter(f"{text!r} is not KEY=VALUE")
    return name, value


@command(app, "submit")
async def submit(
    call: Call,
    image: Annotated[str, typer.Option("--image", "-i", help="Container image to run.")],
    argv: Annotated[list[str] | None, typer.Argument(metavar="-- CMD ARGS", help="What to run in it.")] = None,
    name: Annotated[str | None, typer.Option("--name", "-n", help="A name for people.")] = None,
    cpu: Annotated[str | None, typer.Option(help="Cores, such as 2 or 500m.")] = None,
    memory: Annotated[str | None, typer.Option(help="Memory, such as 512Mi.")] = None,
    env: Annotated[list[str] | None, typer.Option("--env", "-e", metavar="KEY=VALUE", help="Repeatable.")] = None,
    output: Annotated[list[str] | None, typer.Option("--output", "-o", help="Glob of files to keep.")] = None,
    retries: Annotated[int | None, typer.Option(min=0, help="How often to try again when it fails.")] = None,
    time_limit: Annotated[int | None, typer.Option(min=1, help="Seconds after which it is ended.")] = None,
    tag: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="Repeatable.")] = None,
    idempotency_key: Annotated[str | None, typer.Option(help="The same key is the same job.")] = None,
    follow_log: Annotated[bool, typer.Option("--follow", "-f", help="Show its log until it has ended.")] = False,
) -> int:
    """Submit a job: longshore jobs submit --image longshore/host -- echo hello"""
    job = await call.client.jobs.submit(
        image,
        argv or (),
        name=name,
        env=dict(pair(each) for each in env or ()),
        cpu=cpu,
        memory=memory,
        outputs=output or (),
        retries=retries,
        time_limit=time_limit,
        tags=dict(pair(each) for each in tag or ()),
        idempotency_key=idempotency_key,
    )
    return await submitted(call, job, follow_log)


async def submitted(call: Call, job: "Job", follow_log: bool) -> int:
    """What every kind's `submit` does next: print the id, or see the job through."""
    if follow_log:
        call.out.say(f"submitted {job.id}")
        return await follow(call, job.id)
    if call.out.json:
        call.out.document(job)
    else:
        call.out.text(job.id)
        call.out.say(f"{headline(job)}; `longshore jobs logs --follow {job.id}` shows its log")
    return 0


@command(app, "list")
async def list_(
    call: Call,
    status: Annotated[str | None, typer.Option(help="Queued, Pending, Running, Succeeded, Failed or Stopped.")] = None,
    kind: Annotated[str | None, typer.Option(help="job, simulation, ...")] = None,
    name: Annotated[str | None, typer.Option(help="Part of the name.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="Rows of a page.")] = 50,
    cursor: Annotated[str | None, typer.Option(help="Where the page before ended.")] = None,
) -> None:
    """List jobs, live and archived, newest first."""
    page = await call.client.jobs.list(kind=kind, status=status, name=name, limit=limit, cursor=cursor)
    if call.out.json:
        call.out.document(page)
        return
    columns = ("ID", "NAME", "KIND", "TENANT", "STATUS", "CREATED", "RAN FOR", "")
    call.out.table(columns, (_row(job) for job in page.items))
    if page.cursor:
        call.out.say(f"there are more: --cursor {page.cursor}")


@command(app, "get")
async def get(call: Call, job_id: JobId) -> None:
    """Show one job."""
    job = await call.client.jobs.get(job_id)
    if call.out.json:
        call.out.document(job)
    else:
        _card(call.out, job)


@command(app, "logs")
async def logs(
    call: Call,
    job_id: JobId,
    follow_log: Annotated[bool, typer.Option("--follow", "-f", help="Until the job has ended.")] = False,
    tail: Annotated[int | None, typer.Option(min=0, help="Only the last lines.")] = None,
    timestamps: Annotated[bool, typer.Option("--timestamps", help="The time of each line.")] = False,
    container: Annotated[str | None, typer.Option("--container", "-c", help="Another container's log.")] = None,
) -> None:
    """Print a job's log, now or long after it has ended."""
    call.goes_on = f"{job_id} is not touched by that" if follow_log else None
    lines = Lines()
    async for chunk in call.client.jobs.logs(
        job_id, follow=follow_log, tail=tail, timestamps=timestamps, container=container
    ):
        if call.out.json:
            _print_lines(call.out, lines.feed(chunk))
        else:
            call.out.raw(chunk)
    _print_lines(call.out, lines.rest())


@command(app, "wait")
async def wait(
    call: Call,
    job_id: JobId,
    deadline: Annotated[
        float | None, typer.Option("--timeout", min=0, help="Give up after so many seconds: exit code 124.")
    ] = None,
) -> int:
    """Wait until a job has ended; exit code 1 when it did not succeed."""
    call.goes_on = f"{job_id} goes on running"
    try:
        job = await call.client.jobs.wait(job_id, deadline=deadline)
    except TimeoutError:
        call.out.say(f"{job_id} has not ended in {deadline:g} s and goes on running")
        return TIMED_OUT
    if call.out.json:
        call.out.document(job)
    return conclude(call.out, job)


@command(app, "stop")
async def stop(
    call: Call,
    job_id: JobId,
    wait_for_end: Annotated[bool, typer.Option("--wait", help="Until its processes are gone.")] = False,
) -> None:
    """End a job; its log and what it has written so far are kept."""
    job = await call.client.jobs.stop(job_id)
    if wait_for_end:
        job = await call.client.jobs.wait(job_id)
    if call.out.json:
        call.out.document(job)
    else:
        call.out.say(f"{job.id} is {'being stopped' if not job.final else job.status.lower()}")


def _print_lines(out: Output, lines: list[str]) -> None:
    for line in lines:
        out.line({"log": line})


def _row(job: "Job") -> tuple[object, ...]:
    ran = duration(job.started, job.finished) if job.started else None
    quiet = job.status == "Succeeded" or (job.status == "Running" and not job.progress)
    said = None if quiet else textwrap.shorten(headline(job).partition(" ")[2], _SAID, placeholder=" ...")
    return job.id, job.name, job.kind, job.tenant, job.status, job.created, ran, said


def _card(out: Output, job: "Job") -> None:
    progress = job.progress
    out.card(
        (
            ("job", job.id),
            ("name", job.name),
            ("kind", job.kind),
            ("tenant", job.tenant),
            ("namespace", job.namespace),
            ("status", job.status),
            ("reason", job.reason),
            ("message", job.message),
            ("why", job.why.sentence if job.why else None),
            ("progress", headline(job) if progress and not job.final else None),
            ("image", job.image),
            ("command", shlex.join((*job.command, *job.args))),
            ("tags", ", ".join(f"{name}={value}" for name, value in job.tags.items())),
            ("resources", ", ".join(f"{name} {value}" for name, value in job.resources.items())),
            ("created", job.created),
            ("started", job.started),
            ("finished", job.finished),
            ("ran for", duration(job.started, job.finished)),
            ("exit code", job.exit_code),
            ("attempts", job.attempts),
            ("outputs", _kept(job)),
            ("archived", "yes" if job.archived else None),
            ("last lines", job.log_tail),
            ("hint", job.hint),
        )
    )


def _kept(job: "Job") -> str | None:
    if job.outputs is None:
        return None
    return f"{job.outputs.state} ({job.outputs.why})" if job.outputs.why else job.outputs.state
