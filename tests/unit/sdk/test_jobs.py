from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from longshore import errors
from longshore.sdk import Job, LongshoreClient

if TYPE_CHECKING:
    from tests.unit.conftest import Api

QUEUED = {"id": "j1", "status": "Queued", "why": {"sentence": "2 of 2 jobs run", "ahead": 3}}
RUNNING = {"id": "j1", "status": "Running", "progress": {"fraction": 0.5, "stage": "step"}}
DONE = {"id": "j1", "status": "Succeeded", "created": "2026-11-20T20:00:00Z", "exit_code": 0}


async def test_a_submit_that_is_sent_again_carries_the_same_idempotency_key(api: Api) -> None:
    api.problem("POST /v1/jobs", 503, "away", headers={"Retry-After": "0"})
    api.on("POST /v1/jobs", QUEUED, status=202)
    async with LongshoreClient(api.url) as client:
        await client.jobs.submit("longshore/host", ["echo", "hi"], cpu=1)
        await client.jobs.submit("longshore/host", ["echo", "hi"])
    first, again, other = (asked.headers["Idempotency-Key"] for asked in api.asked)
    assert first == again != other


async def test_a_submit_says_only_what_was_said(api: Api) -> None:
    api.on("POST /v1/jobs", QUEUED, status=202)
    async with LongshoreClient(api.url) as client:
        await client.jobs.submit("longshore/host", ["/bin/echo", "hi"], cpu=1, outputs=["*.txt"], env={"A": "b"})
    assert api.asked[0].json == {
        "name": "echo",
        "image": "longshore/host",
        "command": ["/bin/echo", "hi"],
        "resources": {"cpu": "1"},
        "outputs": ["*.txt"],
        "env": {"A": "b"},
    }


async def test_a_page_is_read_with_what_this_client_does_not_know(api: Api) -> None:
    api.on("GET /v1/jobs", {"items": [DONE | {"from_the_future": 1}], "cursor": "c", "age_seconds": 0.1})
    async with LongshoreClient(api.url) as client:
        page = await client.jobs.list(status="Succeeded", limit=1)
    assert page.items[0].created is not None
    assert page.items[0].created.tzinfo is not None
    assert page.cursor == "c"
    assert api.asked[0].query == {"status": "Succeeded", "limit": "1"}


async def test_wait_returns_the_final_record_and_shows_each_reading(api: Api) -> None:
    for record in (QUEUED, RUNNING, DONE):
        api.on("GET /v1/jobs/j1", record)
    seen: list[Job] = []
    async with LongshoreClient(api.url) as client:
        job = await client.jobs.wait("j1", seen=seen.append)
    assert job.final
    assert [each.status for each in seen] == ["Queued", "Running", "Succeeded"]


async def test_wait_gives_up_at_its_deadline(api: Api) -> None:
    api.on("GET /v1/jobs/j1", RUNNING)
    async with LongshoreClient(api.url) as client:
        with pytest.raises(TimeoutError):
            await client.jobs.wait("j1", deadline=0.3)


async def test_wait_asks_ever_less_often(api: Api) -> None:
    api.on("GET /v1/jobs/j1", RUNNING)
    async with LongshoreClient(api.url) as client:
        with pytest.raises(TimeoutError):
            await client.jobs.wait("j1", deadline=1.0)
    assert len(api.asked) <= 6


async def test_a_log_whose_connection_broke_goes_on_where_it_was(api: Api) -> None:
    api.broken("GET /v1/jobs/j1/logs", b"one\ntwo\n")
    api.broken("GET /v1/jobs/j1/logs", b"one\ntwo\nthr")
    api.on("GET /v1/jobs/j1/logs", body=b"one\ntwo\nthree\n")
    async with LongshoreClient(api.url) as client:
        log = b"".join([chunk async for chunk in client.jobs.logs("j1", follow=True)])
    assert log == b"one\ntwo\nthree\n"
    assert all(asked.query == {"follow": "true"} for asked in api.asked)


async def test_a_part_of_a_log_that_is_0_is_asked_for_and_what_is_not_said_is_not(api: Api) -> None:
    api.on("GET /v1/jobs/j1/logs", body=b"")
    async with LongshoreClient(api.url) as client:
        async for _ in client.jobs.logs("j1", tail=0, index=0, context=0, search=""):
            pass
        async for _ in client.jobs.logs("j1", offset=0):
            pass
    assert [asked.query for asked in api.asked] == [
        {"tail": "0", "index": "0", "context": "0", "search": ""},
        {"offset": "0"},
    ]


async def test_a_tail_whose_connection_broke_is_not_guessed_at(api: Api) -> None:
    api.broken("GET /v1/jobs/j1/logs", b"two\n")
    async with LongshoreClient(api.url) as client:
        with pytest.raises(errors.Unavailable, match="broke"):
            async for _ in client.jobs.logs("j1", tail=1):
                pass


async def test_stop_and_delete_reach_the_job(api: Api) -> None:
    api.on("POST /v1/jobs/j1/stop", RUNNING, status=202)
    api.on("DELETE /v1/jobs/j1", status=202)
    async with LongshoreClient(api.url) as client:
        assert (await client.jobs.stop("j1")).status == "Running"
        await client.jobs.delete("j1")
    assert [asked.method for asked in api.asked] == ["POST", "DELETE"]


async def test_every_page_is_read_and_tags_go_as_they_are_asked_for(api: Api) -> None:
    api.on("GET /v1/jobs", {"items": [QUEUED], "cursor": "c"})
    api.on("GET /v1/jobs", {"items": [DONE], "cursor": None})
    async with LongshoreClient(api.url) as client:
        jobs = [job async for job in client.jobs.each(limit=1, tags={"a": "b"}, status="running")]
    assert [job.status for job in jobs] == ["Queued", "Succeeded"]
    assert [asked.query.get("cursor") for asked in api.asked] == [None, "c"]
    assert api.asked[1].query["tag"] == "a=b"


async def test_a_log_goes_on_at_the_byte_that_the_server_named(api: Api) -> None:
    api.broken("GET /v1/jobs/j1/logs", b"one\n", headers={"X-Longshore-Log-Offset": "100"})
    api.on("GET /v1/jobs/j1/logs", body=b"two\n")
    async with LongshoreClient(api.url) as client:
        log = b"".join([chunk async for chunk in client.jobs.logs("j1", tail=2, follow=True)])
    assert log == b"one\ntwo\n"
    assert [asked.query for asked in api.asked] == [
        {"follow": "true", "tail": "2"},
        {"follow": "true", "offset": "104"},
    ]


async def test_what_moved_meanwhile_is_not_guessed_at(api: Api) -> None:
    api.broken("GET /v1/jobs/j1/logs", b"two\n", headers={"X-Longshore-Log-Offset": "0"})
    async with LongshoreClient(api.url) as client:
        with pytest.raises(errors.Unavailable, match="broke"):
            async for _ in client.jobs.logs("j1", since="10m"):
                pass


async def test_rerun_is_safe_to_send_again_and_purge_is_said(api: Api) -> None:
    api.problem("POST /v1/jobs/j1/rerun", 503, "away", headers={"Retry-After": "0"})
    api.on("POST /v1/jobs/j1/rerun", QUEUED, status=202)
    api.on("DELETE /v1/jobs/j1", status=204)
    async with LongshoreClient(api.url) as client:
        await client.jobs.rerun("j1")
        await client.jobs.delete("j1", purge=True)
    first, again, gone = api.asked
    assert first.headers["Idempotency-Key"] == again.headers["Idempotency-Key"]
    assert gone.query == {"purge": "true"}


async def test_a_plan_is_asked_for_without_a_key_and_a_file_brings_its_own(api: Api) -> None:
    api.on("POST /v1/jobs", {"would": "start", "sentence": "It would start."})
    api.on("POST /v1/jobs", QUEUED, status=202)
    async with LongshoreClient(api.url) as client:
        assert (await client.jobs.plan("i", ["true"])).would == "start"
        assert api.asked[0].query == {"dry_run": "true"}
        assert "Idempotency-Key" not in api.asked[0].headers
        await client.jobs.submit_document({"image": "i", "idempotency_key": "mine"})
    assert api.asked[1].headers["Idempotency-Key"] == "mine"
