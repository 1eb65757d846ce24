"""`longshore artifacts` and `longshore download`: the files that a job kept; `simulations` has them shown here too."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from longshore.cli.command import Call, command
from longshore.cli.completion import JobId
from longshore.cli.output import Output, size

if TYPE_CHECKING:
    from longshore.sdk import Artifact

Folder = Annotated[Path | None, typer.Option("--to", file_okay=False, help="Else a folder named by the job.")]
Names = Annotated[list[str] | None, typer.Option("--name", help="Only this file; repeatable.")]


def register(app: typer.Typer) -> None:
    """Add `artifacts` and `download` to a group of commands."""
    command(app, "artifacts")(artifacts)
    command(app, "download")(download)


async def artifacts(call: Call, job_id: JobId) -> None:
    """List the files that a job has kept so far."""
    show_files(call.out, await call.client.artifacts.list(job_id))


async def download(call: Call, job_id: JobId, folder: Folder = None, name: Names = None) -> None:
    """Download the files that a job kept."""
    await fetch(call, job_id, await call.client.artifacts.list(job_id), folder, name)


def show_files(out: Output, found: "Sequence[Artifact]") -> None:
    """A row a file."""
    if out.json:
        out.document({"items": found})
    else:
        out.table(("FILE", "SIZE", "SHA256"), ((each.name, size(each.size), each.sha256) for each in found))


async def fetch(
    call: Call, job_id: str, found: "Sequence[Artifact]", folder: Path | None, names: Sequence[str] | None
) -> None:
    """Download what was found, or only what is named of it; prints the paths."""
    wanted = [each for each in found if not names or each.name in names]
    missing = set(names or ()) - {each.name for each in wanted}
    if missing:
        raise typer.BadParameter(f"{job_id} has no {', '.join(sorted(missing))}")
    saved = await _save(call, job_id, wanted, folder or Path(job_id))
    if call.out.json:
        call.out.document({"items": [{"name": each.name, "path": str(path)} for each, path in saved]})
        return
    for _, path in saved:
        call.out.text(str(path))
    if not saved:
        call.out.say(f"{job_id} has kept no files")


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


@contextmanager
def transfer(out: Output, what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar for bytes that go up or come down, where somebody looks."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=out.people, transient=True, disable=not out.people.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
