from pathlib import Path

import pytest

from longshore.cluster.node.machine import hidden
from longshore.cluster.processes import MARKER


def test_pods_see_the_folders_of_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MARKER, "/state/longshore/clusters/one")
    assert hidden(Path("/elsewhere/node0")) == ("/state/longshore/clusters", "/elsewhere/node0")


def test_a_node_of_no_cluster_hides_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MARKER, raising=False)
    assert hidden(Path("/elsewhere/node0")) == ("/elsewhere/node0",)
