"""`longshore cluster ...`: the local cluster from the command line; useful without anything else of longshore.

What a program wants is on stdout, what a person wants on stderr.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from longshore.cli.steps import Steps
from longshore.cluster import binary, kubeconfig
from longshore.cluster.cluster import LocalCluster
from longshore.cluster.logs import follow, tail
from longshore.cluster.progress import Report
from longshore.cluster.status import ClusterStatus, PartStatus
from longshore.errors import NotFound, UserMistake

app = typer.Typer(help="A local Kubernetes cluster: a real control plane, and nodes whose pods are processes.")
talk = Console(stderr=True)
data = Console(soft_wrap=True)

Name = Annotated[str, typer.Option("--cluster", "-c", envvar="LONGSHORE_CLUSTER", help="Name of the cluster.")]
T = TypeVar("T")
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@app.command()
def up(
    name: Name = "default",
    nodes: Annotated[int, typer.Option(min=0, max=10, help="Nodes that run pods as processes.")] = 1,
    fsync: Annotated[bool, typer.Option(help="Survive a power cut; without it, writes are quicker.")] = True,
    json: Json = False,
) -> None:
    """Start the cluster, or see that it runs; prints the path of its kubeconfig."""
    cluster = LocalCluster(name, fsync=fsync)
    parts = [cluster.node_part(f"node{number}") for number in range(nodes)]
    _run(lambda report: cluster.up(extra_parts=parts, progress=report))
    status = asyncio.run(cluster.status())
    talk.print(f"Cluster [bold]{name}[/] is up: {len(status.parts)} processes, {_size(_total(status))}.")
    talk.print(f"hint: export KUBECONFIG=$(longshore cluster kubeconfig --cluster {name})", style="dim", soft_wrap=True)
    _print_json(status) if json else print(status.kubeconfig)


@app.command()
def down(name: Name = "default") -> None:
    """Stop the cluster and every process of it; what is in it stays for the next `up`."""
    cluster = LocalCluster(name)
    _run(cluster.down)
    talk.print(f"Cluster [bold]{name}[/] is down.")


@app.command()
def reset(
    name: Name = "default",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Stop the cluster and delete everything in it."""
    cluster = LocalCluster(name)
    if not yes and not sys.stdin.isatty():
        raise UserMistake(f"This deletes cluster {name} and everything in it.", hint="Say --yes if that is meant.")
    if not yes:
        typer.confirm(f"Delete cluster {name} and everything in it?", abort=True, err=True)
    _run(cluster.reset)
    talk.print(f"Cluster [bold]{name}[/] is deleted.")


@app.command()
def status(name: Name = "default", json: Json = False) -> None:
    """Show every part: pid, uptime, memory, restarts, readiness. Exit code 0 when all are ready, else 1."""
    found = asyncio.run(LocalCluster(name).status())
    if json:
        _print_json(found)
    elif found.parts:
        data.print(_table(found))
    if not found.running:
        talk.print(f"Cluster {name} is not running.\nhint: longshore cluster up --cluster {name}")
    raise typer.Exit(0 if found.ready else 1)


@app.command()
def logs(
    part: Annotated[str, typer.Argument(help="etcd, kube-apiserver, node0, supervisor, ...")],
    name: Name = "default",
    keep_on: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is added.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last lines.")] = 200,
) -> None:
    """Print the log of one part."""
    log = LocalCluster(name).log(part)
    for line in tail(log, lines):
        print(line)
    if keep_on:
        for chunk in follow(log):
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()


@app.command("kubeconfig")
def show_kubeconfig(
    name: Name = "default",
    merge: Annotated[bool, typer.Option("--merge", help="Write it into your own kubeconfig and select it.")] = False,
) -> None:
    """Print the path of the cluster's kubeconfig."""
    path = _kubeconfig(name)
    if merge:
        own = kubeconfig.users_own()
        kubeconfig.merge(path, own)
        talk.print(f"{own} now has the context longshore-{name}, selected.", soft_wrap=True)
    print(path)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def kubectl(context: typer.Context, name: Name = "default") -> None:
    """Run kubectl, of the cluster's own version, against the cluster: longshore cluster kubectl -- get pods."""
    environment = {**os.environ, "KUBECONFIG": str(_kubeconfig(name))}
    program = _run(binary.provide)
    os.execve(program, ["kubectl", *context.args], environment)  # noqa: S606 - becomes kubectl, with no shell


def _run(work: Callable[[Report], Awaitable[T]]) -> T:
    async def shown_work() -> T:
        with Steps(talk) as report:
            return await work(report)

    return asyncio.run(shown_work())


def _kubeconfig(name: str) -> Path:
    path = LocalCluster(name).kubeconfig_path
    if not path.exists():
        raise NotFound(f"There is no cluster {name}.", hint=f"longshore cluster up --cluster {name}")
    return path


def _print_json(status: ClusterStatus) -> None:
    print(msgspec.json.encode(status).decode())


def _table(status: ClusterStatus) -> Table:
    table = Table("part", "pid", "ready", "uptime", "memory", "restarts", box=None, pad_edge=False)
    for part in status.parts:
        table.add_row(*_cells(part))
    table.add_row("", "", "", "", _size(_total(status)), "")
    return table


def _cells(part: PartStatus) -> tuple[str, ...]:
    if part.pid is None:
        ended = "" if part.exit is None else f"exit {part.exit}"
        return (part.name, "-", "[red]no[/]", ended, "", str(part.restarts))
    ready = "yes" if part.ready else "[red]no[/]"
    return (part.name, str(part.pid), ready, _duration(part.uptime), _size(part.rss), str(part.restarts))


def _total(status: ClusterStatus) -> int:
    return sum(part.rss for part in status.parts)


def _size(amount: int) -> str:
    return f"{amount / 1024**2:.0f} MiB"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s" if minutes else f"{rest}s"
