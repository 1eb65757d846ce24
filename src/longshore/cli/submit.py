"""`longshore submit` and `longshore plan`: the same options, to do it or to be told what would become."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from longshore.cli import options
from longshore.cli.command import Call, command
from longshore.cli.follow import conclude, follow, headline

if TYPE_CHECKING:
    from longshore.sdk import Job, Plan

Argv = Annotated[list[str] | None, typer.Argument(metavar="-- CMD ARGS", help="What to run in it.")]
File = Annotated[
    str | None, typer.Option("--file", metavar="PATH", help="The job as the API has it, JSON or YAML; - is stdin.")
]
Key = Annotated[str | None, typer.Option("--idempotency-key", help="The same key is the same job.")]
REFUSED = 2


def register(app: typer.Typer) -> None:
    """Add both to a group of commands, or to longshore itself."""
    command(app, "submit", options=options.OPTIONS)(submit)
    command(app, "plan", options=options.OPTIONS)(plan)


async def submit(
    call: Call,
    argv: Argv = None,
    file: File = None,
    idempotency_key: Key = None,
    follow_log: Annotated[bool, typer.Option("--follow", "-f", help="Show its log until it has ended.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Until it has ended; exit code 1 if it failed.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would become of it, as `plan`.")] = False,
    **said: Any,
) -> int:
    """Submit a job: longshore submit --image longshore/host -- echo hello"""
    wanted = await _wanted(call, file, argv, said)
    if dry_run:
        return show_plan(call, await call.client.jobs.plan_document(wanted))
    job = await call.client.jobs.submit_document(wanted, idempotency_key=idempotency_key)
    return await submitted(call, job, follow_log, wait=wait)


async def plan(call: Call, argv: Argv = None, file: File = None, **said: Any) -> int:
    """Say what `submit` would do with a job, and change nothing; exit code 2 when it would be refused."""
    return show_plan(call, await call.client.jobs.plan_document(await _wanted(call, file, argv, said)))


async def _wanted(call: Call, file: str | None, argv: list[str] | None, said: dict[str, Any]) -> dict[str, object]:
    from longshore.cli.naming import inputs

    wanted = options.wanted(file, argv or (), said)
    return await inputs(call.client, wanted) if said.get("input") else wanted


async def submitted(call: Call, job: "Job", follow_log: bool, *, wait: bool = False) -> int:
    """What every `submit` does next: print the id, or see the job through."""
    if follow_log:
        call.out.say(f"submitted {job.id}")
        return await follow(call, job)
    if not call.out.json:
        call.out.text(job.id)
    if wait:
        call.goes_on = f"{job.id} goes on; `longshore stop {job.id}` ends it"
        call.out.say(f"{job.id} {headline(job)}")
        job = await call.client.jobs.wait(job.id)
        if call.out.json:
            call.out.document(job)
        return conclude(call.out, job)
    if call.out.json:
        call.out.document(job)
    else:
        call.out.say(f"{headline(job)}; `longshore logs --follow {job.id}` shows its log")
    return 0


def show_plan(call: Call, plan: "Plan") -> int:
    """The plan, and the exit code that goes with it."""
    code = REFUSED if plan.would in ("refuse", "never") else 0
    if call.out.json:
        call.out.document(plan)
        return code
    place, refusal = plan.placement, plan.refusal
    call.out.card(
        (
            ("would", plan.would),
            ("because", plan.sentence),
            ("job", plan.id),
            ("ahead", plan.ahead),
            ("starts about", plan.eta.at if plan.eta else None),
            ("reckoned from", plan.eta.basis if plan.eta else None),
            ("nodes", f"{place.fit_now} of {place.nodes} now, {place.fit_empty} if empty" if place else None),
            ("in the way", _counts(place.refused) if place else None),
            ("not looked at", ", ".join(plan.unchecked)),
        )
    )
    if refusal and refusal.hint:
        call.out.hint(refusal.hint)
    return code


def _counts(of: dict[str, int]) -> str:
    return ", ".join(f"{what} on {count}" for what, count in of.items())
