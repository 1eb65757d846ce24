"""What is read back from a container's folder."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from longshore.cluster.node import attempts
from longshore.cluster.node.shim import proctree
from longshore.kube.objects import ContainerState, ContainerStateRunning, ContainerStatus


def attempt(folder: Path, number: int = 1, **files: Any) -> Path:
    path = folder / str(number)
    path.mkdir(parents=True)
    (path / "attempt.json").write_text(json.dumps({"number": number, "image_id": "i", "message_from_log": True}))
    for name, content in files.items():
        (path / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return path


ALIVE = {"pid": os.getpid(), "started": proctree.started(os.getpid()), "at": 1_000_000_000}
GONE = {**ALIVE, "started": "another boot:1"}
ENDED = {"code": 3, "signal": 0, "error": "", "at": 2_000_000_000}


def test_an_attempt_without_a_process_never_was(tmp_path: Path) -> None:
    assert attempts.read(attempt(tmp_path)) is None


def test_a_live_holder_means_running(tmp_path: Path) -> None:
    run = attempts.read(attempt(tmp_path, pid=ALIVE))
    assert run is not None
    assert run.end is None
    assert not attempts.has_ended(tmp_path / "1")


def test_an_exit_file_tells_the_end(tmp_path: Path) -> None:
    run = attempts.read(attempt(tmp_path, pid=GONE, exit=ENDED))
    assert run is not None
    assert run.end is not None
    assert (run.end.code, run.end.reason) == (3, "Error")
    assert attempts.has_ended(tmp_path / "1")


def test_an_exit_file_tells_of_memory(tmp_path: Path) -> None:
    run = attempts.read(attempt(tmp_path, pid=GONE, exit={**ENDED, "code": 137, "signal": 9, "out_of_memory": True}))
    assert run is not None
    assert run.end is not None
    assert (run.end.code, run.end.reason) == (137, "OOMKilled")


def test_a_holder_that_is_gone_without_an_exit_file_was_killed(tmp_path: Path) -> None:
    run = attempts.read(attempt(tmp_path, pid=GONE))
    assert run is not None
    assert run.end is not None
    assert (run.end.code, run.end.reason) == (137, "ContainerStatusUnknown")


def test_a_container_that_never_started_says_why(tmp_path: Path) -> None:
    failed = {**ENDED, "code": 128, "error": "cannot run 'x'"}
    run = attempts.read(attempt(tmp_path, pid=GONE, exit=failed))
    assert run is not None
    assert run.end is not None
    assert (run.end.reason, run.end.message) == ("StartError", "cannot run 'x'")


def test_the_message_file_wins_over_the_log(tmp_path: Path) -> None:
    log = "".join(f"2026-01-01T00:00:00.000000000Z stdout F line {n}\n" for n in range(200))
    with_file = attempts.read(attempt(tmp_path / "a", pid=GONE, exit=ENDED, log=log, message="told"))
    without = attempts.read(attempt(tmp_path / "b", pid=GONE, exit=ENDED, log=log, message=""))
    assert with_file is not None
    assert with_file.end is not None
    assert with_file.end.message == "told"
    assert without is not None
    assert without.end is not None
    assert len(without.end.message.splitlines()) == 80
    assert without.end.message.endswith("line 199")


def test_attempts_are_in_order_of_their_numbers(tmp_path: Path) -> None:
    for number in (2, 10, 1):
        attempt(tmp_path, number, pid=GONE, exit=ENDED)
    assert [run.attempt.number for run in attempts.runs(tmp_path)] == [1, 2, 10]


def test_a_container_known_to_the_api_of_which_nothing_is_left_is_lost() -> None:
    assert attempts.lost(ContainerStatus(name="main")) is None
    running = ContainerStatus(name="main", state=ContainerState(running=ContainerStateRunning()), restart_count=2)
    run = attempts.lost(running)
    assert run is not None
    assert run.end is not None
    assert (run.attempt.number, run.end.code) == (3, 137)


@pytest.mark.parametrize("content", ["", "{", '{"pid": "x"}'])
def test_a_file_cut_off_by_a_power_cut_is_as_none(tmp_path: Path, content: str) -> None:
    assert attempts.read(attempt(tmp_path, pid=content)) is None
