"""What the commands of `longshore cluster` share: which cluster, how to speak, how to show what takes a while."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from longshore import errors
from longshore.cli.output import Output
from longshore.cli.steps import Steps
from longshore.cluster.progress import Report

if TYPE_CHECKING:
    from longshore.cluster.cluster import LocalCluster

T = TypeVar("T")

Name = Annotated[str, typer.Option("--cluster", "-c", envvar="LONGSHORE_CLUSTER", help="Name of the cluster.")]
Json = Annotated[bool, typer.Option("--json", help="For programs: JSON on stdout.")]


def named(cluster: str) -> "LocalCluster":
    """The cluster of this name, whether or not it exists."""
    from longshore.cluster.cluster import LocalCluster

    return LocalCluster(cluster)


def existing(cluster: str) -> "LocalCluster":
    """The same, and NotFound when nobody made it."""
    local = named(cluster)
    if not local.kubeconfig_path.exists():
        raise errors.NotFound(
            f"there is no cluster {cluster}", hint=f"`longshore cluster up --cluster {cluster}` makes it"
        )
    return local


def shown(out: Output, work: Callable[[Report], Awaitable[T]]) -> T:
    """Do it, and show on stderr how far it is."""

    async def drawn() -> T:
        with Steps(out.people) as report:
            return await work(report)

    return asyncio.run(drawn())
