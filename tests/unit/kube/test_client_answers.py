"""What comes back: whole objects, the id of a request, and answers that are none."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiolimiter import AsyncLimiter

from longshore.errors import LongshoreError, NotFound, Terminal, Unavailable
from longshore.kube.client import DEADLINE, Client
from longshore.kube.config import Config
from longshore.kube.objects import JOBS, PODS
from longshore.kube.request import Request

from .conftest import Clock
from .faulty import CUT, Answer, Faulty, job, page, refuse, watch

Call = Callable[[Client], Awaitable[Any]]
WHOLE = JOBS.read_as(dict[str, Any])
UNKNOWN = {**job("a", 5), "spec": {"podFailurePolicy": {"rules": []}}, "madeUp": [1]}
BODY = {"metadata": {"name": "a", "namespace": "ns"}}


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.get(WHOLE, "a", "ns"),
        lambda client: client.create(WHOLE, BODY),
        lambda client: client.patch(WHOLE, "a", {}, "ns"),
        lambda client: client.apply(WHOLE, BODY, field_manager="me"),
    ],
    ids=["get", "create", "patch", "apply"],
)
async def test_an_object_can_be_read_whole(server: Faulty, client: Client, call: Call) -> None:
    server.script = [Answer(json.dumps(UNKNOWN).encode())]
    assert await call(client) == UNKNOWN


async def test_a_list_can_be_read_whole(server: Faulty, client: Client) -> None:
    server.script = [page(UNKNOWN, version=10)]
    assert (await client.list_page(WHOLE)).items == [UNKNOWN]


async def test_every_request_has_an_id_of_its_own(server: Faulty, client: Client) -> None:
    server.script = [page(version=1), page(version=1)]
    await client.list_page(JOBS)
    await client.list_page(JOBS)
    ids = [asked.headers["audit-id"] for asked in server.asked]
    assert ids[0] != ids[1]
    assert all(0 < len(id) <= 64 for id in ids)  # the API server shortens longer ones in its logs


async def test_all_attempts_of_a_request_have_the_same_id(server: Faulty, client: Client) -> None:
    server.script = [refuse(503), refuse(429, "TooManyRequests"), page(version=1)]
    await client.list_page(JOBS)
    assert len({asked.headers["audit-id"] for asked in server.asked}) == 1


async def broken_log(client: Client) -> None:
    async for _ in client.logs("p", "ns"):
        pass


@pytest.mark.parametrize(
    ("answer", "call"),
    [
        (refuse(404, "NotFound"), lambda client: client.get(JOBS, "a")),
        (Answer(b"<html>"), lambda client: client.get(JOBS, "a")),
        (Answer(b'{"spec":7}'), lambda client: client.get(JOBS, "a")),
        (Answer(b"[]"), lambda client: client.list_page(JOBS)),
        (refuse(404, "NotFound"), broken_log),
        (watch(b"line", CUT), broken_log),
    ],
)
async def test_an_error_tells_the_id_of_its_request_but_not_in_its_message(
    server: Faulty, client: Client, answer: Answer, call: Call
) -> None:
    server.script = [answer]
    with pytest.raises(LongshoreError) as caught:
        await call(client)
    assert caught.value.request_id == server.asked[0].headers["audit-id"]
    assert caught.value.request_id not in caught.value.message


def test_a_request_shows_no_body() -> None:
    assert "s3cret" not in repr(Request("POST", "/api/v1/secrets", body=b"s3cret"))


async def test_an_error_without_a_request_has_no_id() -> None:
    assert NotFound("nowhere").request_id is None


@pytest.mark.parametrize("body", [b"<html><body>Sign in</body></html>", b'{"kind":"Job","metadata":{"na', b""])
async def test_an_answer_that_is_not_json_is_told_with_a_hint(server: Faulty, client: Client, body: bytes) -> None:
    server.script = [Answer(body, content_type="text/html")]
    with pytest.raises(Unavailable, match="not JSON") as caught:
        await client.get(JOBS, "a")
    assert caught.value.hint == "is a proxy in the way?"


async def test_a_page_of_html_with_an_error_code_is_told_with_a_hint(server: Faulty, client: Client) -> None:
    server.script = [Answer(b"\n<html>502 Bad Gateway</html>", 502, content_type="text/html")] * 4
    with pytest.raises(Unavailable, match="answered 502 with a web page") as caught:
        await client.get(JOBS, "a")
    assert caught.value.hint == "is a proxy or a login page in the way?"


async def test_json_that_is_cut_off_with_the_connection_is_asked_for_again(server: Faulty, client: Client) -> None:
    server.script = [watch(b'{"kind":"Job","metadata":{"na', CUT), Answer(json.dumps(job("a", 5)).encode())]
    assert (await client.get(JOBS, "a")).metadata.name == "a"


async def test_what_cannot_be_stored_readably_is_final(server: Faulty, client: Client) -> None:
    server.script = [refuse(500, "StorageReadError")]
    with pytest.raises(Terminal) as caught:
        await client.list_page(PODS)
    assert caught.value.hint is not None
    assert "etcd" in caught.value.hint


async def test_one_request_that_is_throttled_does_not_hold_up_another(server: Faulty, client: Client) -> None:
    server.script = [refuse(429, "TooManyRequests", Retry_After="2"), page(version=1), page(version=2)]
    both = [asyncio.create_task(client.list_page(JOBS)) for _ in range(2)]
    done, throttled = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    assert [(await task).resource_version for task in done] == ["1"]
    assert [(await task).resource_version for task in throttled] == ["2"]


async def test_a_rate_holds_further_requests_back_after_a_burst(server: Faulty) -> None:
    server.script = [page(version=1)] * 7
    async with Client(Config(server.url), rate=10, burst=3) as client:
        began = time.monotonic()
        await asyncio.gather(*(client.list_page(JOBS) for _ in range(7)))
    assert time.monotonic() - began >= 0.35


@pytest.mark.usefixtures("loops_clock")
async def test_waiting_for_the_rate_counts_into_no_deadline(
    server: Faulty, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(AsyncLimiter):
        async def acquire(self, amount: float = 1) -> None:
            clock.elapse(10 * DEADLINE)
            for _ in range(3):  # turns of the loop, in which a deadline that runs already is noticed
                await asyncio.sleep(0)

    monkeypatch.setattr("longshore.kube.client.AsyncLimiter", Slow)
    server.script = [Answer(json.dumps(job("a", 5)).encode())] * 3
    async with Client(Config(server.url), rate=2, burst=1) as client:
        for _ in range(3):
            await client.get(JOBS, "a")
    assert len(server.asked) == 3
