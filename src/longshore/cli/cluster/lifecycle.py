"""`longshore cluster up | down | reset | status | list`."""

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from longshore import errors
from longshore.cli.cluster.command import Json, Name, named, shown
from longshore.cli.local import DEFAULT_CLUSTER
from longshore.cli.output import Output, seconds, size
from longshore.cluster.progress import Report

if TYPE_CHECKING:
    from longshore.cluster.status import ClusterStatus, PartStatus


def up(
    cluster: Name = DEFAULT_CLUSTER,
    nodes: Annotated[
        int | None, typer.Option(min=0, max=10, help="How many process nodes, at least; 1 for a new cluster.")
    ] = None,
    fsync: Annotated[
        bool | None,
        typer.Option("--fsync/--no-fsync", help="Survive a power cut, or write quicker.  [as before; first: fsync]"),
    ] = None,
    audit: Annotated[
        bool | None,
        typer.Option("--audit/--no-audit", help="Log who asked the API server for what.  [as before; first: no]"),
    ] = None,
    kubernetes: Annotated[
        str | None,
        typer.Option(
            envvar="LONGSHORE_KUBERNETES",
            metavar="VERSION",
            help="Such as 1.35; never an older one.  [as before]",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Start the cluster, or see that it runs; prints the path of its kubeconfig.

    Its nodes, add-ons and settings are those of the last time.
    """
    from longshore.cluster import nodes as process_nodes
    from longshore.cluster.cluster import LocalCluster

    local = LocalCluster(cluster, fsync=fsync, audit=audit, kubernetes=kubernetes)
    out = Output(json=json)
    is_up = False

    async def work(report: Report) -> None:
        nonlocal is_up
        await local.up(progress=report)
        is_up = True

    with process_nodes.wanted(local, nodes):
        try:
            shown(out, work)
        except KeyboardInterrupt:
            if not is_up:  # else it came too late to take anything back
                out.say("interrupted; what this `up` started is stopped again")
                raise
    status = asyncio.run(local.status())
    if json:
        out.document(status)
        return
    out.say(f"cluster {cluster} is up: {len(status.parts)} processes, {size(_memory(status))}")
    out.say(f"`longshore cluster kubectl --cluster {cluster} -- get nodes` looks at it")
    out.text(status.kubeconfig)


def down(cluster: Name = DEFAULT_CLUSTER) -> None:
    """Stop the cluster and every process of it; what is in it stays for the next `up`."""
    out = Output(json=False)
    if _is_there(cluster, out):
        shown(out, named(cluster).down)
        out.say(f"cluster {cluster} is down")


def reset(
    cluster: Name = DEFAULT_CLUSTER,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Stop the cluster and delete everything in it, and its context in your own kubeconfig."""
    out = Output(json=False)
    if not _is_there(cluster, out):
        return
    from longshore.cluster import kubeconfig

    if not yes and not sys.stdin.isatty():
        raise errors.UserMistake(
            f"this deletes cluster {cluster} and everything in it", hint="--yes says that you mean it"
        )
    if not yes and not typer.confirm(f"Delete cluster {cluster} and everything in it?", err=True):
        out.say("nothing was deleted")
        raise typer.Exit(1)
    local = named(cluster)
    own = kubeconfig.users_own()
    forgotten = kubeconfig.unmerge(local.kubeconfig_path, own)
    shown(out, local.reset)
    out.say(f"cluster {cluster} is deleted")
    if forgotten:
        out.say(f"{own} no longer has the context {forgotten}")


def status(cluster: Name = DEFAULT_CLUSTER, json: Json = False) -> None:
    """Show every part: pid, readiness, uptime, memory, restarts. Exit code 0 when all are ready, else 1."""
    out = Output(json=json)
    found = asyncio.run(named(cluster).status())
    if json:
        out.document(found)
    elif found.parts:
        columns = ("part", "pid", "ready", "uptime", "memory", "restarts", "last exit")
        out.table(columns, [_row(part) for part in found.parts])
        out.say(f"{size(_memory(found))} in all")
    if not found.running and _is_there(cluster, out):
        out.say(f"cluster {cluster} is not running; `longshore cluster up --cluster {cluster}` starts it")
    raise typer.Exit(0 if found.ready else 1)


def list_(json: Json = False) -> None:
    """List the clusters of this machine, up or down."""
    from longshore.cluster.state import names

    async def ask() -> "list[ClusterStatus]":
        return await asyncio.gather(*(named(name).status() for name in names()))

    out = Output(json=json)
    found = asyncio.run(ask())
    if json:
        out.document(found)
    elif found:
        columns = ("cluster", "state", "processes", "memory", "kubeconfig")
        out.table(columns, [_summary(status) for status in found])
    else:
        out.say("there is no cluster yet; `longshore cluster up` makes one")


def register(app: typer.Typer) -> None:
    """Add them to the command line."""
    for command in (up, down, reset, status):
        app.command()(command)
    app.command("list")(list_)


def _is_there(cluster: str, out: Output) -> bool:
    """Whether there is such a cluster, up or down; what is typed of one that is not may be a slip."""
    if named(cluster).folder.root.exists():
        return True
    out.say(f"there is no cluster {cluster}; `longshore cluster up --cluster {cluster}` makes it")
    return False


def _summary(status: "ClusterStatus") -> tuple[object, ...]:
    running = [part for part in status.parts if part.pid is not None]
    state = "up" if status.ready else "not ready" if status.running else "down"
    return (status.name, state, len(running), size(_memory(status)) if running else None, status.kubeconfig)


def _row(part: "PartStatus") -> tuple[object, ...]:
    ready = "yes" if part.ready else "no"
    if part.pid is None:
        return (part.name, None, ready, None, None, part.restarts, part.exit)
    return (part.name, part.pid, ready, seconds(part.uptime), size(part.rss), part.restarts, part.exit)


def _memory(status: "ClusterStatus") -> int:
    return sum(part.rss for part in status.parts)
