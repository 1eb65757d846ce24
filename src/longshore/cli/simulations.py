"""`longshore simulations ...`: upload a SUMO scenario, see it run, get its numbers and files."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from longshore.cli.command import Call, command
from longshore.cli.completion import JobId
from longshore.cli.output import Output, size
from longshore.cli.submit import submitted

if TYPE_CHECKING:
    from longshore.sdk import Artifact, Summary

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
    found = await call.client.simulations.results(job_id)
    if call.out.json:
        call.out.document({"items": found})
    else:
        call.out.table(("FILE", "SIZE", "SHA256"), ((each.name, size(each.size), each.sha256) for each in found))


@command(app, "download")
async def download(
    call: Call,
    job_id: JobId,
    folder: Annotated[
        Path | None, typer.Option("--to", file_okay=False, help="Else a folder named by the job.")
    ] = None,
    name: Annotated[list[str] | None, typer.Option(help="Only this file; repeatable.")] = None,
) -> None:
    """Download a simulation's files."""
    found = await call.client.simulations.results(job_id)
    wanted = [each for each in found if not name or each.name in name]
    missing = set(name or ()) - {each.name for each in wanted}
    if missing:
        raise typer.BadParameter(f"{job_id} has no {', '.join(sorted(missing))}")
    saved = await _save(call, job_id, wanted, folder or Path(job_id))
    if call.out.json:
        call.out.document({"items": [{"name": each.name, "path": str(path)} for each, path in saved]})
        return
    for _, path in saved:
        call.out.text(str(path))


async def _save(call: Call, job_id: str, wanted: "list[Artifact]", folder: Path) -> "list[tuple[Artifact, Path]]":
    total = sum(each.size or 0 for each in wanted)
    done = 0
    saved = []
    with transfer(call.out, f"downloading {len(wanted)} files") as progress:

        def arrived(count: int) -> None:
            nonlocal done
            done += count
            progress(done, total)

        for each in wanted:
            saved.append((each, await call.client.artifacts.save(job_id, each, folder, progress=arrived)))
    return saved


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


@contextmanager
def transfer(out: Output, what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar for bytes that go up or come down, where somebody looks."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=out.people, transient=True, disable=not out.people.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
