from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import pytest

from longshore import errors
from longshore.sdk import LongshoreClient
from longshore.sdk.answers import Job

if TYPE_CHECKING:
    from tests.unit.conftest import Api

JOB = {"id": "j1", "status": "Queued"}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.BadUpload),
        (401, errors.Unauthenticated),
        (403, errors.Forbidden),
        (404, errors.NotFound),
        (409, errors.Conflict),
        (410, errors.Gone),
        (413, errors.TooLarge),
        (422, errors.UserMistake),
    ],
)
async def test_a_problem_document_comes_back_as_the_error_it_was(
    api: Api, status: int, kind: type[errors.LongshoreError]
) -> None:
    api.problem("GET /v1/jobs/j1", status, "it is so", hint="do this", field="cpu")
    async with LongshoreClient(api.url, "ls_key") as client:
        with pytest.raises(errors.LongshoreError) as caught:
            await client.jobs.get("j1")
    assert type(caught.value) is kind
    assert (caught.value.message, caught.value.hint) == ("it is so", "do this")
    if isinstance(caught.value, errors.UserMistake):
        assert caught.value.field == "cpu"
    assert len(api.asked) == 1


async def test_a_proxys_page_is_not_shown_to_people(api: Api) -> None:
    api.on("GET /v1/me", status=500, body=b"<html>oops</html>")
    async with LongshoreClient(api.url) as client:
        with pytest.raises(errors.LongshoreError, match="answered 500"):
            await client.me()


async def test_an_answer_that_is_not_the_api_is_said_to_be_so(api: Api) -> None:
    api.on("GET /v1/me", body=b"hello")
    async with LongshoreClient(api.url) as client:
        with pytest.raises(errors.LongshoreError, match="something else") as caught:
            await client.me()
    assert caught.value.hint


async def test_the_key_goes_in_its_header_and_the_tenant_in_the_query(api: Api) -> None:
    api.on("GET /v1/me", {"caller": "admin", "admin": True, "news": "unknown to this client"})
    async with LongshoreClient(api.url, "ls_key", tenant="demo") as client:
        assert (await client.me()).admin
    assert api.asked[0].headers["X-API-Key"] == "ls_key"
    assert api.asked[0].query == {"tenant": "demo"}


async def test_a_client_that_was_told_to_be_patient_is_so_in_calls_that_ask_for_less(api: Api) -> None:
    api.problem("GET /v1/jobs/j1", 503, "not synced", headers={"Retry-After": "0.1"})
    api.on("GET /v1/jobs/j1", JOB)
    async with LongshoreClient(api.url, patience=30) as client:
        assert (await client.jobs._transport.call("GET", "/v1/jobs/j1", Job, patience=0.01)).id == "j1"


async def test_503_is_asked_again_after_the_time_that_the_server_named(api: Api) -> None:
    api.problem("GET /v1/jobs/j1", 503, "not synced", headers={"Retry-After": "0.2"})
    api.on("GET /v1/jobs/j1", JOB)
    began = time.monotonic()
    async with LongshoreClient(api.url) as client:
        assert (await client.jobs.get("j1")).id == "j1"
    assert time.monotonic() - began >= 0.2
    assert len(api.asked) == 2


async def test_patience_bounds_the_retries_and_the_last_problem_is_raised(api: Api) -> None:
    api.problem("GET /v1/jobs/j1", 429, "slow down", headers={"Retry-After": "30"})
    async with LongshoreClient(api.url, patience=1.0) as client:
        with pytest.raises(errors.TooManyRequests, match="slow down") as caught:
            await client.jobs.get("j1")
    assert caught.value.retry_after == 30
    assert len(api.asked) == 1


async def test_what_may_not_be_repeated_is_not_sent_again_on_503(api: Api) -> None:
    api.problem("POST /v1/tenants/demo/keys", 503, "away")
    async with LongshoreClient(api.url) as client:
        with pytest.raises(errors.Unavailable):
            await client.keys.create("demo")
    assert len(api.asked) == 1


async def test_an_answer_that_broke_off_is_asked_for_again(api: Api) -> None:
    api.broken("GET /v1/jobs/j1", b'{"id": "j1", ')
    api.on("GET /v1/jobs/j1", JOB)
    api.broken("POST /v1/tenants/demo/keys", b"{")
    async with LongshoreClient(api.url) as client:
        assert (await client.jobs.get("j1")).id == "j1"
        with pytest.raises(errors.Unavailable, match="cannot be reached"):
            await client.keys.create("demo")
    assert len(api.asked_for("POST /v1/tenants/demo/keys")) == 1


async def test_a_server_that_is_not_there_is_unavailable_with_a_hint() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        async with LongshoreClient(url, patience=0.3) as client:
            with pytest.raises(errors.Unavailable, match="cannot be reached: nothing listens there") as caught:
                await client.me()
    assert "longshore up" in (caught.value.hint or "")


async def test_an_address_that_is_none_is_the_users_mistake() -> None:
    async with LongshoreClient("not an address") as client:
        with pytest.raises(errors.UserMistake, match="not an address"):
            await client.me()


async def test_names_cannot_lead_to_another_path(api: Api) -> None:
    async with LongshoreClient(api.url) as client:
        with pytest.raises(errors.NotFound):
            await client.tenants.get("../jobs?x=1#y")
    assert api.asked[0].path == "/v1/tenants/../jobs?x=1#y"
    assert api.asked[0].query == {}
