"""`cli`: runs a command line as `longshore` would, against the loopback server, far from this user's own clusters."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from longshore.cli.main import run

if TYPE_CHECKING:
    from tests.unit.conftest import Api


@dataclass(frozen=True)
class Ran:
    """What one command line left."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.out)

    @property
    def lines(self) -> list[Any]:
        return [msgspec.json.decode(line) for line in self.out.splitlines()]


Cli = Callable[..., Ran]


@pytest.fixture
def cli(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Cli:
    """`cli("jobs", "list")`; a key is in the environment, as it is for people."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("LONGSHORE_URL", api.url)
    monkeypatch.setenv("LONGSHORE_API_KEY", "ls_from_env")
    monkeypatch.delenv("LONGSHORE_CLUSTER", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    _in_zone(monkeypatch, "UTC")

    def ran(*argv: str) -> Ran:
        capfd.readouterr()
        code = run(argv)
        captured = capfd.readouterr()
        return Ran(code, captured.out, captured.err)

    return ran


@pytest.fixture
def local_zone(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A reader in India, half an hour off."""
    _in_zone(monkeypatch, "IST-5:30")
    yield
    monkeypatch.undo()
    time.tzset()


def _in_zone(monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
