"""What the client puts on the wire, and how it takes what comes back."""

import asyncio
import gc
import json
import socket
import time

import pytest

from longshore.errors import (
    AlreadyExists,
    Conflict,
    NotFound,
    Terminal,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    UserMistake,
)
from longshore.kube import client as client_module
from longshore.kube.client import Client, Patch
from longshore.kube.config import Config
from longshore.kube.objects import JOBS, NODES

from .faulty import CUT, HANG, Answer, Faulty, added, job, page, refuse, watch


def one(name: str, version: int = 5) -> Answer:
    return Answer(json.dumps(job(name, version)).encode())


async def test_get_decodes_the_object(server: Faulty, client: Client) -> None:
    server.script = [one("a")]
    got = await client.get(JOBS, "a", "ns")
    assert got.metadata.name == "a"
    assert (server.asked[0].method, server.asked[0].path) == ("GET", "/apis/batch/v1/namespaces/ns/jobs/a")


async def test_a_namespace_that_is_not_given_is_the_configs(server: Faulty) -> None:
    server.script = [one("a")]
    async with Client(Config(server.url, namespace="blue")) as client:
        await client.get(JOBS, "a")
    assert server.asked[0].path == "/apis/batch/v1/namespaces/blue/jobs/a"


async def test_create_says_kind_and_takes_the_namespace_of_the_body(server: Faulty, client: Client) -> None:
    server.script = [one("a")]
    await client.create(JOBS, {"metadata": {"name": "a", "namespace": "green"}}, dry_run=True)
    asked = server.asked[0]
    assert (asked.method, asked.path) == ("POST", "/apis/batch/v1/namespaces/green/jobs")
    assert asked.params == {"dryRun": "All"}
    assert json.loads(asked.body)["apiVersion"] == "batch/v1"
    assert json.loads(asked.body)["kind"] == "Job"


async def test_apply_is_a_forced_apply_patch_by_a_named_manager(server: Faulty, client: Client) -> None:
    server.script = [one("a")]
    await client.apply(JOBS, {"metadata": {"name": "a", "namespace": "ns"}}, field_manager="me", subresource="status")
    asked = server.asked[0]
    assert (asked.method, asked.path) == ("PATCH", "/apis/batch/v1/namespaces/ns/jobs/a/status")
    assert asked.params == {"fieldManager": "me", "force": "true"}
    assert asked.headers["content-type"] == "application/apply-patch+yaml"


@pytest.mark.parametrize("type_", list(Patch))
async def test_a_patch_says_its_type(server: Faulty, client: Client, type_: Patch) -> None:
    server.script = [one("a")]
    await client.patch(JOBS, "a", {"spec": {"suspend": False}}, "ns", type=type_)
    assert server.asked[0].headers["content-type"] == type_.value
    assert json.loads(server.asked[0].body) == {"spec": {"suspend": False}}


async def test_delete_carries_its_preconditions(server: Faulty, client: Client) -> None:
    server.script = [Answer(b"{}"), Answer(b"{}")]
    await client.delete(
        JOBS, "a", "ns", uid="u", resource_version="7", propagation="Foreground", grace_period_seconds=0
    )
    await client.delete(NODES, "n")
    assert json.loads(server.asked[0].body) == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "propagationPolicy": "Foreground",
        "gracePeriodSeconds": 0,
        "preconditions": {"uid": "u", "resourceVersion": "7"},
    }
    assert "preconditions" not in json.loads(server.asked[1].body)
    assert server.asked[1].path == "/api/v1/nodes/n"


async def test_a_page_tells_where_the_next_one_begins(server: Faulty, client: Client) -> None:
    server.script = [page(job("a", 3), version=10, continue_="more")]
    got = await client.list_page(JOBS, label_selector="a in (b)", limit=2)
    assert [item.metadata.name for item in got.items] == ["a"]
    assert (got.resource_version, got.continue_) == ("10", "more")
    assert server.asked[0].path == "/apis/batch/v1/jobs"
    assert server.asked[0].params == {"labelSelector": "a in (b)", "limit": "2"}


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../../secrets/x", "a%2fb"])
async def test_a_name_cannot_lead_to_another_path(server: Faulty, client: Client, name: str) -> None:
    with pytest.raises(UserMistake, match="cannot be a name"):
        await client.get(JOBS, name, "ns")
    with pytest.raises(UserMistake, match="cannot be a name"):
        await client.get(JOBS, "a", name or "..")
    assert server.asked == []


async def test_a_name_cannot_add_a_query(server: Faulty, client: Client) -> None:
    server.script = [refuse(404, "NotFound")]
    with pytest.raises(NotFound):
        await client.delete(JOBS, "a?dryRun=All", "ns")
    assert server.asked[0].path == "/apis/batch/v1/namespaces/ns/jobs/a?dryRun=All"
    assert server.asked[0].params == {}


async def test_refusals_become_errors(server: Faulty, client: Client) -> None:
    server.script = [refuse(409, "AlreadyExists"), refuse(409, "Conflict")]
    with pytest.raises(AlreadyExists):
        await client.create(JOBS, {"metadata": {"name": "a"}})
    with pytest.raises(Conflict, match="told to say 409"):
        await client.patch(JOBS, "a", {})


@pytest.mark.parametrize("refusal", [refuse(429, "TooManyRequests"), refuse(503), refuse(500), watch(CUT)])
async def test_what_may_be_sent_twice_is_tried_again(server: Faulty, client: Client, refusal: Answer) -> None:
    server.script = [refusal, refusal, one("a")]
    await client.patch(JOBS, "a", {})
    assert len(server.asked) == 3


async def test_it_is_tried_again_a_bounded_number_of_times(server: Faulty, client: Client) -> None:
    server.script = [refuse(503) for _ in range(20)]
    with pytest.raises(Unavailable):
        await client.get(JOBS, "a")
    assert len(server.asked) == 4


async def test_retry_after_is_obeyed_between_attempts(server: Faulty, client: Client) -> None:
    server.script = [refuse(429, "TooManyRequests", Retry_After="1"), one("a")]
    began = time.monotonic()
    await client.get(JOBS, "a")
    assert time.monotonic() - began >= 1


async def test_a_wait_beyond_the_deadline_is_left_to_the_caller(server: Faulty, client: Client) -> None:
    server.script = [refuse(429, "TooManyRequests", Retry_After="100")]
    with pytest.raises(TooManyRequests) as caught:
        await client.get(JOBS, "a")
    assert caught.value.retry_after == 100


async def test_a_create_that_may_have_happened_is_not_repeated(server: Faulty, client: Client) -> None:
    server.script = [refuse(500), refuse(429, "TooManyRequests"), one("a")]
    with pytest.raises(Unavailable):
        await client.create(JOBS, {"metadata": {"name": "a"}})
    assert len(server.asked) == 1
    await client.create(JOBS, {"metadata": {"name": "a"}})
    assert len(server.asked) == 3


async def test_a_json_patch_that_may_have_happened_is_not_repeated(server: Faulty, client: Client) -> None:
    """It may add to an array, which is not done twice; what was throttled was not taken in."""
    operations = [{"op": "add", "path": "/metadata/finalizers/-", "value": "x"}]
    server.script = [refuse(429, "TooManyRequests"), refuse(503)]
    with pytest.raises(Unavailable):
        await client.patch(JOBS, "a", operations, "ns", type=Patch.JSON)
    assert len(server.asked) == 2


async def test_a_server_that_does_not_answer_is_given_up_at_the_deadline(
    server: Faulty, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "DEADLINE", 0.1)
    with pytest.raises(Unavailable, match="no answer within"):
        await client.get(JOBS, "a")


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    async with Client(Config("http://127.0.0.1:1")) as client:
        with pytest.raises(Unavailable, match="GET /readyz"):
            await client.call("GET", "/readyz")


async def test_a_redirect_is_not_followed(server: Faulty, client: Client) -> None:
    server.script = [Answer(b"", 302, {"Location": "http://elsewhere.example/"})] * 4
    with pytest.raises(Unavailable):
        await client.get(JOBS, "a")


async def test_an_object_that_does_not_fit_is_final(server: Faulty, client: Client) -> None:
    server.script = [Answer(b'{"spec":{"suspend":7}}')]
    with pytest.raises(Terminal):
        await client.get(JOBS, "a")
    assert len(server.asked) == 1


async def test_a_token_that_was_renewed_is_used_after_a_401(server: Faulty) -> None:
    tokens = ["old", "new"]
    config = Config(server.url, token=lambda: tokens[0], refused=lambda: tokens.remove("old"))
    server.script = [refuse(401, "Unauthorized"), one("a")]
    async with Client(config) as client:
        await client.create(JOBS, {"metadata": {"name": "a"}})
    assert [asked.headers["authorization"] for asked in server.asked] == ["Bearer old", "Bearer new"]


async def test_many_requests_with_a_token_that_ran_out_fetch_one_new_token(server: Faulty) -> None:
    fetched: list[str] = []

    def fetch() -> str:
        fetched.append(f"token-{len(fetched)}")
        return fetched[-1]

    server.script += [one("a")] * 30
    server.expired = "token-0"
    async with Client(Config(server.url, token=fetch)) as client:
        await asyncio.gather(*(client.get(JOBS, "a", "ns") for _ in range(30)))
    assert fetched == ["token-0", "token-1"]


async def test_a_credential_that_is_refused_twice_is_an_error_without_the_credential(server: Faulty) -> None:
    server.script = [refuse(401, "Unauthorized"), refuse(401, "Unauthorized")]
    async with Client(Config(server.url, token=lambda: "s3cret")) as client:
        with pytest.raises(Unauthenticated) as caught:
            await client.get(JOBS, "a")
    assert "s3cret" not in f"{caught.value.message} {caught.value.hint} {caught.value.__cause__}"


async def test_a_slow_source_of_tokens_does_not_stop_the_loop(server: Faulty) -> None:
    server.script = [one("a")]
    gate = asyncio.Event()
    loop = asyncio.get_running_loop()

    def token() -> str:
        return asyncio.run_coroutine_threadsafe(wait_for_gate(), loop).result(60)

    async def wait_for_gate() -> str:
        await gate.wait()
        return "t"

    async with Client(Config(server.url, token=token)) as client:
        asking = asyncio.create_task(client.get(JOBS, "a"))
        await asyncio.sleep(0)
        gate.set()  # the loop is alive while the token is being fetched
        await asking


async def test_a_proxys_password_is_in_no_error() -> None:
    async with Client(Config("http://k8s.example", proxy="http://me:s3cret@127.0.0.1:1")) as client:
        with pytest.raises(Unavailable) as caught:
            await client.call("GET", "/readyz")
    assert "s3cret" not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.hint}"


async def test_logs_come_in_chunks_and_may_be_followed(server: Faulty, client: Client) -> None:
    server.script = [watch(b"one\n", b"two\n")]
    chunks = [chunk async for chunk in client.logs("p", "ns", container="main", follow=True, tail_lines=0)]
    assert b"".join(chunks) == b"one\ntwo\n"
    assert server.asked[0].path == "/api/v1/namespaces/ns/pods/p/log"
    assert server.asked[0].params == {"container": "main", "follow": "true", "tailLines": "0"}


async def test_a_log_that_breaks_off_is_an_error(server: Faulty, client: Client) -> None:
    server.script = [watch(b"one\n", CUT)]
    with pytest.raises(Unavailable, match="broke off"):
        async for _ in client.logs("p", "ns"):
            pass


async def test_logs_that_are_followed_do_not_take_the_connections_of_requests(server: Faulty) -> None:
    server.script = [*[watch(b"line\n", HANG)] * 3, one("a")]
    async with Client(Config(server.url), max_connections=1) as client:
        logs = [client.logs(f"p{number}", "ns", follow=True) for number in range(3)]
        for log in logs:
            assert await anext(log) == b"line\n"
        await client.get(JOBS, "a")
        for log in logs:
            await log.aclose()


async def test_requests_share_a_bounded_number_of_connections(server: Faulty) -> None:
    server.script = [one("a") for _ in range(20)]
    async with Client(Config(server.url), max_connections=2) as client:
        await asyncio.gather(*(client.get(JOBS, "a") for _ in range(20)))
    assert len(server.peers) == 2


async def test_a_client_outside_its_context_says_so(server: Faulty) -> None:
    with pytest.raises(RuntimeError, match="async with"):
        await Client(Config(server.url)).call("GET", "/readyz")


async def test_a_vanished_peer_is_noticed_by_tcp_keep_alive(server: Faulty, client: Client) -> None:
    """Within two minutes, and also on a stream that only listens."""
    server.script = [watch(added(job("a", 3)), HANG)]
    async with client.watch_lines(JOBS, params={}) as batches:
        await anext(aiter(batches))
        to_server = [
            connection
            for connection in gc.get_objects()
            if isinstance(connection, socket.socket) and connection.fileno() >= 0 and peer(connection) == server.url
        ]
        assert len(to_server) == 1
        idle, interval, count = (
            to_server[0].getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        )
        assert to_server[0].getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert idle + interval * count <= 120


def peer(connection: socket.socket) -> str:
    try:
        host, port = connection.getpeername()
    except (OSError, ValueError):  # of another family, or not connected
        return ""
    return f"http://{host}:{port}"
