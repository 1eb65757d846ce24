from __future__ import annotations

import os
import pty
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Cli
    from tests.unit.conftest import Api

QUEUED = {"id": "j1", "status": "Queued", "why": {"sentence": "2 of 2 jobs are admitted"}}
RUNNING = {"id": "j1", "status": "Running", "progress": {"fraction": 0.5, "stage": "step", "message": "900 of 1800"}}
DONE = {
    "id": "j1",
    "status": "Succeeded",
    "name": "hello",
    "created": "2026-11-20T20:00:00Z",
    "started": "2026-11-20T20:00:05Z",
    "finished": "2026-11-20T20:02:10Z",
}
FAILED = {"id": "j1", "status": "Failed", "message": "exit code 3", "hint": "read its log"}


def test_submit_prints_the_id_alone_on_stdout(cli: Cli, api: Api) -> None:
    api.on("POST /v1/jobs", QUEUED, status=202)
    ran = cli("jobs", "submit", "-i", "longshore/host", "-e", "A=b=c", "-t", "demo", "--", "sh", "-c", "echo $A")
    assert (ran.code, ran.out) == (0, "j1\n")
    assert "2 of 2 jobs are admitted" in ran.err
    assert api.asked[0].json["command"] == ["sh", "-c", "echo $A"]
    assert api.asked[0].json["env"] == {"A": "b=c"}
    assert api.asked[0].query == {"tenant": "demo"}


def test_an_option_of_the_command_behind_the_dashes_is_the_commands(cli: Cli, api: Api) -> None:
    api.on("POST /v1/jobs", QUEUED, status=202)
    assert cli("jobs", "submit", "-i", "longshore/host", "--", "env", "--json", "-t", "x").code == 0
    assert api.asked[0].json["command"] == ["env", "--json", "-t", "x"]
    assert api.asked[0].query == {}


def test_a_variable_without_a_value_is_refused_before_anything_is_sent(cli: Cli, api: Api) -> None:
    ran = cli("jobs", "submit", "-i", "longshore/host", "-e", "A", "--", "true")
    assert ran.code == 2
    assert "'A' is not KEY=VALUE" in ran.err
    assert api.asked == []


def test_list_shows_a_row_a_job_and_why_it_waits(cli: Cli, api: Api) -> None:
    api.on("GET /v1/jobs", {"items": [DONE, QUEUED], "cursor": "next"})
    ran = cli("jobs", "list", "--status", "Succeeded")
    header, done, queued = ran.out.splitlines()
    assert header.split()[:3] == ["ID", "NAME", "KIND"]
    assert "2026-11-20 20:00:00" in done
    assert "2m 05s" in done
    assert "2 of 2 jobs are admitted" in queued
    assert "--cursor next" in ran.err


def test_list_for_programs_is_one_document_with_times_in_utc(cli: Cli, api: Api) -> None:
    api.on("GET /v1/jobs", {"items": [DONE], "cursor": None})
    document = cli("jobs", "list", "--json").json
    assert document["items"][0]["created"] == "2026-11-20T20:00:00Z"
    assert document["cursor"] is None


def test_times_are_in_the_readers_zone(cli: Cli, api: Api, local_zone: None) -> None:
    api.on("GET /v1/jobs/j1", DONE)
    assert "2026-11-21 01:30:00" in cli("jobs", "get", "j1").out


def test_logs_are_the_bytes_of_the_job(cli: Cli, api: Api) -> None:
    api.on("GET /v1/jobs/j1/logs", body=b"one\ntwo")
    assert cli("jobs", "logs", "j1", "--tail", "2").out == "one\ntwo"
    assert api.asked[0].query == {"tail": "2"}
    assert cli("jobs", "logs", "j1", "--json").lines == [{"log": "one"}, {"log": "two"}]


def test_wait_succeeds_with_the_job(cli: Cli, api: Api) -> None:
    api.on("GET /v1/jobs/j1", RUNNING)
    api.on("GET /v1/jobs/j1", DONE)
    ran = cli("jobs", "wait", "j1")
    assert ran.code == 0
    assert "j1 succeeded after 2m 05s" in ran.err


def test_wait_fails_with_the_job_and_says_why(cli: Cli, api: Api) -> None:
    api.on("GET /v1/jobs/j1", FAILED)
    ran = cli("jobs", "wait", "j1")
    assert ran.code == 1
    assert "j1 failed: exit code 3\nhint: read its log" in ran.err
    assert cli("jobs", "wait", "j1", "--json").code == 1


def test_wait_that_takes_too_long_is_neither_success_nor_failure(cli: Cli, api: Api) -> None:
    api.on("GET /v1/jobs/j1", RUNNING)
    ran = cli("jobs", "wait", "j1", "--timeout", "0.2")
    assert ran.code == 124
    assert "goes on running" in ran.err


def test_follow_gives_the_log_to_stdout_and_the_progress_to_stderr(cli: Cli, api: Api) -> None:
    api.on("POST /v1/jobs", QUEUED, status=202)
    api.on("GET /v1/jobs/j1/logs", body=b"hello\n")
    for record in (QUEUED, RUNNING, DONE):
        api.on("GET /v1/jobs/j1", record)
    ran = cli("jobs", "submit", "-i", "longshore/host", "--follow", "--", "true")
    assert (ran.code, ran.out) == (0, "hello\n")
    assert "j1 queued 2 of 2 jobs are admitted\nj1 running 50% step: 900 of 1800\nj1 succeeded" in ran.err


def test_follow_for_programs_is_json_lines(cli: Cli, api: Api) -> None:
    api.on("POST /v1/jobs", QUEUED, status=202)
    api.on("GET /v1/jobs/j1/logs", body=b"hello\nend")
    api.on("GET /v1/jobs/j1", RUNNING)
    api.on("GET /v1/jobs/j1", FAILED)
    ran = cli("jobs", "submit", "-i", "longshore/host", "--follow", "--json", "--", "true")
    assert ran.code == 1
    assert [line["log"] for line in ran.lines if "log" in line] == ["hello", "end"]
    assert [line["job"]["status"] for line in ran.lines if "job" in line] == ["Running", "Failed"]


def test_a_problem_while_following_is_printed_like_any_other(cli: Cli, api: Api) -> None:
    api.on("POST /v1/jobs", QUEUED, status=202)
    api.on("GET /v1/jobs/j1", RUNNING)
    api.problem("GET /v1/jobs/j1/logs", 403, "not yours")
    ran = cli("jobs", "submit", "-i", "longshore/host", "--follow", "--", "true")
    assert ran.code == 2
    assert "error: not yours" in ran.err


def test_stop_can_wait_for_the_end(cli: Cli, api: Api) -> None:
    api.on("POST /v1/jobs/j1/stop", RUNNING, status=202)
    api.on("GET /v1/jobs/j1", {"id": "j1", "status": "Stopped"})
    assert "is being stopped" in cli("jobs", "stop", "j1").err
    assert "j1 is stopped" in cli("jobs", "stop", "j1", "--wait").err


def test_follow_says_anew_when_a_job_waits_for_another_reason(cli: Cli, api: Api) -> None:
    pulling = {"id": "j1", "status": "Pending", "reason": "ErrImagePull", "why": {"sentence": "no such\n  image"}}
    api.on("POST /v1/jobs", QUEUED, status=202)
    api.on("GET /v1/jobs/j1/logs", body=b"")
    for record in ({"id": "j1", "status": "Pending", "message": "Admitted."}, pulling, pulling, DONE):
        api.on("GET /v1/jobs/j1", record)
    ran = cli("jobs", "submit", "-i", "longshore/host", "--follow", "--", "true")
    assert ran.err.splitlines()[1:3] == ["j1 pending Admitted", "j1 pending no such image"]
    assert ran.err.count("no such image") == 1


def test_a_row_stays_a_row_whatever_a_job_has_to_say(cli: Cli, api: Api) -> None:
    api.on("GET /v1/jobs", {"items": [FAILED | {"message": "a\nb " * 200}]})
    _, row = cli("jobs", "list").out.splitlines()
    assert row.endswith(" ...")


def test_on_a_terminal_the_log_stands_above_the_bar(cli: Cli, api: Api) -> None:
    api.on("POST /v1/jobs", QUEUED, status=202)
    api.on("GET /v1/jobs/j1/logs", body=b"10%\r20%\r\nhello\nend")
    for record in (RUNNING, RUNNING, DONE):
        api.on("GET /v1/jobs/j1", record)
    master, terminal = pty.openpty()
    command = [sys.executable, "-m", "longshore", "jobs", "submit", "-i", "longshore/host", "--follow", "--", "true"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(command, env=environment, stdout=terminal, stderr=terminal) as process:
        os.close(terminal)
        seen = _read_to_the_end(master)
    assert process.returncode == 0
    assert "Running" in seen
    assert "50%" in seen
    lines = [line.rpartition("\x1b[2K")[2].strip() for line in seen.splitlines()]
    assert [line for line in lines if line in ("10%", "20%", "hello", "end")] == ["20%", "hello", "end"]


def _read_to_the_end(terminal: int) -> str:
    seen = b""
    with suppress(OSError):  # how Linux says that the other side has closed
        while chunk := os.read(terminal, 65536):
            seen += chunk
    os.close(terminal)
    return seen.decode()
