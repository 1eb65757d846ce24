"""`longshore cluster logs | kubeconfig | kubectl`: ways to look into a cluster."""

import os
from typing import Annotated

import typer

from longshore import errors
from longshore.cli.cluster.command import Name, existing, shown
from longshore.cli.local import DEFAULT_CLUSTER
from longshore.cli.output import Output


def logs(
    part: Annotated[str | None, typer.Argument(help="etcd, kube-apiserver, node0, ...  [left out: lists them]")] = None,
    cluster: Name = DEFAULT_CLUSTER,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is added.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last lines.")] = 200,
) -> None:
    """Print the log of one part, or the names of those that have one."""
    from longshore.cluster import logs as parts_logs

    out = Output(json=False)
    if part is None:
        for name in existing(cluster).logs():
            out.text(name)
        return
    log = existing(cluster).log(part)
    end, last = parts_logs.tail(log, lines)
    out.raw(last)
    if follow:
        for chunk in parts_logs.follow(log, end):
            out.raw(chunk)


def kubeconfig(
    cluster: Name = DEFAULT_CLUSTER,
    merge: Annotated[bool, typer.Option("--merge", help="Write it into your own kubeconfig and select it.")] = False,
) -> None:
    """Print the path of the cluster's kubeconfig."""
    from longshore.cluster import kubeconfig as files

    out = Output(json=False)
    path = existing(cluster).kubeconfig_path
    if merge:
        own = files.users_own()
        context = files.merge(path, own)
        out.say(f"{own} now has the context {context}, and it is selected")
    out.text(str(path))


def kubectl(context: typer.Context, cluster: Name = DEFAULT_CLUSTER) -> None:
    """Run kubectl, of the cluster's own version, against the cluster: longshore cluster kubectl -- get pods."""
    from longshore.cluster import binary, versions

    local = existing(cluster)
    if not local.is_supervised:
        hint = f"`longshore cluster up --cluster {cluster}` starts it"
        raise errors.Unavailable(f"cluster {cluster} is down", hint=hint)
    environment = {**os.environ, "KUBECONFIG": str(local.kubeconfig_path)}
    program = versions.control_plane(versions.minor(local.kubernetes))
    built = shown(Output(json=False), lambda report: binary.provide(report, program))
    os.execve(built, ["kubectl", *context.args], environment)  # noqa: S606 - becomes kubectl, with no shell


def register(app: typer.Typer) -> None:
    """Add them to the command line."""
    app.command()(logs)
    app.command()(kubeconfig)
    app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(kubectl)
