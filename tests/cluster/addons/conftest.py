"""One cluster that was given all add-ons before it was first up, and whose state a person's commands find too."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
from rich.console import Console
from tests.cluster.shell import Shell

from longshore.cli.steps import Steps
from longshore.cluster import nodes
from longshore.cluster.addons import catalog, installed
from longshore.cluster.cluster import LocalCluster
from longshore.cluster.processes import marked
from longshore.kube.client import Client
from longshore.kube.config import Config

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Build before any test's clock runs, as for the control plane."""
    needed = any(item.path.is_relative_to(HERE) for item in session.items)
    if needed and not (session.config.option.collectonly or session.config.getoption("kubeconfig")):
        with Steps(Console(file=sys.__stderr__)) as report:
            asyncio.run(catalog.provide([addon.name for addon in catalog.ADDONS], report))


class Equipped(NamedTuple):
    """The cluster, its administrator, and who types commands about it."""

    cluster: LocalCluster
    admin: Client
    shell: Shell


@pytest.fixture(scope="package")
async def equipped(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Equipped]:
    shell = Shell(tmp_path_factory.mktemp("home"))
    cluster = LocalCluster("typed", state_root=shell.home / "longshore", fsync=False)
    for addon in catalog.ADDONS:
        assert not (await installed.install(cluster, addon.name)).ready
    with nodes.wanted(cluster):
        await cluster.up()
    async with Client(Config.load(cluster.kubeconfig_path)) as admin:
        yield Equipped(cluster, admin, shell)
    await cluster.reset()
    assert marked(cluster.folder.root) == []
