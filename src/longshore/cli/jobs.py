"""`longshore jobs ...`, and the same without `jobs`: work of every kind, from its submission to its end."""

import shlex
import textwrap
from typing import TYPE_CHECKING, Annotated

import typer

from longshore.cli import artifacts, listing, logs, submit, wait, watch
from longshore.cli.command import Call, command
from longshore.cli.completion import JobId, JobIdForGood
from longshore.cli.follow import headline
from longshore.cli.indexed import numbers
from longshore.cli.output import Output, duration, local, printable
from longshore.cli.submit import submitted

if TYPE_CHECKING:
    from longshore.sdk import IndexFailure, Job

_FAILURES = 10  # of a job's indexes, that its card names
app = typer.Typer(help="Jobs of every kind: submit, list, read logs, stop.", no_args_is_help=True)


def register(group: typer.Typer) -> None:
    """Add every command of jobs to a group."""
    submit.register(group)
    listing.register(group)
    command(group, "get")(get)
    logs.register(group)
    artifacts.register(group)
    command(group, "why")(why)
    command(group, "events")(events)
    wait.register(group)
    watch.register(group)
    command(group, "stop", for_good=True)(stop)
    command(group, "rerun")(rerun)
    command(group, "delete", for_good=True)(delete)


async def get(call: Call, job_id: JobId) -> None:
    """Show one job."""
    job = await call.client.jobs.get(job_id)
    if call.out.json:
        call.out.document(job)
    else:
        _card(call.out, job)


async def why(call: Call, job_id: JobId) -> None:
    """Say why a job does not run yet, since when and who is ahead; or what it waited for, and why it failed."""
    job = await call.client.jobs.get(job_id)
    reason = job.why
    if call.out.json:
        call.out.document({"id": job.id, "status": job.status, "reason": job.reason, "why": reason, "hint": job.hint})
        return
    failed = job.final and job.status != "Succeeded"
    call.out.card(
        (
            ("status", job.status),
            ("because", (reason.sentence if reason and not failed else None) or job.message),
            ("it waited", reason.sentence if reason and failed and not job.started else None),
            ("since", reason.since if reason and not job.final else None),
            ("ahead", reason.ahead if reason and not job.final else None),
            ("starts about", f"{local(reason.eta.at)} ({reason.eta.basis})" if reason and reason.eta else None),
            ("ended", f"{local(reason.until)}, if it does not run by then" if reason and reason.until else None),
            ("waited", _waited(job) if job.started or not failed else None),
            ("last lines", job.log_tail if failed else None),
        )
    )
    if job.hint:
        call.out.hint(job.hint)


async def events(call: Call, job_id: JobId) -> None:
    """List what happened to a job, in order."""
    found = await call.client.jobs.events(job_id)
    if call.out.json:
        call.out.document({"items": found})
        return
    rows = ((each.at, each.type, each.reason, each.source, _often(each.message, each.count)) for each in found)
    call.out.table(("AT", "TYPE", "REASON", "OF", "WHAT"), rows)


async def stop(
    call: Call,
    job_id: JobIdForGood,
    wait_for_end: Annotated[bool, typer.Option("--wait", help="Until its processes are gone.")] = False,
) -> None:
    """End a job; its log and what it has written so far are kept."""
    job = await call.client.jobs.stop(job_id)
    if wait_for_end:
        call.goes_on = f"{job_id} is being stopped all the same"
        job = await call.client.jobs.wait(job_id)
    if call.out.json:
        call.out.document(job)
    else:
        ended = "is stopped" if job.status == "Stopped" else f"has ended of itself: {job.status.lower()}"
        call.out.say(f"{job.id} {ended if job.final else 'is being stopped'}")


async def rerun(
    call: Call,
    job_id: JobId,
    idempotency_key: submit.Key = None,
    follow_log: Annotated[bool, typer.Option("--follow", "-f", help="Show its log until it has ended.")] = False,
    wait_for_end: Annotated[bool, typer.Option("--wait", help="Until it has ended.")] = False,
) -> int:
    """Submit a job once more as it was, also one that is archived; prints the new id."""
    job = await call.client.jobs.rerun(job_id, idempotency_key=idempotency_key)
    return await submitted(call, job, follow_log, wait=wait_for_end)


async def delete(
    call: Call,
    job_id: JobIdForGood,
    purge: Annotated[bool, typer.Option("--purge", help="Record, log and files too; for ever.")] = False,
) -> None:
    """Stop a job where needed, and show it no more; its record stays in the archive, unless purged."""
    await call.client.jobs.delete(job_id, purge=purge)
    if call.out.json:
        call.out.document({"id": job_id, "deleted": True, "purged": purge})
    else:
        call.out.say(f"{job_id} is deleted" + (" with its log and files" if purge else ""))


def _often(message: str | None, count: int | None) -> str:
    return f"{message or ''} ({count} times)" if count and count > 1 else message or ""


def _waited(job: "Job") -> str | None:
    if job.why is None or (job.why.queued is None and job.why.pending is None):
        return None
    parts = [f"{job.why.queued:.0f} s for its turn" if job.why.queued is not None else ""]
    parts.append(f"{job.why.pending:.0f} s for its pod" if job.why.pending is not None else "")
    return ", ".join(part for part in parts if part)


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
            ("why", job.why.sentence if job.why and not (job.final and job.started) else None),
            ("waited", _waited(job) if job.final and job.started else None),
            ("progress", headline(job) if progress and not job.final else None),
            ("image", job.image),
            ("command", shlex.join((*job.command, *job.args))),
            ("tags", ", ".join(f"{name}={value}" for name, value in job.tags.items())),
            ("resources", ", ".join(f"{name} {value}" for name, value in job.resources.items() if value)),
            ("created", job.created),
            ("started", job.started),
            ("finished", job.finished),
            ("ran for", duration(job.started, job.finished)),
            ("exit code", job.exit_code),
            ("attempts", job.attempts),
            ("indexes", _counted(job)),
            ("failed", _failed(job)),
            ("outputs", _kept(job)),
            ("archived", "yes" if job.archived else None),
            ("last lines", textwrap.dedent(job.log_tail) if job.log_tail else None),
            ("hint", job.hint),
        )
    )


def _counted(job: "Job") -> str | None:
    if job.indexes is None:
        return None
    counts = job.indexes.counts
    if counts is None:  # archived by an earlier version
        return f"{job.indexes.completions}, of which succeeded: {job.indexes.succeeded or 'none'}"
    parts = f"{counts.succeeded} succeeded, {counts.failed} failed, {counts.running} running"
    return f"{parts}, of {job.indexes.completions}"


def _failed(job: "Job") -> str | None:
    """The failed indexes, a line each, the first of them; and how many more."""
    if job.indexes is None:
        return None
    shown = [_failure(each) for each in job.indexes.failures[:_FAILURES]]
    more = sum(1 for _ in numbers(job.indexes.failed)) - len(shown)
    if not shown:  # their pods are not known any more
        return job.indexes.failed
    return "\n".join([*shown, f"and {more} more" if more > 0 else ""]).rstrip()


def _failure(failure: "IndexFailure") -> str:
    often = f" ({failure.attempts} attempts)" if (failure.attempts or 0) > 1 else ""
    reason = " ".join(printable(failure.reason or "").split())
    said = " ".join(printable(failure.message or "").split())
    return f"{failure.index}: {': '.join(part for part in (reason, said) if part) or 'no reason is known'}{often}"


def _kept(job: "Job") -> str | None:
    if job.outputs is None:
        return None
    return f"{job.outputs.state} ({job.outputs.why})" if job.outputs.why else job.outputs.state


register(app)
