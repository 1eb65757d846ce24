"""Which job is meant, by what people type."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.cli.naming import choose
from longshore.errors import UserMistake
from longshore.sdk.answers import Job

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Cli
    from tests.unit.conftest import Api

ONE, OTHER = "j" + "a" * 26, "jaaaa" + "b" * 22
JOBS = [Job(id=ONE, status="Running", name="etl"), Job(id=OTHER, status="Failed", name="train")]


@pytest.mark.parametrize(
    ("typed", "meant"), [(ONE, ONE), ("jaaaab", OTHER), (ONE[:20], ONE), ("etl", ONE), ("train", OTHER), ("x", "x")]
)
def test_a_job_is_meant_by_its_id_its_beginning_or_its_name(typed: str, meant: str) -> None:
    assert choose(typed, JOBS, for_good=False) == meant


def test_what_several_fit_is_refused_with_all_of_them() -> None:
    with pytest.raises(UserMistake, match="any of 2 jobs") as refused:
        choose("jaaaa", JOBS, for_good=False)
    assert refused.value.hint is not None
    assert f"{ONE} (etl, running)" in refused.value.hint
    assert OTHER in refused.value.hint
    assert choose("jaa", JOBS, for_good=False) == "jaa", "three letters are no beginning"


def test_an_id_wins_over_what_begins_with_it_and_over_a_name() -> None:
    jobs = [Job(id="train-1", status="Running"), Job(id="train-12", status="Running", name="train-1")]
    assert choose("train-1", jobs, for_good=True) == "train-1"


@pytest.mark.parametrize(("typed", "is_"), [("etl", "a job's name"), ("train", "a job's name"), ("jaaaab", "short")])
def test_what_cannot_be_undone_takes_more_of_the_id(typed: str, is_: str) -> None:
    with pytest.raises(UserMistake, match=f"'{typed}' is .*{is_}: .* the first 8 letters") as refused:
        choose(typed, JOBS, for_good=True)
    assert refused.value.hint is not None
    assert choose("jaaaabbb", JOBS, for_good=True) == OTHER


@given(st.lists(st.text("ab", min_size=1, max_size=10), unique=True), st.text("ab", min_size=1, max_size=10))
def test_never_a_job_that_is_not_meant(ids: list[str], typed: str) -> None:
    jobs = [Job(id=each, status="Running", name=each[::-1]) for each in ids]
    try:
        meant = choose(typed, jobs, for_good=True)
    except UserMistake:
        assert typed not in ids
        return
    assert meant == typed or (meant.startswith(typed) and len(typed) >= 8)


def test_the_command_asks_for_the_id_that_was_found(cli: Cli, api: Api) -> None:
    api.on("GET /v1/jobs", {"items": [], "cursor": "on"})  # the server looks through so much at once
    api.on("GET /v1/jobs", {"items": [{"id": OTHER, "status": "Failed", "name": "train"}], "cursor": None})
    api.on(f"GET /v1/jobs/{OTHER}", {"id": OTHER, "status": "Failed"})
    assert cli("get", "train", "--json").json["id"] == OTHER
    assert api.asked[0].query == {"called": "train", "limit": "50"}
    assert api.asked[1].query["cursor"] == "on"


def test_an_input_is_of_the_job_that_is_meant(cli: Cli, api: Api) -> None:
    api.on("GET /v1/jobs", {"items": [{"id": OTHER, "status": "Succeeded", "name": "train"}], "cursor": None})
    api.on("POST /v1/jobs", {"id": "j9", "status": "Queued"}, status=202)
    said = ("--input", "train/a/m.bin:in", "--input", "upload/u1/x", "--input", f"{ONE}/y")
    assert cli("submit", "-i", "img", *said).code == 0
    asked = [each["artifact"] for each in api.asked[-1].json["inputs"]]
    assert asked == [f"{OTHER}/a/m.bin", "upload/u1/x", f"{ONE}/y"]
    assert [each.method for each in api.asked] == ["GET", "POST"], "a whole id costs no question"


def test_an_input_of_a_name_that_two_jobs_have_is_not_guessed(cli: Cli, api: Api) -> None:
    two = [{"id": each, "status": "Succeeded", "name": "train"} for each in (ONE, OTHER)]
    api.on("GET /v1/jobs", {"items": two, "cursor": None})
    ran = cli("submit", "-i", "img", "--input", "train/m.bin")
    assert (ran.code, [asked.method for asked in api.asked]) == (2, ["GET"])
    assert "may be any of 2 jobs" in ran.err


def test_a_whole_id_and_anothers_cost_no_question(cli: Cli, api: Api) -> None:
    api.on(f"POST /v1/jobs/{ONE}/stop", {"id": ONE, "status": "Stopped"})
    assert cli("stop", ONE).code == 0
    assert [asked.method for asked in api.asked] == ["POST"]


def test_a_history_without_end_is_not_looked_through(cli: Cli, api: Api) -> None:
    api.on("GET /v1/jobs", {"items": [], "cursor": "on"})
    ran = cli("get", "train")
    assert ran.code == 2
    assert "say the whole id" in ran.err
    assert len(api.asked) == 20


def test_while_the_archive_is_away_what_is_in_the_cluster_is_found(cli: Cli, api: Api) -> None:
    away = {"since": "2026-11-20T20:00:00Z"}
    api.on("GET /v1/jobs", {"items": [{"id": ONE, "status": "Running", "name": "etl"}], "cursor": "c", "archive": away})
    api.problem("GET /v1/jobs", 503, "the archive does not answer", headers={"Retry-After": "1"})
    api.on(f"GET /v1/jobs/{ONE}", {"id": ONE, "status": "Running"})
    assert cli("get", "etl").code == 0
