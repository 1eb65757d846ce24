"""`longshore cluster node ...`: the nodes of a cluster."""

import asyncio
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from longshore import errors
from longshore.cli.cluster.command import Json, Name, existing, shown
from longshore.cli.local import DEFAULT_CLUSTER
from longshore.cli.output import Output
from longshore.cluster.progress import Report

if TYPE_CHECKING:
    from longshore.cluster.nodes import NodeStatus

app = typer.Typer(help="The nodes of a cluster.", no_args_is_help=True)


class Sandbox(StrEnum):
    """What holds the pods of a process node."""

    AUTO = "auto"
    NAMESPACES = "namespaces"
    BUBBLEWRAP = "bubblewrap"
    NONE = "none"


@app.command()
def add(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Left out: the next free one.")] = None,
    cluster: Name = DEFAULT_CLUSTER,
    count: Annotated[int | None, typer.Option(min=1, help="How many, where no name is given.  [1]")] = None,
    sandbox: Annotated[Sandbox, typer.Option(help="What holds the pods.")] = Sandbox.AUTO,
    cpu_factor: Annotated[int, typer.Option(min=1, max=100, help="How many times the machine's cores to offer.")] = 8,
    simulated: Annotated[
        bool, typer.Option("--simulated", help="Nodes that the add-on kwok plays, --count of them.")
    ] = False,
) -> None:
    """Add nodes that run pods as processes; their names on stdout. They come back with the next `up`."""
    from longshore.cluster import nodes

    if names and (count is not None or simulated):
        raise errors.UserMistake("names and --count or --simulated exclude each other", hint="give one of them")
    local = existing(cluster)
    out = Output(json=False)

    async def work(report: Report) -> list[str]:
        if simulated:
            return await nodes.simulate(local, count or 1)
        flags = {"sandbox": sandbox.value, "cpu_factor": cpu_factor}
        return await nodes.add(local, names or (), count=count or 1, progress=report, **flags)

    for name in shown(out, work):
        out.text(name)
    if not local.is_supervised:
        out.say(f"cluster {cluster} is down; `longshore cluster up --cluster {cluster}` starts it with them")


@app.command()
def remove(
    names: Annotated[list[str], typer.Argument(metavar="NAME...")],
    cluster: Name = DEFAULT_CLUSTER,
    force: Annotated[bool, typer.Option("--force", help="Do not wait for pods to move: end them.")] = False,
    timeout: Annotated[float, typer.Option(min=0, help="Seconds that pods have to leave.")] = 60.0,
) -> None:
    """Drain nodes, stop them and delete them."""
    from longshore.cluster import nodes

    local = existing(cluster)
    out = Output(json=False)

    async def work(report: Report) -> None:
        for name in names:
            await nodes.remove(local, name, force=force, deadline=timeout, progress=report)
            out.say(f"{name} is gone")

    shown(out, work)


@app.command("list")
def list_(cluster: Name = DEFAULT_CLUSTER, json: Json = False) -> None:
    """List the nodes, what holds their pods, and how many they run."""
    from longshore.cluster import nodes

    out = Output(json=json)
    found = asyncio.run(nodes.listed(existing(cluster)))
    if json:
        out.document(found)
    elif found:
        columns = ("node", "kind", "state", "sandbox", "pods", "cpu", "memory", "why")
        out.table(columns, [_row(node) for node in found])
    else:
        out.say(f"cluster {cluster} has no node; `longshore cluster node add --cluster {cluster}` adds one")


def _row(node: "NodeStatus") -> tuple[object, ...]:
    state = "ready" if node.ready else "not ready"
    state += "" if node.schedulable else ", cordoned"
    return (node.name, node.kind, state, node.sandbox, node.pods, node.cpu, node.memory, node.why)
