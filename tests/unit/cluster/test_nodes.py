from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cluster.node.unfenced import container

from longshore.cluster import nodes
from longshore.cluster.addons import installed
from longshore.cluster.cluster import LocalCluster
from longshore.cluster.node.launcher import launcher
from longshore.cluster.processes import is_running


@pytest.fixture
def cluster(tmp_path: Path) -> LocalCluster:
    """One that was never up."""
    return LocalCluster("tiny", state_root=tmp_path / "state")


def names(cluster: LocalCluster) -> list[str]:
    return [node.name for node in nodes.settings(cluster)]


async def fail(cluster: LocalCluster, *others: str) -> None:
    """An `up` that fails, after somebody added other nodes."""
    with nodes.wanted(cluster):
        assert names(cluster) == ["node0"]
        if others:
            await nodes.add(cluster, others)
        raise ZeroDivisionError


async def test_an_up_that_fails_forgets_its_own_nodes_and_no_others(cluster: LocalCluster) -> None:
    with pytest.raises(ZeroDivisionError):
        await fail(cluster, "others")
    assert names(cluster) == ["others"]


async def test_an_up_that_fails_leaves_a_new_cluster_as_new(cluster: LocalCluster) -> None:
    with pytest.raises(ZeroDivisionError):
        await fail(cluster)
    assert cluster.folder.read_settings().nodes is None


async def test_a_node_that_had_to_be_killed_leaves_nothing_when_it_is_forgotten(cluster: LocalCluster) -> None:
    cluster.node_part("gone")
    folder = cluster.folder.nodes / "gone" / "pods" / "uid" / "containers" / "main" / "1"
    async with launcher() as started, container(started, folder) as process:
        assert is_running(process)
        await cluster.forget_node("gone")
        assert not is_running(process)
    assert list(cluster.folder.nodes.iterdir()) == []


class Failing(LocalCluster):
    """Somebody installs `s3` from elsewhere before it fails."""

    is_supervised = True

    async def up(self, **_: Any) -> None:
        await installed.install(LocalCluster(self.name, state_root=self.folder.root.parents[1]), "s3")
        raise ZeroDivisionError


async def test_an_add_on_that_fails_is_forgotten_and_no_other(make_go: Callable[..., Path], tmp_path: Path) -> None:
    make_go()
    cluster = Failing("tiny", state_root=tmp_path / "state")
    with pytest.raises(ZeroDivisionError):
        await installed.install(cluster, "kwok")
    assert cluster.folder.read_settings().addons == ("s3",)
