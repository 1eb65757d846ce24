"""What every route shares: who asks, from where, how errors look, and how large a body may be."""

import asyncio
import io
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import uvicorn
from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Message

from longshore import errors
from longshore.web import problems
from longshore.web.auth import Authentication, Caller, Who, credential_of
from longshore.web.hosts import AllowedHosts, host_name
from longshore.web.problems import STATUS, status_of
from longshore.web.uploads import read_form, read_stream


async def known(credential: str) -> Caller | None:
    return Caller("key k", tenant="a") if credential == "good" else None


class Answer:
    """Status, headers and text of a response that was read."""

    def __init__(self, response: aiohttp.ClientResponse, text: str) -> None:
        self.status_code = response.status
        self.headers = {name.lower(): value for name, value in response.headers.items()}
        self.text = text

    def json(self) -> Any:
        return json.loads(self.text)


class Client:
    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def get(self, path: str, headers: dict[str, str] | None = None) -> Answer:
        async with self._session.get(path, headers=headers) as response:
            return Answer(response, await response.text())

    async def post(self, path: str, **kwargs: Any) -> Answer:
        async with self._session.post(path, **kwargs) as response:
            return Answer(response, await response.text())


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(api(), log_config=None, lifespan="off", timeout_keep_alive=60))
    serving = asyncio.ensure_future(server.serve(sockets=[listening]))
    async with aiohttp.ClientSession(f"http://127.0.0.1:{listening.getsockname()[1]}") as session:
        yield Client(session)
    server.should_exit = True
    await serving


def api() -> FastAPI:
    app = FastAPI()
    app.state.authentication = Authentication([known])
    app.add_middleware(AllowedHosts, names=("127.0.0.1", "[::1]"))
    problems.install(app)

    @app.get("/me")
    async def me(who: Who) -> str:
        return who.name

    @app.get("/fail/{name}")
    async def fail(name: str) -> None:
        raise getattr(errors, name)("it is so", hint="do this")

    @app.get("/bug")
    async def bug() -> None:
        raise RuntimeError("secret detail")

    @app.post("/form")
    async def form(request: Request) -> list[str]:
        read = await read_form(request, max_bytes=10)
        await read.close()
        return sorted(read)

    @app.put("/stream")
    async def stream(request: Request) -> int:
        return len([chunk async for chunk in read_stream(request, max_bytes=10)])

    return app


def test_both_headers_carry_a_key() -> None:
    assert credential_of(Headers({"X-API-Key": "k"})) == "k"
    assert credential_of(Headers({"Authorization": "bearer k"})) == "k"
    assert credential_of(Headers({"Authorization": "Basic k"})) is None
    assert credential_of(Headers({"Authorization": "Bearer "})) is None


async def test_a_wrong_key_is_401_with_a_hint_and_is_not_repeated(client: Client) -> None:
    answer = await client.get("/me", headers={"X-API-Key": "very-secret"})
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["hint"]
    assert "very-secret" not in answer.text
    assert (await client.get("/me", headers={"X-API-Key": "good"})).json() == "key k"


@pytest.mark.parametrize("error", [kind for kind, _ in STATUS])
async def test_every_error_is_a_problem_document_with_its_hint(
    client: Client, error: type[errors.LongshoreError]
) -> None:
    answer = await client.get(f"/fail/{error.__name__}")
    assert answer.status_code == status_of(error("x")) < 500 or error is errors.Unavailable
    assert answer.json()["hint"] == "do this"
    assert answer.json()["detail"] == "it is so"
    assert ("retry-after" in answer.headers) == (error in (errors.TooManyRequests, errors.Unavailable))


@pytest.mark.parametrize(("method", "path"), [("PUT", "/stream"), ("POST", "/form")])
async def test_who_goes_in_the_midst_of_his_body_is_no_failure_of_ours(method: str, path: str) -> None:
    pieces: list[Message] = [{"type": "http.request", "body": b"--x", "more_body": True}, {"type": "http.disconnect"}]
    said: list[Message] = []

    async def receive() -> Message:
        return pieces.pop(0)

    async def send(message: Message) -> None:
        said.append(message)

    headers = [(b"host", b"127.0.0.1"), (b"content-type", b"multipart/form-data; boundary=x")]
    scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": headers}
    await api()(scope, receive, send)
    assert said[0]["status"] == 400


async def test_a_bug_says_nothing_of_its_inside(client: Client) -> None:
    answer = await client.get("/bug")
    assert answer.status_code == 500
    assert "secret detail" not in answer.text
    assert answer.json()["hint"]


async def test_an_unknown_route_is_a_problem_document_too(client: Client) -> None:
    assert (await client.get("/nothing")).json()["status"] == 404


async def test_other_hosts_and_other_origins_are_refused(client: Client) -> None:
    assert (await client.get("/me", headers={"Host": "evil.example"})).status_code == 421
    answer = await client.get("/me", headers={"X-API-Key": "good", "Origin": "https://evil.example"})
    assert answer.status_code == 403
    assert (await client.get("/me", headers={"X-API-Key": "good", "Origin": "http://127.0.0.1"})).status_code == 200


@pytest.mark.parametrize(
    ("url", "name"),
    [("//a:80", "a"), ("http://A.b", "a.b"), ("//[::1]:8", "[::1]"), ("null", ""), ("//", ""), ("//[bad", "")],
)
def test_names_are_read_out_of_hosts_and_origins(url: str, name: str) -> None:
    assert host_name(url) == name


async def test_a_form_over_its_size_is_413_whether_declared_or_not(client: Client) -> None:
    large = aiohttp.FormData()
    large.add_field("f", io.BytesIO(b"x" * 2_000_000), filename="f")
    assert (await client.post("/form", data=large)).status_code == 413
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    assert (await client.post("/form", data=_undeclared(), headers=headers)).status_code == 413
    assert (await client.post("/form", json={})).status_code == 422
    small = aiohttp.FormData({"a": "b"})
    small.add_field("f", b"x", filename="f")
    assert (await client.post("/form", data=small)).json() == ["a", "f"]


async def _undeclared() -> AsyncIterator[bytes]:
    yield b'--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'
    for _ in range(200):
        yield b"x" * 10_000
    yield b"\r\n--b--\r\n"


async def test_a_stream_ends_where_it_is_too_long() -> None:
    parts: list[Message] = [
        {"type": "http.request", "body": b"x" * 8, "more_body": True},
        {"type": "http.request", "body": b"x" * 8, "more_body": False},
    ]

    async def receive() -> Message:
        return parts.pop(0)

    def body() -> AsyncIterator[bytes]:
        return read_stream(Request({"type": "http", "headers": []}, receive), max_bytes=10)

    with pytest.raises(errors.TooLarge):
        [chunk async for chunk in body()]
