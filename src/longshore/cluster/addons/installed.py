"""Installs add-ons into a cluster, removes them, and says what there is. For the command line.

Which add-ons a cluster has is kept in its settings, so `up` brings them back; a cluster that is down gets a new one,
and is rid of an old one, at the next `up`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct
from msgspec.structs import replace

from longshore.cluster.addons import catalog
from longshore.cluster.cluster import LocalCluster
from longshore.cluster.progress import Report, silent
from longshore.cluster.state import Settings
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
    with _keeping(cluster, name, installed=True):
        if cluster.is_supervised:
            await cluster.up(progress=progress)
    return next(status for status in await listed(cluster) if status.name == name)


async def remove(cluster: LocalCluster, name: str, progress: Report = silent) -> None:
    """Stop it and delete what it made in the API; files stay. NotFound when it is not installed."""
    installed = cluster.folder.read_settings().addons
    if name not in installed:
        known = ", ".join(installed) or "none"
        raise NotFound(f"The add-on {name!r} is not installed in cluster {cluster.name}.", hint=f"Installed: {known}.")
    with _keeping(cluster, name, installed=False):
        if cluster.is_supervised:
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
def _keeping(cluster: LocalCluster, name: str, *, installed: bool) -> Iterator[None]:
    """That it is installed, or leaves, from now on; as it was before when what is done with it fails."""
    before = cluster.folder.read_settings()
    cluster.folder.update_settings(lambda now: _changed(now, name, installed=installed, leaving=not installed))
    try:
        yield
    except BaseException:
        was = {"installed": name in before.addons, "leaving": name in before.leaving}
        cluster.folder.update_settings(lambda now: _changed(now, name, **was))
        raise


def _changed(now: Settings, name: str, *, installed: bool, leaving: bool) -> Settings:
    """The settings with this add-on so, and all others as they are."""
    return replace(now, addons=_listed(now.addons, name, installed), leaving=_listed(now.leaving, name, leaving))


def _listed(names: tuple[str, ...], name: str, there: bool) -> tuple[str, ...]:
    if there:
        return names if name in names else (*names, name)
    return tuple(one for one in names if one != name)
