"""The examples of docs/sdk.md run as they stand, and its table has every method of `jobs`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from longshore.sdk.jobs import Jobs

if TYPE_CHECKING:
    from tests.unit.conftest import Api

DOCUMENT = (Path(__file__).parents[2] / "docs/sdk.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
JOB = {"id": "j1", "status": "Succeeded", "exit_code": 0}


@pytest.fixture
def answered(api: Api, monkeypatch: pytest.MonkeyPatch) -> Api:
    monkeypatch.setenv("LONGSHORE_URL", api.url)
    monkeypatch.setenv("LONGSHORE_API_KEY", "ls_x")
    api.on("GET /v1/jobs/j1", JOB)
    api.on("GET /v1/jobs/j1/logs", body=b"hello\n")
    api.on("GET /v1/jobs", {"items": [JOB], "cursor": None})
    api.problem("GET /v1/jobs/jnothing", 404, "there is no job", hint="list yours")
    return api


def test_the_first_example_submits_waits_and_reads_the_log(answered: Api, capsys: pytest.CaptureFixture[str]) -> None:
    answered.on("POST /v1/jobs", JOB, status=202)
    exec(compile(EXAMPLES[0], "docs/sdk.md", "exec"), {})
    assert capsys.readouterr().out == "Succeeded 0\nhello\n"
    assert answered.asked[0].json["env"] == {"GREETING": "hello"}


def test_the_second_example_plans_lists_and_is_told_what_is_not_there(
    answered: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    answered.on("POST /v1/jobs", {"would": "start", "sentence": "It would start now."})
    exec(compile(EXAMPLES[1], "docs/sdk.md", "exec"), {})
    said = capsys.readouterr().out
    assert said == "start It would start now.\nj1 Succeeded\nthere is no job list yours\n"


def test_there_are_no_examples_that_are_not_run() -> None:
    assert len(EXAMPLES) == 2


def test_every_method_of_jobs_is_in_the_table() -> None:
    methods = {name for name in dir(Jobs) if not name.startswith("_")}
    assert methods - set(re.findall(r"`(\w+)`", DOCUMENT)) == set()
