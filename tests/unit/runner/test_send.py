from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from longshore.runner import send as module
from longshore.runner.environment import Environment, ProgressFile, RunnerError
from longshore.runner.send import READY_FILE, Manifest, send
from longshore.runner.transfer import Api as RunnerApi

if TYPE_CHECKING:
    from tests.unit.conftest import Api
    from tests.unit.runner.conftest import Waiting

Build = Callable[..., Environment]
PROGRESS, OUTPUTS = "POST /v1/jobs/s1/progress", "POST /v1/jobs/s1/outputs"
SUMMARY = ProgressFile("sumo-summary", "longshore/summary.xml", 100)


@pytest.fixture(autouse=True)
def _no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine loses no report."""
    monkeypatch.setattr(module, "PROGRESS_TIMEOUT", 60.0)


def put(name: str) -> str:
    return f"PUT /v1/jobs/s1/artifacts/{name}"


def at_once(_: float) -> bool:
    return True


class Running:
    """The user's container: each wait does the next thing, then it has ended. Remembers how long it was waited for."""

    def __init__(self, *steps: Callable[[], object]) -> None:
        self._steps = list(steps)
        self.waited: list[float] = []

    def __call__(self, seconds: float) -> bool:
        self.waited.append(seconds)
        if not self._steps:
            return True
        self._steps.pop(0)()
        return False


def write_step(workspace: Path, time: int) -> Callable[[], object]:
    def append() -> None:
        file = workspace / "longshore/summary.xml"
        file.parent.mkdir(exist_ok=True)
        with file.open("a") as appended:
            appended.write(f'<step time="{time}.00" running="3"/>\n')

    return append


def test_outputs_go_before_the_manifest_that_lists_them(
    api: Api, runner: RunnerApi, environment: Build, workspace: Path
) -> None:
    (workspace / "a b.csv").write_bytes(b"1,2")
    (workspace / "empty").touch()
    api.on(put("a b.csv"), {})
    api.on(put("empty"), {})
    api.on(OUTPUTS, {})
    manifest = send(environment(outputs=("*",)), runner, at_once)
    assert [f"{asked.method} {asked.path}" for asked in api.asked] == [put("empty"), put("a b.csv"), OUTPUTS]
    assert api.asked[2].json == {
        "outputs": "complete",
        "why": None,
        "files": [
            {"name": "empty", "size": 0, "sha256": hashlib.sha256(b"").hexdigest()},
            {"name": "a b.csv", "size": 3, "sha256": hashlib.sha256(b"1,2").hexdigest()},
        ],
    }
    assert manifest.outputs == "complete"


def test_running_it_again_sends_the_same_again(
    api: Api, runner: RunnerApi, environment: Build, workspace: Path
) -> None:
    (workspace / "a").write_bytes(b"1")
    api.on(put("a"), {})
    api.on(OUTPUTS, {})
    for _ in range(2):
        send(environment(outputs=("a",)), runner, at_once)
    first, second = api.asked_for(OUTPUTS)
    assert first.json == second.json


def test_what_is_missing_or_refused_makes_it_partial_and_says_why(
    api: Api, runner: RunnerApi, environment: Build, workspace: Path
) -> None:
    (workspace / "good").write_bytes(b"1")
    (workspace / "large").write_bytes(b"12")
    api.on(put("good"), {})
    api.problem(put("large"), 413, "an artifact has at most 1 byte")
    api.on(OUTPUTS, {})
    manifest = send(environment(outputs=("good", "large", "gone.csv")), runner, at_once)
    assert manifest.outputs == "partial"
    assert manifest.why == (
        "no file matches 'gone.csv'; 'large' could not be sent: the API answered 413: an artifact has at most 1 byte"
    )
    assert [file["name"] for file in manifest.files] == ["good"]


def test_nothing_to_send_is_missing(api: Api, runner: RunnerApi, environment: Build) -> None:
    api.on(OUTPUTS, {})
    assert send(environment(outputs=("*.csv",)), runner, at_once) == Manifest("missing", "no file matches '*.csv'", ())


def test_nothing_asked_for_is_complete(api: Api, runner: RunnerApi, environment: Build) -> None:
    api.on(OUTPUTS, {})
    assert send(environment(), runner, at_once) == Manifest("complete", None, ())


def test_uploads_end_in_time_for_the_manifest(
    api: Api, runner: RunnerApi, environment: Build, workspace: Path, waiting: Waiting
) -> None:
    for name in ("a", "b"):
        (workspace / name).write_bytes(b"1")
        api.problem(put(name), 503, "the archive is away")
    api.on(OUTPUTS, {})
    manifest = send(environment(outputs=("a", "b")), runner, at_once)
    assert manifest.outputs == "missing"
    assert waiting.now <= 540
    assert api.asked[-1].json["why"].count("the archive is away") == 2


def test_a_manifest_that_cannot_be_given_is_a_failure(
    api: Api, runner: RunnerApi, environment: Build, waiting: Waiting
) -> None:
    api.problem(OUTPUTS, 503, "away")
    with pytest.raises(RunnerError, match="503: away"):
        send(environment(), runner, at_once)
    assert waiting.now <= 45


def test_progress_is_reported_while_it_runs_at_most_once_a_second_and_once_more_at_the_end(
    api: Api, runner: RunnerApi, environment: Build, workspace: Path
) -> None:
    api.on(PROGRESS, {})
    api.on(OUTPUTS, {})

    def still() -> None:
        assert (workspace / READY_FILE).exists()

    running = Running(still, write_step(workspace, 0), write_step(workspace, 25), still, write_step(workspace, 50))
    write_last = write_step(workspace, 75)

    def ended(seconds: float) -> bool:
        over = running(seconds)
        if over:
            write_last()
        return over

    send(environment(progress=SUMMARY), runner, ended)
    assert [asked.json["fraction"] for asked in api.asked_for(PROGRESS)] == [0.0, 0.25, 0.5, 0.75]
    assert api.asked_for(PROGRESS)[1].json["message"].startswith("25 of 100 s simulated, 3 vehicles running")
    assert min(running.waited) >= 1.0


def test_an_api_that_refuses_progress_is_left_in_peace_and_the_outputs_still_come(
    api: Api,
    runner: RunnerApi,
    environment: Build,
    workspace: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    api.problem(PROGRESS, 429, "slow down", headers={"Retry-After": "9"})
    api.problem(PROGRESS, 422, "no")
    api.on(PROGRESS, {})
    api.on(OUTPUTS, {})
    running = Running(*(write_step(workspace, time) for time in range(5)))
    send(environment(progress=SUMMARY), runner, running)
    assert running.waited[:4] == [1.0, 9.0, 30.0, 1.0]
    assert "progress not reported: the API answered 429: slow down" in capsys.readouterr().err
    assert api.asked_for(OUTPUTS)


def test_an_unknown_kind_of_progress_is_said_and_does_no_harm(
    api: Api, runner: RunnerApi, environment: Build, capsys: pytest.CaptureFixture[str]
) -> None:
    api.on(OUTPUTS, {})
    send(environment(progress=ProgressFile("tea-leaves", "x")), runner, Running(lambda: None))
    assert "progress of kind 'tea-leaves' is not known" in capsys.readouterr().err


def test_a_workspace_that_cannot_be_written_is_said(runner: RunnerApi, environment: Build, workspace: Path) -> None:
    workspace.rmdir()
    with pytest.raises(RunnerError, match="the workspace cannot be written: No such file"):
        send(environment(), runner, at_once)
