from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from longshore.cli import command
from longshore.cli.wait import too_long
from longshore.sdk import Job

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


@pytest.mark.parametrize("argv", [("list",), ("watch",)])
def test_a_status_that_is_none_is_refused_with_those_there_are(cli: Cli, api: Api, argv: tuple[str, ...]) -> None:
    ran = cli(*argv, "--status", "foo")
    assert (ran.code, api.asked) == (2, [])
    assert ran.err.startswith("error: there is no status 'foo'\nhint: use one of: Queued, Pending, ")


def test_a_time_that_is_none_is_refused_in_plain_words(cli: Cli, api: Api) -> None:
    ran = cli("list", "--created-after", "yesterday")
    assert (ran.code, api.asked) == (2, [])
    assert ran.err.startswith("error: 'yesterday' is no time\nhint: write it as 2026-05-01")


def test_a_list_of_nothing_says_so_to_people(cli: Cli, api: Api) -> None:
    api.on("GET /v1/jobs", {"items": [], "cursor": None})
    assert cli("list").err == "there are no jobs to show\n"
    ran = cli("list", "--json")
    assert (ran.json["items"], ran.err) == ([], "")


def test_list_for_programs_is_one_document_with_times_in_utc(cli: Cli, api: Api) -> None:
    api.on("GET /v1/jobs", {"items": [DONE], "cursor": None})
    document = cli("jobs", "list", "--json").json
    assert document["items"][0]["created"] == "2026-11-20T20:00:00Z"
    assert document["cursor"] is None


def test_times_are_in_the_readers_zone(cli: Cli, api: Api, local_zone: None) -> None:
    api.on("GET /v1/jobs/j1", DONE)
    assert "2026-11-21 01:30:00 IST" in cli("jobs", "get", "j1").out


def test_logs_are_the_bytes_of_the_job(cli: Cli, api: Api) -> None:
    api.on("GET /v1/jobs/j1", DONE)
    api.on("GET /v1/jobs/j1/logs", body=b"one\ntwo")
    assert cli("jobs", "logs", "j1", "--tail", "2").out == "one\ntwo"
    assert api.asked_for("GET /v1/jobs/j1/logs")[0].query == {"tail": "2"}
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
    api.on("POST /v1/jobs/j2/stop", DONE | {"id": "j2"})
    assert cli("stop", "j2").err == "j2 has ended of itself: succeeded\n"


def test_follow_says_anew_when_a_job_waits_for_another_reason(cli: Cli, api: Api) -> None:
    pulling = {"id": "j1", "status": "Pending", "reason": "ErrImagePull", "why": {"sentence": "no such\n  image"}}
    api.on("POST /v1/jobs", QUEUED, status=202)
    api.on("GET /v1/jobs/j1/logs", body=b"")
    for record in ({"id": "j1", "status": "Pending", "message": "Admitted."}, pulling, pulling, DONE):
        api.on("GET /v1/jobs/j1", record)
    ran = cli("jobs", "submit", "-i", "longshore/host", "--follow", "--", "true")
    assert ran.err.splitlines()[1:3] == ["j1 pending Admitted", "j1 pending no such image"]
    assert ran.err.count("no such image") == 1


def test_follow_says_once_what_only_has_another_reason(cli: Cli, api: Api) -> None:
    api.on("POST /v1/jobs", QUEUED, status=202)
    api.on("GET /v1/jobs/j1/logs", body=b"")
    for record in ({"id": "j1", "status": "Running", "reason": ""}, RUNNING, RUNNING | {"reason": "Ending"}, DONE):
        api.on("GET /v1/jobs/j1", record)
    ran = cli("submit", "-i", "longshore/host", "--follow", "--", "true")
    assert ran.err.splitlines()[1:4] == ["j1 running", "j1 running 50% step: 900 of 1800", "j1 succeeded after 2m 05s"]


def test_who_waits_is_told_first_what_for(cli: Cli, api: Api) -> None:
    api.on("POST /v1/jobs", QUEUED, status=202)
    api.on("GET /v1/jobs/j1", DONE)
    ran = cli("submit", "-i", "longshore/host", "--wait", "--", "true")
    assert (ran.code, ran.out) == (0, "j1\n")
    assert ran.err.splitlines() == ["j1 queued 2 of 2 jobs are admitted", "j1 succeeded after 2m 05s"]
    assert cli("submit", "-i", "longshore/host", "--wait", "--json", "--", "true").json["status"] == "Succeeded"


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


def test_every_field_has_an_option(cli: Cli, api: Api) -> None:
    api.on("GET /v1/jobs", {"items": [], "cursor": None})  # of what the input may mean
    api.on("POST /v1/jobs", QUEUED, status=202)
    ran = cli(
        *("submit", "-i", "python:3.13", "-n", "train", "-e", "A=b", "--env-secret", "T=creds:token", "--cpu", "2"),
        *("--memory", "1Gi", "--gpu", "1", "--gpu-type", "a100", "--ephemeral", "2Gi", "--shm-size", "1Gi"),
        *("--input", "j0/m.bin:in", "-o", "*.csv", "--mount", "data:/data:ro", "--retries", "2", "--time-limit", "60"),
        *("--priority", "high", "--schedule-to-start", "600", "--completions", "4", "--parallelism", "2"),
        *("--working-dir", "src", "--image-pull-secret", "reg", "--service-account", "cloud"),
        *("--node-selector", "zone=a", "--toleration", "spot=yes:NoSchedule", "--toleration", "any", "--tag", "t=v"),
        *("--idempotency-key", "k", "--", "python", "train.py"),
    )
    assert ran.code == 0, ran.err
    assert api.asked[1].json == {
        "name": "train",
        "image": "python:3.13",
        "command": ["python", "train.py"],
        "env": {"A": "b", "T": {"secret": "creds", "key": "token"}},
        "resources": {"cpu": "2", "memory": "1Gi", "gpu": 1, "gpu_type": "a100", "ephemeral": "2Gi"},
        "shm_size": "1Gi",
        "inputs": [{"artifact": "j0/m.bin", "path": "in"}],
        "outputs": ["*.csv"],
        "mounts": [{"claim": "data", "path": "/data", "read_only": True}],
        "retries": 2,
        "timeout": 60,
        "priority": "high",
        "schedule_to_start": 600,
        "completions": 4,
        "parallelism": 2,
        "working_dir": "src",
        "image_pull_secrets": ["reg"],
        "service_account": "cloud",
        "node_selector": {"zone": "a"},
        "tolerations": [
            {"key": "spot", "operator": "Equal", "value": "yes", "effect": "NoSchedule"},
            {"key": "any", "operator": "Exists"},
        ],
        "tags": {"t": "v"},
    }
    assert api.asked[1].headers["Idempotency-Key"] == "k"


def test_a_file_is_the_apis_own_and_options_go_over_it(cli: Cli, api: Api, tmp_path: Path) -> None:
    api.on("POST /v1/jobs", QUEUED, status=202)
    file = tmp_path / "job.yaml"
    file.write_text("image: a\nname: kept\ncommand: [x]\nenv: {A: '1', B: '2'}\nresources: {cpu: '1', memory: 1Gi}\n")
    assert cli("submit", "--file", str(file), "-e", "B=3", "--cpu", "2").code == 0
    assert api.asked[0].json == {
        "image": "a",
        "name": "kept",
        "command": ["x"],
        "env": {"A": "1", "B": "3"},
        "resources": {"cpu": "2", "memory": "1Gi"},
    }


@pytest.mark.parametrize(
    ("content", "said"), [("[1", "neither JSON nor YAML"), ("- a", "holds no job"), ("imagee: a", "names no 'image'")]
)
def test_a_file_that_is_no_job_is_told(cli: Cli, api: Api, tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "job.yaml").write_text(content)
    ran = cli("submit", "--file", str(tmp_path / "job.yaml"))
    assert ran.code == 2
    assert said in ran.err
    assert api.asked == []
    assert "cannot be read" in cli("submit", "--file", str(tmp_path / "none.yaml")).err


def test_a_plan_is_shown_and_refusal_is_an_exit_code(cli: Cli, api: Api) -> None:
    placed = {"nodes": 3, "fit_now": 1, "fit_empty": 2, "refused": {"cpu": 2}}
    api.on("POST /v1/jobs", {"would": "wait", "sentence": "2 of 2 jobs run.", "ahead": 4, "placement": placed})
    refusal = {"status": 422, "detail": "no", "hint": "ask for less"}
    api.on("POST /v1/jobs", {"would": "refuse", "sentence": "no", "refusal": refusal})
    ran = cli("plan", "-i", "a", "--", "x")
    assert (ran.code, api.asked[0].query["dry_run"]) == (0, "true")
    assert "2 of 2 jobs run." in ran.out
    assert "1 of 3 now, 2 if empty" in ran.out
    refused = cli("submit", "-i", "a", "--dry-run", "--", "x")
    assert refused.code == 2
    assert "hint: ask for less" in refused.err


def test_list_takes_every_filter_and_reads_every_page(cli: Cli, api: Api) -> None:
    api.on("GET /v1/jobs", {"items": [DONE], "cursor": "c"})
    api.on("GET /v1/jobs", {"items": [QUEUED], "cursor": None})
    ran = cli("list", "--all", "-q", "--status", "running", "--tag", "a=b", "--name", "x", "--kind", "job", "--live")
    assert (ran.code, ran.out) == (0, "j1\nj1\n")
    asked = api.asked[1].query
    assert asked == {
        "status": "Running",
        "tag": "a=b",
        "name": "x",
        "kind": "job",
        "archived": "false",
        "limit": "200",
        "cursor": "c",
    }


def test_while_the_archive_is_away_list_shows_what_is_in_the_cluster_and_says_so(cli: Cli, api: Api) -> None:
    away = {"available": False, "since": "2026-01-01T12:00:00Z", "hint": "wait"}
    api.on("GET /v1/jobs", {"items": [DONE], "cursor": "c", "archive": away})
    ran = cli("list", "-q")
    assert (ran.code, ran.out) == (0, "j1\n")
    assert "the archive does not answer since 12:00:00 UTC: what it alone has is not shown" in ran.err
    assert "archive" in cli("list", "--json").json


@pytest.mark.parametrize("more", [[], ["--all"]])
def test_what_the_archive_cannot_list_is_said(cli: Cli, api: Api, more: list[str]) -> None:
    damaged = {"files": 1, "entries": 12, "hint": "mend it"}
    api.on("GET /v1/jobs", {"items": [DONE], "cursor": None, "damaged": damaged})
    ran = cli("list", "-q", *more)
    assert (ran.code, ran.out) == (0, "j1\n")
    assert "up to 12 archived jobs are missing here" in ran.err


def test_a_list_that_only_the_archive_has_is_refused_while_that_is_away(
    cli: Cli, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "_PATIENCE", 0.0)
    api.problem("GET /v1/jobs", 503, "the archive does not answer")
    ran = cli("list", "--all", "-q")
    assert (ran.code != 0, ran.out) == (True, "")


def test_all_that_is_listed_while_the_archive_is_away_is_the_cluster_s(
    cli: Cli, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "_PATIENCE", 0.0)
    away = {"available": False, "since": "2026-01-01T12:00:00Z", "hint": "wait"}
    api.on("GET /v1/jobs", {"items": [DONE], "cursor": "c", "archive": away})
    api.problem("GET /v1/jobs", 503, "the archive does not answer")
    ran = cli("list", "--all", "-q")
    assert (ran.code, ran.out) == (0, "j1\n")
    assert "what it alone has is not shown" in ran.err
    assert "--cursor c" in ran.err


def test_list_prints_names_json_and_more_columns(cli: Cli, api: Api) -> None:
    api.on("GET /v1/jobs", {"items": [DONE | {"image": "img", "tags": {"a": "b"}}], "cursor": None})
    assert cli("list", "-o", "name").out == "j1\n"
    assert cli("list", "-o", "json").json["items"][0]["id"] == "j1"
    wide = cli("list", "-o", "wide").out
    assert "img" in wide
    assert "a=b" in wide
    assert cli("list").out.splitlines()[0].split()[-1] == "MESSAGE"


@pytest.mark.parametrize("follow", [(), ("-f",)])
def test_the_log_of_a_job_that_has_not_started_says_that_and_why(cli: Cli, api: Api, follow: tuple[str, ...]) -> None:
    api.on("GET /v1/jobs/j1", QUEUED)
    api.on("GET /v1/jobs/j1/logs", body=b"")
    ran = cli("logs", "j1", *follow)
    said = "j1 has not started: 2 of 2 jobs are admitted; `longshore why j1` says more\n"
    assert (ran.code, ran.out, ran.err) == (0, "", said)
    assert len(api.asked_for("GET /v1/jobs/j1/logs")) == 1, "it is read, or waited for, all the same"
    assert cli("logs", "j1", "--json").err == ""
    api.on("GET /v1/jobs/j2", RUNNING | {"id": "j2"})
    api.on("GET /v1/jobs/j2/logs", body=b"")
    assert cli("logs", "j2").err == ""


def test_logs_asks_for_a_part(cli: Cli, api: Api) -> None:
    api.on("GET /v1/jobs/j1/logs", body=b"x\n")
    said = ["--since", "10m", "--until", "1m", "--search", "err", "--context", "2", "--previous", "--container", "c"]
    said += ["--index", "0"]
    assert cli("logs", "j1", *said).out == "x\n"
    assert api.asked_for("GET /v1/jobs/j1/logs")[0].query == {
        "since": "10m",
        "until": "1m",
        "search": "err",
        "context": "2",
        "previous": "true",
        "container": "c",
        "index": "0",
    }


def test_why_says_it_in_a_sentence(cli: Cli, api: Api) -> None:
    waiting = {"sentence": "2 of 2 jobs run.", "since": "2026-11-20T20:00:00Z", "ahead": 3}
    api.on("GET /v1/jobs/j1", QUEUED | {"why": waiting})
    ran = cli("why", "j1")
    assert "2 of 2 jobs run." in ran.out
    assert "3" in ran.out
    assert cli("why", "j1", "--json").json["why"]["ahead"] == 3


def test_events_are_rows(cli: Cli, api: Api) -> None:
    event = {"at": "2026-11-20T20:00:00Z", "type": "Warning", "reason": "BackOff", "message": "m", "count": 3}
    api.on("GET /v1/jobs/j1/events", {"items": [event]})
    assert "m (3 times)" in cli("events", "j1").out


def test_wait_for_several_fails_with_the_one_that_failed(cli: Cli, api: Api) -> None:
    api.on("GET /v1/jobs/j1", DONE)
    api.on("GET /v1/jobs/j2", FAILED | {"id": "j2"})
    ran = cli("wait", "j1", "j2", "--json")
    assert ran.code == 1
    assert {item["id"] for item in ran.json["items"]} == {"j1", "j2"}


def test_wait_for_any_does_not_wait_for_the_others(cli: Cli, api: Api) -> None:
    api.on("GET /v1/jobs/j1", DONE)
    api.on("GET /v1/jobs/j2", RUNNING | {"id": "j2"})
    assert cli("wait", "--any", "j1", "j2").code == 0
    late = cli("wait", "j1", "j2", "--timeout", "0.3")
    assert late.code == 124
    assert "not ended in 0.3 s" in late.err


def test_who_waited_too_long_for_several_is_told_for_which() -> None:
    ended = [Job(id="j1", status="Succeeded")]
    assert too_long(["j1", "j2"], ended, 0.3) == "j2 has not ended in 0.3 s and goes on running"
    assert too_long(["j1", "j2"], [], 60.0) == "j1, j2 have not ended in 60 s and go on running"


def test_rerun_prints_the_new_id_and_delete_can_purge(cli: Cli, api: Api) -> None:
    api.on("POST /v1/jobs/j1/rerun", QUEUED | {"id": "j2"}, status=202)
    api.on("DELETE /v1/jobs/j1", status=204)
    assert cli("rerun", "j1").out == "j2\n"
    assert "with its log and files" in cli("delete", "j1", "--purge").err
    assert api.asked[-1].query == {"purge": "true"}


def test_ctrl_c_ends_the_waiting_and_not_the_job(cli: Cli, api: Api) -> None:
    api.on("GET /v1/jobs/j1", RUNNING)
    with subprocess.Popen([*LONGSHORE, "wait", "j1"], stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not api.asked_for("GET /v1/jobs/j1") and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "j1 goes on running" in said
    assert {asked.method for asked in api.asked} == {"GET"}


def test_a_reader_that_has_enough_is_no_error(cli: Cli, api: Api) -> None:
    api.on("GET /v1/jobs/j1", DONE)
    api.on("GET /v1/jobs/j1/logs", body=b"line\n" * 200_000)
    shell = f"{sys.executable} -m longshore logs j1 | head -1"
    ran = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=60, check=False)
    assert (ran.stdout, ran.stderr) == ("line\n", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_tab_completes_ids_and_states(cli: Cli, api: Api, shell: str) -> None:
    api.on("GET /v1/jobs", {"items": [DONE, QUEUED | {"id": "k2"}], "cursor": None})
    said = _completed(shell, "longshore logs j")
    assert "j1" in said
    assert "k2" not in said


def test_tab_completes_commands_and_states(cli: Cli) -> None:
    assert "running" in _completed("bash", "longshore list --status ru")
    assert "submit" in _completed("bash", "longshore sub")


def test_tab_is_quiet_when_nobody_answers(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONGSHORE_URL", "http://127.0.0.1:9")
    assert _completed("bash", "longshore logs j").strip() == ""


LONGSHORE = [sys.executable, "-m", "longshore"]


# a person waits behind the key for two seconds, a test does not
PATIENTLY = "from longshore.cli import completion; completion._SECONDS = 60.0; import longshore.__main__ as m; m.main()"


def _completed(shell: str, typed: str) -> str:
    words = typed.split(" ")
    asked = {"_LONGSHORE_COMPLETE": f"complete_{shell}"}
    if shell == "bash":
        asked |= {"COMP_WORDS": typed, "COMP_CWORD": str(len(words) - 1)}
    else:
        asked |= {"_TYPER_COMPLETE_ARGS": typed, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    env = {**os.environ, **asked}
    command = [sys.executable, "-c", PATIENTLY]
    ran = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert ran.stderr == ""
    return ran.stdout
