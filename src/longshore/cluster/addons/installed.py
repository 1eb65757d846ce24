"""Installs add-ons into a cluster, removes them, and says what there is. For the command line.

Which add-ons a cluster has is kept in its settings, so `up` brings them back; a cluster that is down gets a new one,
and is rid of an old one, at the next `up`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct

from longshore.cluster.addons import catalog
from longshore.cluster.cluster import LocalCluster
from longshore.cluster.progress import Report, silent
from longshore.errors import NotFound


class AddonStatus(Struct, frozen=True):
    """One add-on as it is in a cluster; `facts` is what a person needs to know, once it is installed."""

    name: str
    summary: str
    version: str
    installed: bool
    ready: bool
    facts: dict[str, str] = {}


async def install(cluster: LocalCluster, name: str, progress: Report = silent) -> AddonStatus:
    """Build the add-on, and start it if the cluster runs; nothing new if it is there. UserMistake: there is none."""
    await catalog.provide([name], progress)
    settings = cluster.folder.read_settings()
    addons = settings.addons if name in settings.addons else (*settings.addons, name)
    with _keeping(cluster, addons, tuple(one for one in settings.leaving if one != name)):
        if (await cluster.status()).running:
            await cluster.up(progress=progress)
    return next(status for status in await listed(cluster) if status.name == name)


async def remove(cluster: LocalCluster, name: str, progress: Report = silent) -> None:
    """Stop it and delete what it made in the API; files stay. NotFound when it is not installed."""
    settings = cluster.folder.read_settings()
    if name not in settings.addons:
        known = ", ".join(settings.addons) or "none"
        raise NotFound(f"The add-on {name!r} is not installed in cluster {cluster.name}.", hint=f"Installed: {known}.")
    addons = tuple(one for one in settings.addons if one != name)
    with _keeping(cluster, addons, (*settings.leaving, name)):
        if (await cluster.status()).running:
            await cluster.up(without=[name], progress=progress)


async def listed(cluster: LocalCluster) -> list[AddonStatus]:
    """Every add-on that there is, installed or not."""
    installed = cluster.folder.read_settings().addons
    ready = {part.name for part in (await cluster.status()).parts if part.ready}
    return [
        AddonStatus(
            name=addon.name,
            summary=addon.summary,
            version=addon.program().version,
            installed=addon.name in installed,
            ready=addon.name in installed and addon.name in ready,
            facts=addon.facts(cluster.addon_site(addon.name)) if addon.name in installed else {},
        )
        for addon in catalog.ADDONS
    ]


@contextmanager
def _keeping(cluster: LocalCluster, addons: tuple[str, ...], leaving: tuple[str, ...]) -> Iterator[None]:
    """These from now on, and those of before again if what is done with them fails."""
    before = cluster.folder.read_settings()
    cluster.folder.change_settings(addons=addons, leaving=leaving)
    try:
        yield
    except BaseException:
        cluster.folder.change_settings(addons=before.addons, leaving=before.leaving)
        raise
