"""`longshore archive ...`: looks through an archive and takes history elsewhere, on the store itself, without a server.

The archive is --archive, else LONGSHORE_ARCHIVE, else that of the local cluster. Credentials come from the environment.
"""

import asyncio
import os
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

import typer

from longshore import errors
from longshore.cli.command import INTERRUPTED
from longshore.cli.local import DEFAULT_CLUSTER, OF_ADDON, choose_archive, local_api
from longshore.cli.output import Output
from longshore.cli.steps import Steps
from longshore.cluster.progress import Step

if TYPE_CHECKING:
    from longshore.archive.copying import Progress
    from longshore.archive.objects import Objects
    from longshore.archive.verification import Counted
    from longshore.cluster.progress import Report

app = typer.Typer(help="The archive: verify it, take history elsewhere and bring it back.", no_args_is_help=True)

FOUND: Final = 1
_SHOWN: Final = 10  # tenants that a hint names
Archive = Annotated[
    str | None,
    typer.Option("--archive", metavar="URL", help="Which archive, else LONGSHORE_ARCHIVE, else the cluster's."),
]
Cluster = Annotated[str | None, typer.Option("--cluster", help="That of a local cluster by name.")]
Tenant = Annotated[str | None, typer.Option("--tenant", "-t", help="Only this tenant's.")]
Json = Annotated[bool, typer.Option("--json", help="For programs: JSON on stdout.")]
Since = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Only what was created since, such as 2026-05-01 or 2026-05-01T12:00Z."),
]


@app.command("verify")
def verify(
    archive: Archive = None,
    cluster: Cluster = None,
    tenant: Tenant = None,
    deep: Annotated[bool, typer.Option("--deep", help="Read every byte and compare its sha256.")] = False,
    repair: Annotated[bool, typer.Option("--repair", help="First list again what the records have.")] = False,
    json: Json = False,
) -> None:
    """Find what is missing, damaged, orphaned or left over. Exit code 1 when there is any. Changes nothing without
    --repair, which makes the list anew where it does not show what there are records of.
    """

    async def run(out: Output, report: "Report") -> int:
        from longshore.archive.verification import Verification

        begin = opened(_existing(archive_url(archive, cluster)))
        if repair:
            await _repair(begin, _object_name(tenant), out)
        look = Verification(begin, datetime.now(UTC), deep=deep, tell=lambda c: report(_looked(c)))
        found = 0
        async for finding in look.run(_object_name(tenant)):
            found += 1
            if json:
                out.line(finding)
            else:
                out.text(f"{finding.kind:9} {finding.tenant}/{finding.id}: {finding.what}")
        counted = look.counted
        if not (found or counted.jobs or counted.files):
            await _known(begin, tenant)
        if json:
            out.line({"findings": found, "jobs": counted.jobs, "files": counted.files, "bytes": counted.bytes})
        else:
            out.say(f"{counted.jobs} jobs and {counted.files} files: {f'{found} findings' if found else 'all is well'}")
        return FOUND if found else 0

    _run(run, json)


async def _repair(objects: "Objects", tenant: str | None, out: Output) -> None:
    from longshore.archive.repair import Repair

    async for done in Repair(objects).run(tenant):
        if out.json:
            out.line({"repaired": done})
            continue
        said = [f"{done.listed} jobs are listed again"]
        said += [f"{done.hidden} stay hidden"] if done.hidden else []
        said += [f"{path} is set aside in damaged/" for path in done.aside]
        out.text(f"repaired  {done.tenant}: {'; '.join(said)}")


@app.command("export")
def export(
    target: Annotated[str, typer.Argument(metavar="DIR|URL", help="A folder, or a store's URL.")],
    archive: Archive = None,
    cluster: Cluster = None,
    tenant: Tenant = None,
    since: Since = None,
    json: Json = False,
) -> None:
    """Copy history into a folder or another store; again goes on where it stopped, and adds what is new."""
    _run(_copying(lambda: _existing(archive_url(archive, cluster)), lambda: place(target), tenant, since, json), json)


@app.command("import")
def import_(
    source: Annotated[str, typer.Argument(metavar="DIR|URL", help="Where `export` put it.")],
    archive: Archive = None,
    cluster: Cluster = None,
    tenant: Tenant = None,
    since: Since = None,
    json: Json = False,
) -> None:
    """Bring history into an archive, beside what it holds; lists show it at once."""
    _run(_copying(lambda: _existing(source), lambda: archive_url(archive, cluster), tenant, since, json), json)


Work = Callable[[Output, "Report"], Coroutine[Any, Any, int]]


def _copying(
    source: Callable[[], str], target: Callable[[], str], tenant: str | None, since: str | None, json: bool
) -> Work:
    async def run(out: Output, report: "Report") -> int:
        from longshore.archive.copying import Copying

        begin, end = opened(source()), opened(target())
        await end.check()
        done = await Copying(begin, end, lambda so_far: report(Step("copying", _copied(so_far)))).run(
            await _known(begin, tenant), _moment(since)
        )
        if json:
            out.document(done)
        else:
            out.text(_copied(done))
        return 0

    return run


def _run(work: Work, json: bool) -> None:
    out = Output(json=json)
    try:
        with Steps(out.people) as report:
            code = asyncio.run(work(out, report))
    except KeyboardInterrupt:
        out.say("interrupted; the same command goes on from here")
        code = INTERRUPTED
    if code:
        raise typer.Exit(code)


def archive_url(given: str | None, cluster: str | None) -> str:
    """The archive that is meant. Loads the credentials of a local cluster's own object storage into the environment."""
    from longshore.cluster.cluster import LocalCluster
    from longshore.cluster.state import Folder

    chosen = given or (None if cluster else os.environ.get("LONGSHORE_ARCHIVE"))
    if chosen:
        return place(chosen)
    name = cluster or os.environ.get("LONGSHORE_CLUSTER") or DEFAULT_CLUSTER
    if local_api(Folder(name)) is None:
        raise errors.UserMistake(
            "which archive?",
            hint="say it with --archive URL or LONGSHORE_ARCHIVE, or name a local cluster with --cluster",
        )
    url = choose_archive(Folder(name), None)
    if url != OF_ADDON:
        return url
    from longshore.cli.up import addon_facts

    facts = addon_facts(LocalCluster(name))
    lines = Path(facts["credentials"]).read_text().splitlines()
    os.environ.update({name: value for name, _, value in (line.partition("=") for line in lines)})
    return f"s3://{facts['bucket']}"


def place(text: str) -> str:
    """A URL as it is, a folder as one."""
    return text if "://" in text else Path(text).absolute().as_uri()


def _existing(source: str) -> str:
    """What is read from: a folder that is not there holds no history, and is a slip of whoever typed it."""
    url = place(source)
    path = url2pathname(urlsplit(url).path)
    if url.startswith("file:") and not Path(path).is_dir():
        raise errors.NotFound(f"there is no folder {path}", hint="name the folder or URL that history was written to")
    return url


def opened(url: str) -> "Objects":
    from longshore.archive.objects import Objects

    return Objects(url)


def _object_name(tenant: str | None) -> str | None:
    from longshore.kinds.tenants.model import object_name

    return object_name(tenant) if tenant else None


async def _known(objects: "Objects", tenant: str | None) -> str | None:
    """The tenant's name in the archive. Raises NotFound where that has no history of it."""
    name = _object_name(tenant)
    if name is not None:
        has = sorted({*await objects.folders("index/"), *await objects.folders("records/")})
        if name not in has:
            shown = ", ".join(has[:_SHOWN]) + (", ..." if len(has) > _SHOWN else "")
            hint = f"it has that of {shown}" if has else "it has none at all: is it the right archive?"
            raise errors.NotFound(f"the archive has no history of a tenant {tenant!r}", hint=hint)
    return name


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise errors.UserMistake(f"{text!r} is no time", hint="write it as 2026-05-01 or 2026-05-01T12:00Z") from None
    return moment if moment.tzinfo else moment.astimezone()


def _looked(counted: "Counted") -> Step:
    return Step("looking", f"{counted.jobs} jobs, {counted.files} files")


def _copied(progress: "Progress") -> str:
    return f"{progress.copied} jobs copied ({progress.bytes / 1e6:.1f} MB), {progress.skipped} were there already"
