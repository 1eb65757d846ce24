"""What a route of /v1 does not know is refused, and so is a form that its answer has not; compat routes are lenient."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import uvicorn
from fastapi import APIRouter, FastAPI
from hypothesis import given
from hypothesis import strategies as st

from longshore import errors
from longshore.api import routed
from longshore.kinds.kind import Kind
from longshore.kinds.registry import KINDS
from longshore.web import problems
from longshore.web.asking import _quality, _ranges, _refuse_unacceptable
from longshore.web.auth import Authentication, Caller
from longshore.web.openapi import Answer, Operation

DOCUMENT: dict[str, Any] = routed().openapi()
READ = [
    (path, method, described)
    for path, methods in DOCUMENT["paths"].items()
    if path.startswith("/v1/")
    for method, described in methods.items()
    if "requestBody" not in described  # which is read before
]
OURS = [pytest.param(*each, id=f"{each[1].upper()} {each[0]}") for each in READ]
WITH_FORM = [pytest.param(*each, id=f"{each[1].upper()} {each[0]}") for each in READ if "406" in each[2]["responses"]]


async def known(credential: str) -> Caller | None:
    return Caller("key k", tenant="a") if credential == "good" else None


def api() -> FastAPI:
    ours, theirs = APIRouter(prefix="/v1"), APIRouter(prefix="/api")

    @ours.get("/things")
    @theirs.get("/things")
    async def things(status: str = "", limit: int = 1) -> str:
        return status

    @ours.get("/text")
    async def text() -> str:
        return "a"

    @ours.get("/files/{name:path}")
    async def file(name: str) -> str:
        return name

    operations = {
        "GET /v1/things": Operation(answers={200: Answer(schema=str)}),
        "GET /v1/text": Operation(answers={200: Answer(schema=str, media="text/plain")}),
        "GET /v1/files/{name}": Operation(answers={200: Answer(schema=bytes, media="application/octet-stream")}),
    }
    app = routed([*KINDS, Kind(name="thing", routers=(ours, theirs), operations=operations)])
    app.state.authentication = Authentication([known])
    problems.install(app)
    return app


@pytest.fixture(scope="module")
async def served() -> AsyncIterator[str]:
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(api(), log_config=None, lifespan="off", timeout_keep_alive=60))
    serving = asyncio.ensure_future(server.serve(sockets=[listening]))
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    await serving


@pytest.fixture
async def session(served: str) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(served, headers={"X-API-Key": "good"}) as opened:
        yield opened


async def refused(answer: aiohttp.ClientResponse) -> dict[str, Any]:
    assert answer.content_type == "application/problem+json"
    problem: dict[str, Any] = await answer.json(content_type=None)
    return problem


async def test_a_misspelt_parameter_is_refused_with_the_one_that_was_meant(session: aiohttp.ClientSession) -> None:
    async with session.get("/v1/things?stauts=x") as answer:
        problem = await refused(answer)
    assert (answer.status, problem["field"]) == (422, "stauts")
    assert problem["hint"] == "did you mean 'status'? this route takes: limit, status, tenant"
    async with session.get("/v1/things?zzz=1") as answer:
        assert (await refused(answer))["hint"] == "this route takes: limit, status, tenant"
    async with session.get("/v1/things?status=x&status=y&limit=2&tenant=a") as answer:
        assert answer.status == 200


@pytest.mark.parametrize(("path", "method", "described"), OURS)
async def test_every_route_refuses_what_its_document_does_not_name(
    session: aiohttp.ClientSession, path: str, method: str, described: dict[str, Any]
) -> None:
    named = {each["name"] for each in described.get("parameters", ()) if each["in"] == "query"} | {"tenant"}
    at = re.sub(r"{\w+}", "1", path)
    async with session.request(method, at, params={"qqqq": "1"}, headers={"Accept": "no/such"}) as answer:
        problem = await refused(answer)
    assert (answer.status, problem["field"]) == (422, "qqqq")
    assert problem["hint"] == f"this route takes: {', '.join(sorted(named))}"


@pytest.mark.parametrize(("path", "method", "described"), WITH_FORM)
async def test_every_route_refuses_a_form_that_its_document_does_not_name(
    session: aiohttp.ClientSession, path: str, method: str, described: dict[str, Any]
) -> None:
    async with session.request(method, re.sub(r"{\w+}", "1", path), headers={"Accept": "no/such"}) as answer:
        problem = await refused(answer)
    has = {name for each in described["responses"].values() for name in each.get("content", ())}
    assert answer.status == 406
    assert all(media in problem["detail"] for media in has)


async def test_who_is_not_known_is_told_that_first(session: aiohttp.ClientSession) -> None:
    for said in ({"params": {"stauts": "x"}}, {"headers": {"Accept": "text/html"}}):
        headers = {**said.get("headers", {}), "X-API-Key": "bad"}
        async with session.get("/v1/things", params=said.get("params"), headers=headers) as answer:
            assert answer.status == 401


async def test_what_is_replaced_stays_lenient(session: aiohttp.ClientSession) -> None:
    async with session.get("/api/things?stauts=x", headers={"Accept": "text/html"}) as answer:
        assert answer.status == 200


@pytest.mark.parametrize(
    ("path", "accept", "status"),
    [
        ("things", "application/json", 200),
        ("things", "Application/JSON; charset=utf-8", 200),
        ("things", "application/*", 200),
        ("things", "*/*", 200),
        ("things", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", 200),  # a browser
        ("things", "text/html, application/json;q=0.1", 200),
        ("things", "nonsense", 200),
        ("things", "", 200),
        ("things", "text/html", 406),
        ("things", "application/xml, text/*;q=0.5", 406),
        ("things", "application/json;q=0, */*", 406),
        ("things", "*/*;q=0.0", 406),
        ("text", "text/plain", 200),
        ("text", "application/json", 406),
        ("files/a.csv", "text/csv", 200),  # a file is of the type that it is
    ],
)
async def test_accept_is_heeded(session: aiohttp.ClientSession, path: str, accept: str, status: int) -> None:
    async with session.get(f"/v1/{path}", headers={"Accept": accept}) as answer:
        assert answer.status == status
        if status == 406:
            problem = await refused(answer)
            assert ("text/plain" if path == "text" else "application/json") in problem["detail"]
            assert problem["hint"]


@given(st.text(alphabet="atex/*;q=0.1, ", max_size=60))
def test_an_accept_that_is_refused_holds_a_range_and_none_that_takes_the_type(accept: str) -> None:
    try:
        _refuse_unacceptable(accept, ["text/a"])
    except errors.NotAcceptable:
        ranges = list(_ranges(accept))
        assert ranges
        assert _quality("text/a", ranges) <= 0
        assert _ranges_taking_all(accept) == []
    else:
        assert not list(_ranges(accept)) or _quality("text/a", list(_ranges(accept))) > 0


def _ranges_taking_all(accept: str) -> list[str]:
    """Alone among what is said, and without a weight: such a header takes everything."""
    said = [each.strip() for each in accept.split(",") if each.strip()]
    return said if said == ["*/*"] else []
