from pathlib import Path

import pytest

from longshore.cluster.node.machine import hidden
from longshore.cluster.processes import MARKER


def test_pods_see_the_folders_of_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MARKER, "/state/longshore/clusters/one")
    assert hidden(Path("/elsewhere/node0"))[:2] == ("/state/longshore/clusters", "/elsewhere/node0")


def test_a_node_of_no_cluster_hides_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MARKER, raising=False)
    assert hidden(Path("/elsewhere/node0"))[0] == "/elsewhere/node0"


@pytest.mark.parametrize(
    ("home", "is_hidden"),
    [("/somewhere/me", True), ("/", False), ("/usr", False), ("/usr/sbin", False), ("relative", False), ("", False)],
)
def test_pods_see_no_home_unless_it_holds_the_programs_of_everybody(
    home: str, is_hidden: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", home)
    assert (home in hidden(Path("/elsewhere/node0"))) is is_hidden
    assert "/run" in hidden(Path("/elsewhere/node0"))
