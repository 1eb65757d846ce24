from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from longshore import __version__

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Cli
    from tests.unit.conftest import Api


def test_version_is_a_line_for_people_and_a_document_for_programs(cli: Cli) -> None:
    assert cli("version").out == f"longshore {__version__}\n"
    assert cli("version", "--json").json["longshore"] == __version__


@pytest.mark.parametrize(
    "argv", [("jobs", "sumbit"), ("jobs", "get"), ("jobs", "list", "--limit", "many"), ("jobs", "list", "--nope")]
)
def test_a_command_line_that_cannot_be_understood_says_where_help_is(cli: Cli, argv: tuple[str, ...]) -> None:
    ran = cli(*argv)
    assert ran.code == 2
    assert ran.out == ""
    assert ran.err.startswith("error: ")
    assert "hint: `longshore jobs" in ran.err


def test_a_problem_is_printed_with_its_hint_and_nothing_on_stdout(cli: Cli, api: Api) -> None:
    api.problem("GET /v1/jobs/j9", 404, "there is no job 'j9'", hint="list them: longshore jobs list")
    ran = cli("jobs", "get", "j9", "--json")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == "error: there is no job 'j9'\nhint: list them: longshore jobs list\n"


def test_nobody_answering_has_an_exit_code_of_its_own(cli: Cli) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        ran = cli("jobs", "list", "--url", f"http://127.0.0.1:{unused.getsockname()[1]}")
    assert ran.code == 3
    assert "cannot be reached" in ran.err
    assert "hint: `longshore up`" in ran.err


def test_what_would_steer_the_terminal_is_not_printed(cli: Cli, api: Api) -> None:
    api.on("GET /v1/jobs/j1", {"id": "j1", "status": "Failed", "name": "\x1b[2Jgone [bold]", "message": "a\x07b"})
    ran = cli("jobs", "get", "j1")
    assert "\x1b" not in ran.out
    assert "\x07" not in ran.out
    assert "[2Jgone [bold]" in ran.out


def test_the_key_from_the_environment_is_used_and_never_printed(cli: Cli, api: Api) -> None:
    api.problem("GET /v1/jobs", 401, "this key is not known")
    ran = cli("jobs", "list")
    assert api.asked[0].headers["X-API-Key"] == "ls_from_env"
    assert "ls_from_env" not in ran.out + ran.err + cli("jobs", "list", "--help").out


def test_the_administrators_token_goes_to_its_own_cluster_only(
    cli: Cli, api: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("LONGSHORE_API_KEY")
    monkeypatch.delenv("LONGSHORE_URL")
    root = tmp_path / "state" / "longshore" / "clusters" / "default"
    root.mkdir(parents=True)
    (root / "api-url").write_text(api.url)
    (root / "admin-token").write_text("lsa_local")
    api.on("GET /v1/tenants", {"items": []})
    assert cli("tenants", "list").code == 0
    assert api.asked[-1].headers["X-API-Key"] == "lsa_local"
    assert cli("tenants", "list", "--url", api.url.replace("127.0.0.1", "localhost")).code == 0
    assert "X-API-Key" not in api.asked[-1].headers


def test_a_cluster_that_never_ran_longshore_is_named_with_what_to_do(cli: Cli) -> None:
    ran = cli("jobs", "list", "--cluster", "nowhere")
    assert ran.code == 3
    assert "hint: `longshore up --cluster nowhere` starts one" in ran.err


def test_a_folder_that_cannot_be_used_is_told_without_a_traceback(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/dev/null/state")
    ran = cli("cluster", "status")
    assert ran.code == 2
    assert ran.err.startswith("error: /dev/null/state/longshore/clusters/default")
    assert "hint: It must be yours" in ran.err
    assert "XDG_STATE_HOME" in ran.err


def test_a_bad_setting_of_serve_names_its_variable(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGSHORE_PORT", "not a port")
    ran = cli("serve")
    assert ran.code == 2
    assert "LONGSHORE_PORT" in ran.err


def test_ctrl_c_ends_with_130_and_says_what_goes_on(api: Api) -> None:
    api.on("GET /v1/jobs/j1", {"id": "j1", "status": "Running"})
    environment = {**os.environ, "LONGSHORE_URL": api.url}
    command = [sys.executable, "-m", "longshore", "jobs", "wait", "j1"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        while len(api.asked) < 2:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.strip() == "interrupted; j1 goes on running"
