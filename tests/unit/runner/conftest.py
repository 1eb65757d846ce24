"""The runner against the loopback API, with a clock that only its own waiting moves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from longshore.runner.environment import Environment, Input, ProgressFile
from longshore.runner.transfer import Api as RunnerApi

if TYPE_CHECKING:
    from tests.unit.conftest import Api

TOKEN = "a-token-that-must-not-be-seen"


class Waiting:
    """A clock in seconds; sleeping moves it and is remembered."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    return file


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


@pytest.fixture
def waiting() -> Waiting:
    return Waiting()


@pytest.fixture
def connect(token_file: Path, waiting: Waiting) -> Callable[[str], RunnerApi]:
    """The runner's Api at any address; full jitter always takes half of its ceiling."""
    return lambda url: RunnerApi(url, token_file, sleep=waiting.sleep, clock=waiting, jitter=lambda: 0.5)


@pytest.fixture
def runner(api: Api, connect: Callable[[str], RunnerApi]) -> RunnerApi:
    return connect(api.url)


@pytest.fixture
def environment(workspace: Path, token_file: Path) -> Callable[..., Environment]:
    def build(
        inputs: tuple[Input, ...] = (), outputs: tuple[str, ...] = (), progress: ProgressFile | None = None
    ) -> Environment:
        return Environment("http://unused", "s1", workspace, token_file, inputs, outputs, progress)

    return build
