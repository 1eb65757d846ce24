"""The log of an indexed job: one index after another, or side by side."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from longshore.cli.indexed import MOST_AT_ONCE, begun, numbers
from longshore.kinds.jobs.indexes import ranges_of
from longshore.sdk import Indexes, stream

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Cli
    from tests.unit.conftest import Api

JOB, LOGS = "GET /v1/jobs/j1", "GET /v1/jobs/j1/logs"
DEADLINE = 60.0


def record(status: str, **indexes: Any) -> dict[str, Any]:
    return {"id": "j1", "status": status, "indexes": {"completions": 3, "own_logs": True, **indexes}}


OVER = record("Succeeded", succeeded="0-2")


def said(api: Api, texts: dict[str, bytes]) -> None:
    """Each index says its text; one that has none is not there."""

    async def answer(request: web.Request) -> web.StreamResponse:
        text = texts.get(request.query["index"])
        return web.Response(body=text) if text is not None else web.json_response({"detail": "none"}, status=404)

    api.answer(LOGS, answer)


class Held:
    """Answers that begin at once and end only when they may, however many are open side by side."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()
        self._open = 0
        self.most = 0

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self._open += 1
        self.most = max(self.most, self._open)
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(b"first\nla")
        async with asyncio.timeout(DEADLINE):
            await self.may_end.wait()
        self._open -= 1
        await response.write(b"st\n")
        return response


@pytest.fixture(autouse=True)
def _polled_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "POLL_SECONDS", 0.02)


@given(st.sets(st.integers(0, 60)))
def test_ranges_are_read_as_the_server_writes_them(members: set[int]) -> None:
    assert list(numbers(ranges_of(members))) == sorted(members)


def test_what_is_over_is_read_before_what_may_last() -> None:
    assert begun(Indexes(completions=9, succeeded="3,5", failed="4", running="0-1")) == [3, 4, 5, 0, 1]


def test_a_log_is_read_index_after_index_and_each_line_says_of_which(cli: Cli, api: Api) -> None:
    api.on(JOB, OVER)
    said(api, {"0": b"a\nb", "1": b"", "2": b"\xff\n"})
    assert cli("logs", "j1", "--tail", "2").out.encode(errors="surrogateescape")[:12] == b"[0] a\n[0] b\n"
    assert [asked.query for asked in api.asked_for(LOGS)] == [{"index": str(n), "tail": "2"} for n in range(3)]
    assert cli("logs", "j1", "-f", "--no-prefix").out.startswith("a\nb\n")
    lines = [{"index": 0, "log": "a"}, {"index": 0, "log": "b"}, {"index": 2, "log": "\ufffd"}]
    assert cli("logs", "j1", "--json").lines == lines


def test_jobs_whose_indexes_have_no_log_of_their_own_are_read_as_a_whole(cli: Cli, api: Api) -> None:
    api.on(JOB, record("Succeeded", succeeded="0-2", own_logs=False))
    api.on(LOGS, body=b"a\nb")
    assert cli("logs", "j1").out == "a\nb"
    assert [asked.query for asked in api.asked_for(LOGS)] == [{}]


def test_indexes_are_followed_side_by_side_and_new_ones_join(cli: Cli, api: Api) -> None:
    held = Held()
    api.on(JOB, record("Running", running="0"))
    api.on(JOB, record("Running", running="0-1"))
    api.on(JOB, record("Running", running="0-2"))

    async def over_when_all_are_read(_: web.Request) -> web.StreamResponse:
        if held.most < 3:
            return web.json_response(record("Running", running="0-2"))
        held.may_end.set()
        return web.json_response(OVER)

    api.answer(JOB, over_when_all_are_read)
    api.answer(LOGS, held)
    ran = cli("logs", "j1", "-f", "--tail", "5")
    assert (ran.code, ran.err) == (0, "")
    assert sorted(ran.out.splitlines()) == [f"[{n}] {word}" for n in range(3) for word in ("first", "last")]
    # a tail is of what was there; who begins later is read from the first line
    queries = {asked.query["index"]: asked.query.get("tail") for asked in api.asked_for(LOGS)}
    assert queries == {"0": "5", "1": None, "2": None}
    assert len(api.asked_for(LOGS)) == 3


def test_no_more_than_so_many_are_followed_at_a_time(cli: Cli, api: Api) -> None:
    held, many = Held(), 3 * MOST_AT_ONCE
    looks = iter(range(100))

    async def over_some_looks_after_as_many_are_open(_: web.Request) -> web.StreamResponse:
        if held.most < MOST_AT_ONCE or next(looks) < 5:  # one more would have been asked for meanwhile
            return web.json_response(record("Running", completions=many, running=f"0-{many - 1}"))
        held.may_end.set()
        return web.json_response(record("Succeeded", completions=many, succeeded=f"0-{many - 1}"))

    api.answer(JOB, over_some_looks_after_as_many_are_open)
    api.answer(LOGS, held)
    ran = cli("logs", "j1", "-f")
    assert held.most == MOST_AT_ONCE
    assert len(ran.out.splitlines()) == 2 * many
    assert ran.err == "16 indexes are followed at a time; the others follow as these end\n"


def test_of_a_job_that_was_stopped_every_index_is_asked_for(cli: Cli, api: Api) -> None:
    api.on(JOB, record("Running", running="0"))
    api.on(JOB, record("Stopped"))
    said(api, {"0": b"a\n", "1": b"b\n", "2": b""})
    assert sorted(cli("logs", "j1", "-f").out.splitlines()) == ["[0] a", "[1] b"]


def test_an_index_without_an_attempt_before_is_passed_over_unless_none_has_one(cli: Cli, api: Api) -> None:
    api.on(JOB, OVER)
    said(api, {"1": b"a\n"})
    ran = cli("logs", "j1", "--previous")
    assert (ran.code, ran.out) == (0, "[1] a\n")
    assert cli("logs", "j1").code != 0
    api.on("GET /v1/jobs/j2", OVER | {"id": "j2"})
    api.problem("GET /v1/jobs/j2/logs", 404, "there was no attempt before")
    ran = cli("logs", "j2", "--previous")
    assert (ran.code != 0, ran.out) == (True, "")
    assert "there was no attempt before" in ran.err


@pytest.mark.parametrize("json", [False, True])
def test_a_submission_that_is_followed_shows_its_indexes(cli: Cli, api: Api, json: bool) -> None:
    api.on("POST /v1/jobs", record("Queued"), status=202)
    api.on(JOB, OVER)
    said(api, {"0": b"a\n", "1": b"", "2": b"b"})
    ran = cli("submit", "-i", "img", "--completions", "3", "-f", *(["--json"] if json else []), "--", "true")
    assert ran.code == 0
    if json:
        logs = sorted((line for line in ran.lines if "log" in line), key=lambda line: int(line["index"]))
        assert logs == [{"index": 0, "log": "a"}, {"index": 2, "log": "b"}]
    else:
        assert sorted(ran.out.splitlines()) == ["[0] a", "[2] b"]


def test_a_reader_that_has_enough_of_several_is_no_error(cli: Cli, api: Api) -> None:
    api.on(JOB, record("Running", running="0-2"))
    api.on(LOGS, body=b"line\n" * 100_000)
    shell = f"{sys.executable} -m longshore logs j1 -f --no-prefix | head -1"
    ran = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=60, check=False)
    assert (ran.stdout, ran.stderr) == ("line\n", "")


def test_a_card_counts_indexes_and_names_the_first_that_failed(cli: Cli, api: Api) -> None:
    failures = [{"index": n, "attempts": 2, "exit_code": 1, "reason": "Error", "message": "m\n."} for n in range(12)]
    counts = {"succeeded": 1, "failed": 12, "running": 2}
    failed = {"succeeded": "12", "failed": "0-11", "failures": failures}
    api.on(JOB, record("Running", completions=20, running="13-14", counts=counts, **failed))
    card = cli("get", "j1").out
    assert "1 succeeded, 12 failed, 2 running, of 20" in card
    assert "9: Error: m . (2 attempts)" in card
    assert "10: Error" not in card
    assert "and 2 more" in card
