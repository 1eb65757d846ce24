"""Ctrl-C that comes in the last moment of an `up` takes nothing back, and nothing else is said."""

import signal
from pathlib import Path
from typing import Any

import pytest

from longshore.cli import up
from longshore.cli.local import LocalApi
from longshore.cli.main import run
from longshore.cluster import nodes
from longshore.cluster.cluster import LocalCluster


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("LONGSHORE_CLUSTER", "late")


def test_a_cluster_that_is_up_by_then_keeps_its_nodes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def comes_up(_: LocalCluster, **__: Any) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(LocalCluster, "up", comes_up)
    assert run(["cluster", "up", "--nodes", "2"]) == 0
    assert "cluster late is up" in capsys.readouterr().err
    assert [node.name for node in nodes.settings(LocalCluster("late"))] == ["node0", "node1"]


def test_longshore_that_is_up_by_then_is_not_said_to_be_stopped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def composed(*_: Any, **__: Any) -> LocalApi:
        signal.raise_signal(signal.SIGINT)
        return LocalApi("http://127.0.0.1:1", "token")

    monkeypatch.setattr(up, "compose", composed)
    assert run(["up"]) == 0
    said = capsys.readouterr()
    assert "http://127.0.0.1:1" in said.out
    assert "interrupted" not in said.err
