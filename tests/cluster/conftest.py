"""One real cluster for the whole session: the control plane and a process node, without fsync, thrown away at the end.

The control plane's binary comes from the cache; where it is not there yet, it is built first, which takes minutes.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
from rich.console import Console

from longshore.cli.steps import Steps
from longshore.cluster import binary
from longshore.cluster.cluster import LocalCluster
from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.kube.objects import NAMESPACES

HERE = Path(__file__).parent
NODE = "node0"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All below this folder need the control plane, so `-m "not cluster"` leaves them out."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.cluster)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Build before any test's clock runs, and say so past pytest's capture."""
    needed = any(item.get_closest_marker("cluster") for item in session.items)
    if needed and not session.config.option.collectonly:
        with Steps(Console(file=sys.__stderr__)) as report:
            asyncio.run(binary.provide(report))


@pytest.fixture(scope="session")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalCluster]:
    """Shared by all tests: each works in a namespace of its own, and stops no part."""
    cluster = LocalCluster("tests", state_root=tmp_path_factory.mktemp("state"), fsync=False)
    await cluster.up(extra_parts=[cluster.node_part(NODE)])
    yield cluster
    await cluster.reset()


@pytest.fixture(scope="session")
def kubeconfig(cluster: LocalCluster) -> Path:
    """The administrator's."""
    return cluster.kubeconfig_path


@pytest.fixture(scope="session")
def kube_config(kubeconfig: Path) -> Config:
    return Config.load(kubeconfig)


@pytest.fixture(scope="session")
async def client(kube_config: Config) -> AsyncIterator[Client]:
    """Logged in as the administrator."""
    async with Client(kube_config) as client:
        yield client


@pytest.fixture
async def namespace(client: Client) -> AsyncIterator[str]:
    """One of its own for each test."""
    name = f"test-{uuid4().hex[:10]}"
    await client.create(NAMESPACES, {"metadata": {"name": name}})
    yield name
    await client.delete(NAMESPACES, name)
