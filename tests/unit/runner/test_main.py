from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from longshore.runner.send import READY_FILE

if TYPE_CHECKING:
    from tests.unit.conftest import Api

SECONDS = 60.0  # for what takes a moment on a machine that is not busy


@pytest.fixture
def variables(api: Api, workspace: Path, token_file: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(sys.path),
        "LONGSHORE_API": api.url,
        "LONGSHORE_JOB": "s1",
        "LONGSHORE_WORKSPACE": str(workspace),
        "LONGSHORE_TOKEN_FILE": str(token_file),
    }


def start(command: str, variables: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "longshore.runner", command], env=variables, stderr=subprocess.PIPE, text=True
    )


def test_a_fetch_that_works_says_nothing_and_exits_with_0(api: Api, variables: dict[str, str], workspace: Path) -> None:
    piece = {"offset": 0, "size": 1, "url": "/v1/jobs/s1/inputs/a"}
    api.on("GET /v1/jobs/s1/sources/inputs/a", {"size": 1, "sha256": sha256(b"1").hexdigest(), "pieces": [piece]})
    api.on("GET /v1/jobs/s1/inputs/a", body=b"1")
    done = start("fetch", variables | {"LONGSHORE_INPUTS": '[{"artifact": "a"}]'})
    assert done.communicate(timeout=SECONDS)[1] == ""
    assert done.returncode == 0
    assert (workspace / "a").read_bytes() == b"1"


def test_a_fetch_that_fails_says_one_line_with_a_hint_and_exits_with_1(api: Api, variables: dict[str, str]) -> None:
    api.problem("GET /v1/jobs/s1/sources/inputs/a", 410, "the archive has lost it", hint="submit again")
    done = start("fetch", variables | {"LONGSHORE_INPUTS": '[{"artifact": "a"}]'})
    _, said = done.communicate(timeout=SECONDS)
    assert said == (
        "longshore-runner fetch: input 'a': the API answered 410: the archive has lost it; hint: submit again\n"
    )
    assert done.returncode == 1


def test_a_fetch_ends_when_it_is_told_to(api: Api, variables: dict[str, str], workspace: Path) -> None:
    api.problem("GET /v1/jobs/s1/sources/inputs/a", 503, "away", headers={"Retry-After": "60"})
    fetching = start("fetch", variables | {"LONGSHORE_INPUTS": '[{"artifact": "a"}]'})
    deadline = time.monotonic() + SECONDS
    while not api.asked:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    fetching.send_signal(signal.SIGTERM)
    fetching.communicate(timeout=SECONDS)
    assert fetching.returncode == 143
    assert list(workspace.iterdir()) == []


def test_outputs_are_sent_when_the_signal_comes(api: Api, variables: dict[str, str], workspace: Path) -> None:
    api.on("PUT /v1/jobs/s1/artifacts/out.csv", {})
    api.on("POST /v1/jobs/s1/outputs", {})
    sidecar = start("send", variables | {"LONGSHORE_OUTPUTS": '["*.csv"]'})
    deadline = time.monotonic() + SECONDS
    while not (workspace / READY_FILE).exists():
        assert sidecar.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    (workspace / "out.csv").write_text("1,2")
    assert api.asked == []
    while sidecar.poll() is None:  # to its very end: what has been sent is not spoiled by a signal that comes late
        sidecar.send_signal(signal.SIGTERM)
    _, said = sidecar.communicate(timeout=SECONDS)
    assert said == "longshore-runner: outputs complete, 1 files sent\n"
    assert sidecar.returncode == 0
    assert [asked.path for asked in api.asked] == ["/v1/jobs/s1/artifacts/out.csv", "/v1/jobs/s1/outputs"]


@pytest.mark.parametrize("command", ["", "bake"])
def test_a_wrong_call_says_the_right_one(variables: dict[str, str], command: str) -> None:
    done = start(command, variables)
    _, said = done.communicate(timeout=SECONDS)
    assert said.startswith("usage: longshore-runner fetch|send")
    assert done.returncode == 2


def test_the_runner_imports_nothing_of_longshore_and_little_else(variables: dict[str, str]) -> None:
    code = (
        "import sys, longshore.runner.send, longshore.runner.fetch; "
        "print([m for m in sys.modules if m.startswith('longshore.') and not m.startswith('longshore.runner')],"
        " [m for m in ('asyncio', 'dataclasses', 'pydantic', 'msgspec', 'aiohttp') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, timeout=SECONDS)
    assert done.stdout == "[] []\n"
