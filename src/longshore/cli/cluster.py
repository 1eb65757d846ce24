"""`longshore cluster ...`: the local cluster from the command line; useful without anything else of longshore.

`cli.main` mounts `app`. What a program wants is on stdout, what a person wants on stderr.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from longshore import errors
from longshore.cli.local import DEFAULT_CLUSTER
from longshore.cli.output import Output, seconds, size
from longshore.cli.steps import Steps
from longshore.cluster.progress import Report

if TYPE_CHECKING:
    from longshore.cluster.cluster import LocalCluster
    from longshore.cluster.status import ClusterStatus, PartStatus

T = TypeVar("T")
app = typer.Typer(
    help="A local Kubernetes cluster: a real control plane, and nodes whose pods are processes.",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Option("--cluster", "-c", envvar="LONGSHORE_CLUSTER", help="Name of the cluster.")]
Json = Annotated[bool, typer.Option("--json", help="For programs: JSON on stdout.")]


@app.command()
def up(
    cluster: Name = DEFAULT_CLUSTER,
    nodes: Annotated[int, typer.Option(min=0, max=10, help="How many nodes that run pods as processes.")] = 1,
    fsync: Annotated[bool, typer.Option(help="Survive a power cut; without it, writes are quicker.")] = True,
    json: Json = False,
) -> None:
    """Start the cluster, or see that it runs; prints the path of its kubeconfig."""
    local = _cluster(cluster, fsync=fsync)
    parts = [local.node_part(f"node{number}") for number in range(nodes)]
    out = Output(json=json)
    _run(out, lambda report: local.up(extra_parts=parts, progress=report))
    status = asyncio.run(local.status())
    if json:
        out.document(status)
        return
    out.say(f"cluster {cluster} is up: {len(status.parts)} processes, {size(_memory(status))}")
    out.say(f"`longshore cluster kubectl --cluster {cluster} -- get nodes` looks at it")
    out.text(status.kubeconfig)


@app.command()
def down(cluster: Name = DEFAULT_CLUSTER) -> None:
    """Stop the cluster and every process of it; what is in it stays for the next `up`."""
    out = Output(json=False)
    _run(out, _cluster(cluster).down)
    out.say(f"cluster {cluster} is down")


@app.command()
def reset(
    cluster: Name = DEFAULT_CLUSTER,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Stop the cluster and delete everything in it."""
    if not yes and not sys.stdin.isatty():
        raise errors.UserMistake(
            f"this deletes cluster {cluster} and everything in it", hint="--yes says that you mean it"
        )
    if not yes:
        typer.confirm(f"Delete cluster {cluster} and everything in it?", abort=True, err=True)
    out = Output(json=False)
    _run(out, _cluster(cluster).reset)
    out.say(f"cluster {cluster} is deleted")


@app.command()
def status(cluster: Name = DEFAULT_CLUSTER, json: Json = False) -> None:
    """Show every part: pid, readiness, uptime, memory, restarts. Exit code 0 when all are ready, else 1."""
    out = Output(json=json)
    found = asyncio.run(_cluster(cluster).status())
    if json:
        out.document(found)
    elif found.parts:
        columns = ("part", "pid", "ready", "uptime", "memory", "restarts", "last exit")
        out.table(columns, [_row(part) for part in found.parts])
        out.say(f"{size(_memory(found))} in all")
    if not found.running:
        out.say(f"cluster {cluster} is not running; `longshore cluster up --cluster {cluster}` starts it")
    raise typer.Exit(0 if found.ready else 1)


@app.command()
def logs(
    part: Annotated[str, typer.Argument(help="etcd, kube-apiserver, node0, supervisor, ...")],
    cluster: Name = DEFAULT_CLUSTER,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is added.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last lines.")] = 200,
) -> None:
    """Print the log of one part."""
    from longshore.cluster import logs as parts_logs

    out = Output(json=False)
    log = _cluster(cluster).log(part)
    end, last = parts_logs.tail(log, lines)
    out.raw(last)
    if follow:
        for chunk in parts_logs.follow(log, end):
            out.raw(chunk)


@app.command("kubeconfig")
def show_kubeconfig(
    cluster: Name = DEFAULT_CLUSTER,
    merge: Annotated[bool, typer.Option("--merge", help="Write it into your own kubeconfig and select it.")] = False,
) -> None:
    """Print the path of the cluster's kubeconfig."""
    from longshore.cluster import kubeconfig

    out = Output(json=False)
    path = _kubeconfig(cluster)
    if merge:
        own = kubeconfig.users_own()
        context = kubeconfig.merge(path, own)
        out.say(f"{own} now has the context {context}, and it is selected")
    out.text(str(path))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def kubectl(context: typer.Context, cluster: Name = DEFAULT_CLUSTER) -> None:
    """Run kubectl, of the cluster's own version, against the cluster: longshore cluster kubectl -- get pods."""
    from longshore.cluster import binary

    environment = {**os.environ, "KUBECONFIG": str(_kubeconfig(cluster))}
    program = _run(Output(json=False), binary.provide)
    os.execve(program, ["kubectl", *context.args], environment)  # noqa: S606 - becomes kubectl, with no shell


def _cluster(name: str, *, fsync: bool = True) -> "LocalCluster":
    from longshore.cluster.cluster import LocalCluster

    return LocalCluster(name, fsync=fsync)


def _run(out: Output, work: Callable[[Report], Awaitable[T]]) -> T:
    async def drawn() -> T:
        with Steps(out.people) as report:
            return await work(report)

    return asyncio.run(drawn())


def _kubeconfig(cluster: str) -> Path:
    path = _cluster(cluster).kubeconfig_path
    if not path.exists():
        raise errors.NotFound(
            f"there is no cluster {cluster}", hint=f"`longshore cluster up --cluster {cluster}` makes it"
        )
    return path


def _row(part: "PartStatus") -> tuple[object, ...]:
    ready = "yes" if part.ready else "no"
    if part.pid is None:
        return (part.name, None, ready, None, None, part.restarts, part.exit)
    return (part.name, part.pid, ready, seconds(part.uptime), size(part.rss), part.restarts, part.exit)


def _memory(status: "ClusterStatus") -> int:
    return sum(part.rss for part in status.parts)
