"""`longshore cluster addon ...`: servers beside the control plane, such as simulated nodes and object storage."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from longshore.cli.cluster.command import Json, Name, existing, shown
from longshore.cli.local import DEFAULT_CLUSTER
from longshore.cli.output import Output

if TYPE_CHECKING:
    from longshore.cluster.addons.installed import AddonStatus

app = typer.Typer(help="Add-ons of a cluster, built from pinned Go modules when first installed.", no_args_is_help=True)

AddonName = Annotated[str, typer.Argument(metavar="NAME", help="As `list` names it, such as kwok.")]


@app.command()
def install(name: AddonName, cluster: Name = DEFAULT_CLUSTER, json: Json = False) -> None:
    """Build an add-on if it must be, and start it; it comes back with the next `up`."""
    from longshore.cluster.addons import installed

    local = existing(cluster)
    out = Output(json=json)
    status = shown(out, lambda report: installed.install(local, name, report))
    if json:
        out.document(status)
    else:
        out.card(status.facts.items())
    if status.ready:
        out.say(f"{name} {status.version} runs in cluster {cluster}")
    else:
        out.say(f"cluster {cluster} is down; `longshore cluster up --cluster {cluster}` starts it with {name}")


@app.command()
def remove(name: AddonName, cluster: Name = DEFAULT_CLUSTER) -> None:
    """Stop an add-on, and delete what it made in the cluster; its files stay until `longshore cluster reset`."""
    from longshore.cluster.addons import installed

    local = existing(cluster)
    out = Output(json=False)
    shown(out, lambda report: installed.remove(local, name, report))
    out.say(f"{name} is gone from cluster {cluster}")
    if name in local.folder.read_settings().leaving:
        out.say("what it made in the cluster goes with the next `up`")
    files = local.addon_site(name).folder
    if files.exists():
        out.say(f"its files stay in {files}")


@app.command("list")
def list_(cluster: Name = DEFAULT_CLUSTER, json: Json = False) -> None:
    """List the add-ons, whether they are installed, and how to use those that are."""
    from longshore.cluster.addons import installed

    out = Output(json=json)
    found = asyncio.run(installed.listed(existing(cluster)))
    if json:
        out.document(found)
        return
    columns = ("add-on", "version", "state", "what it is")
    out.table(columns, [(one.name, one.version, _state(one), one.summary) for one in found])
    for one in found:
        if one.facts:
            out.text("")
            out.card((f"{one.name} {fact}", value) for fact, value in one.facts.items())


def _state(status: "AddonStatus") -> str:
    if not status.installed:
        return "not installed"
    return "ready" if status.ready else "not running"
