"""`longshore simulations ...`: upload a SUMO scenario, see it run, get its numbers and files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from longshore.cli.artifacts import Folder, Names, fetch, show_files, transfer
from longshore.cli.command import Call, command
from longshore.cli.completion import JobId
from longshore.cli.output import Output
from longshore.cli.submit import submitted

if TYPE_CHECKING:
    from longshore.sdk import Summary

_FIRST: Final = ("vehicles", "arrived", "mean_travel_time_s", "mean_waiting_time_s", "mean_speed_mps", "teleports")
_UNITS: Final = {"s": "s", "m": "m", "mps": "m/s", "kg": "kg"}

app = typer.Typer(help="SUMO traffic simulations: submit, summary, results.", no_args_is_help=True)


@command(app, "submit")
async def submit(
    call: Call,
    scenario: Annotated[Path, typer.Argument(metavar="ZIP", help="The scenario with one .sumocfg.", dir_okay=False)],
    scenario_id: Annotated[str | None, typer.Option(help="A name for people; else the file's.")] = None,
    cpu: Annotated[int | None, typer.Option(min=1, help="Cores.")] = None,
    memory_gi: Annotated[int | None, typer.Option(min=1, help="GiB of memory.")] = None,
    seed: Annotated[int | None, typer.Option(help="SUMO's random seed.")] = None,
    end: Annotated[float | None, typer.Option(help="Simulated seconds to run for.")] = None,
    config: Annotated[str | None, typer.Option(help="Which .sumocfg, when there are several.")] = None,
    option: Annotated[list[str] | None, typer.Option(help="An option for SUMO; repeatable.")] = None,
    output: Annotated[list[str] | None, typer.Option("--output", "-o", help="Glob of more files to keep.")] = None,
    idempotency_key: Annotated[str | None, typer.Option(help="The same key is the same simulation.")] = None,
    follow_log: Annotated[bool, typer.Option("--follow", "-f", help="See it through, then print the summary.")] = False,
) -> int:
    """Upload a scenario and run it."""
    with transfer(call.out, f"uploading {scenario.name}") as progress:
        job = await call.client.simulations.submit(
            scenario,
            scenario_id=scenario_id,
            cpu=cpu,
            memory_gi=memory_gi,
            seed=seed,
            end=end,
            config=config,
            options=option or (),
            outputs=output or (),
            idempotency_key=idempotency_key,
            progress=progress,
        )
    code = await submitted(call, job, follow_log)
    if follow_log and code == 0:
        summary = await call.client.simulations.summary(job.id)
        if call.out.json:
            call.out.line({"summary": summary})
        else:
            show_summary(call.out, summary)
    return code


@command(app, "summary")
async def summary(call: Call, job_id: JobId) -> None:
    """Print what came out: vehicles, mean times, speed."""
    found = await call.client.simulations.summary(job_id)
    if call.out.json:
        call.out.document(found)
    else:
        show_summary(call.out, found)


@command(app, "results")
async def results(call: Call, job_id: JobId) -> None:
    """List the files that a simulation kept."""
    show_files(call.out, await call.client.simulations.results(job_id))


@command(app, "download")
async def download(call: Call, job_id: JobId, folder: Folder = None, name: Names = None) -> None:
    """Download a simulation's files."""
    await fetch(call, job_id, await call.client.simulations.results(job_id), folder, name)


def show_summary(out: Output, summary: "Summary") -> None:
    """The outcome as people read it: what matters first, then everything else that is known."""
    names = [name for name in _FIRST if name in summary] + [name for name in summary if name not in _FIRST]
    out.card(_labelled(name, summary[name]) for name in names)


def _labelled(name: str, value: float) -> tuple[str, str]:
    """mean_travel_time_s 61.25 reads: mean travel time, 61.25 s."""
    stem, _, ending = name.rpartition("_")
    unit = _UNITS.get(ending)
    number = f"{value:,.2f}".rstrip("0").rstrip(".")
    return (stem if unit else name).replace("_", " "), f"{number} {unit}" if unit else number
