"""Whatever is sent, the API answers with what its document says: no 5xx, and each refusal a problem with a hint.

schemathesis makes requests out of the document, fitting ones and others; LONGSHORE_BAD_INPUT_EXAMPLES asks for more of
each route. What no document describes (raw bytes, headers, deep JSON) is listed here.
"""

import asyncio
import json
import os
import urllib.parse
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

import aiohttp
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi import checks

from longshore.api import routed
from longshore.cli.local import LocalApi

NewTenant = Callable[..., Awaitable[Any]]
EXAMPLES = int(os.environ.get("LONGSHORE_BAD_INPUT_EXAMPLES", "4"))
CHECKS = [checks.status_code_conformance, checks.content_type_conformance, checks.response_schema_conformance]
# whom a route is asked as: only what cannot make or end a tenant that others use is asked as the administrator
AS_ADMIN = ("/v1/tenants/{tenant_id}", "/v1/tenants/{tenant_id}/keys", "/v1/tenants/{tenant_id}/keys/{key_id}")
# what schemathesis can break: where a name in the path may be anything, nothing about it can be wrong
ALSO_WRONGLY = (
    "POST /v1/jobs",
    "GET /v1/jobs",
    "POST /v1/simulations",
    "POST /api/tasks",
    "POST /api/tasks/commission",
)
STATUS_DOCUMENTS = ("/api/task-status",)
HARMLESS = {"connection", "content-length", "host", "transfer-encoding", "x-api-key", "authorization", "origin"}


def faults_of(response: Any, path: str) -> list[str]:
    """What is wrong with an answer, whatever was asked."""
    status, headers = response.status_code, {name.lower(): value for name, value in response.headers.items()}
    wrong = []
    if status >= 500 and not (status == 503 and "retry-after" in headers):
        wrong.append(f"status {status}")
    if status >= 400 and path not in STATUS_DOCUMENTS:
        if "application/problem+json" not in headers.get("content-type", ""):
            return [*wrong, f"{status} is no problem document: {headers.get('content-type')}"]
        problem = json.loads(response.content)
        wrong += [
            f"{status} has no {member}" for member in ("type", "title", "detail", "hint") if not problem.get(member)
        ]
        if status == 429 and "retry-after" not in headers:
            wrong.append("429 does not say when to come back")
    return wrong


async def test_no_request_that_can_be_made_of_the_document_is_answered_otherwise_than_it_says(
    new_tenant: NewTenant, api: LocalApi
) -> None:
    tenant = await new_tenant(concurrent_jobs=1, queued_jobs=20)
    job = await tenant.client.jobs.submit("bash", ["true"])
    await tenant.client.jobs.wait(job.id, deadline=60)
    found = await asyncio.to_thread(_ask_everything, api, tenant.key, job.id)
    assert not found, "\n".join(found)


def _ask_everything(api: LocalApi, key: str, job: str) -> list[str]:
    schema = schemathesis.openapi.from_dict(routed().openapi())
    found: list[str] = []
    with requests.Session() as session:
        for result in schema.get_all_operations():
            assert isinstance(result, Ok), result
            operation = result.ok()
            if operation.path.endswith("/stream"):  # never ends; docs/stream.md and its own tests
                continue
            credential = api.admin_token if operation.path in AS_ADMIN else key
            found += _ask(operation, GenerationMode.POSITIVE, session, api.url, credential, job)
            if operation.label in ALSO_WRONGLY:
                found += _ask(operation, GenerationMode.NEGATIVE, session, api.url, credential, job)
    return found


def _ask(operation: Any, mode: GenerationMode, session: requests.Session, url: str, key: str, job: str) -> list[str]:
    """The faults of one route, one of each kind."""
    found: dict[str, str] = {}

    @given(case=operation.as_strategy(generation_mode=mode), known=st.booleans())
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=EXAMPLES < 20,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def ask(case: Any, known: bool) -> None:
        if known and "{id}" in operation.path and "purge" not in str(case.query):
            case.path_parameters = {**case.path_parameters, "id": job}
        _without_what_never_ends(case)
        response = case.call(base_url=url, session=session, headers={"X-API-Key": key}, timeout=60)
        for fault in (*faults_of(response, operation.path), *_otherwise(case, response)):
            found.setdefault(
                fault[:60], f"{operation.label} [{mode.value}]: {fault}\n  {case.as_curl_command()[:1500]}"
            )

    ask()
    return list(found.values())


def _without_what_never_ends(case: Any) -> None:
    """Following is tested elsewhere; headers that speak of the connection are the client library's."""
    if isinstance(case.query, dict):
        case.query.pop("follow", None)
        case.query.pop("min_resource_version", None)  # of the future: waited for, 2 s each
    if case.headers:
        case.headers = {name: value for name, value in case.headers.items() if name.lower() not in HARMLESS}


def _otherwise(case: Any, response: Any) -> list[str]:
    try:
        case.validate_response(response, checks=CHECKS)
    except (Failure, FailureGroup) as failure:
        return [" ".join(str(failure).split())[:900]]
    return []


RAW: dict[str, tuple[str, str, dict[str, str], bytes | None]] = {
    "bad UTF-8 in JSON": ("POST", "/v1/jobs", {}, b'{"image": "\xff\xfe"}'),
    "a NUL in a name": ("POST", "/v1/jobs", {}, b'{"image": "a", "name": "\\u0000"}'),
    "a NUL in a command": ("POST", "/v1/jobs", {}, b'{"image": "a", "command": ["\\u0000"]}'),
    "half a surrogate": ("POST", "/v1/jobs", {}, b'{"image": "a", "name": "\\ud800"}'),
    "deep JSON": ("POST", "/v1/jobs", {}, b"[" * 100_000),
    "deep JSON that ends": ("POST", "/v1/jobs", {}, b'{"tags":' * 5000 + b"1" + b"}" * 5000),
    "a number without end": ("POST", "/v1/jobs", {}, b'{"image": "a", "retries": 1' + b"0" * 5000 + b"}"),
    "a number beyond floats": ("POST", "/v1/jobs", {}, b'{"image": "a", "timeout": 1e999}'),
    "not a number": ("POST", "/v1/jobs", {}, b'{"image": "a", "timeout": NaN}'),
    "no JSON": ("POST", "/v1/jobs", {}, b"hello"),
    "an empty body": ("POST", "/v1/jobs", {}, b""),
    "an array": ("POST", "/v1/jobs", {}, b"[]"),
    "the same key twice": ("POST", "/v1/jobs", {}, b'{"image": "a", "image": 1}'),
    "a byte order mark": ("POST", "/v1/jobs", {}, b'\xef\xbb\xbf{"image": ""}'),
    "a large quantity": ("POST", "/v1/jobs", {}, b'{"image": "a", "resources": {"cpu": "9999999999999E"}}'),
    "no quantity": ("POST", "/v1/jobs", {}, b'{"image": "a", "resources": {"memory": "-1Gi"}}'),
    "a form": ("POST", "/v1/jobs", {"Content-Type": "application/x-www-form-urlencoded"}, b"image=a"),
    "a multipart form that is none": ("POST", "/v1/simulations", {"Content-Type": "multipart/form-data"}, b"x"),
    "a boundary that never comes": (
        "POST",
        "/v1/simulations",
        {"Content-Type": "multipart/form-data; boundary=b"},
        b"x",
    ),
    "compressed": ("POST", "/v1/jobs", {"Content-Encoding": "gzip"}, b"\x1f\x8b\x08\x00"),
    "another charset": ("POST", "/v1/jobs", {"Content-Type": "application/json; charset=utf-16"}, b'{"image": ""}'),
    "a body that is too long": ("POST", "/v1/jobs", {}, b'{"image": "' + b"a" * (5 << 20) + b'"}'),
    "an empty cursor": ("GET", "/v1/jobs?cursor=", {}, None),
    "a cursor of another kind": ("GET", "/v1/jobs?cursor=e30", {}, None),
    "a cursor that is none": ("GET", "/v1/jobs?cursor=%00%ff", {}, None),
    "a very long cursor": ("GET", "/v1/jobs?cursor=" + "A" * 4000, {}, None),
    "no date": ("GET", "/v1/jobs?created_after=yesterday", {}, None),
    "a date before all": ("GET", "/v1/jobs?created_after=0001-01-01T00:00:00%2B14:00", {}, None),
    "a date after all": ("GET", "/v1/jobs?created_before=9999-12-31T23:59:59-14:00", {}, None),
    "a large number": ("GET", "/v1/jobs?limit=99999999999999999999999", {}, None),
    "a version to wait for that is none": ("GET", "/v1/jobs?min_resource_version=-1", {}, None),
    "a version to wait for beyond all": ("GET", "/v1/jobs?min_resource_version=9" + "9" * 30, {}, None),
    "an order that is none": ("GET", "/v1/jobs?sort=%00", {}, None),
    "a tag without a value": ("GET", "/v1/jobs?tag=a", {}, None),
    "a tenant that is none": ("GET", "/v1/jobs?tenant=..%2f..%00", {}, None),
    "a NUL in a filter": ("GET", "/v1/jobs?name=%00", {}, None),
    "bad UTF-8 in a filter": ("GET", "/v1/jobs?name=%ff", {}, None),
    "an id of dots": ("GET", "/v1/jobs/..", {}, None),
    "an id of encoded dots": ("GET", "/v1/jobs/%2e%2e%2f%2e%2e%2fetc%2fpasswd", {}, None),
    "an id with a NUL": ("GET", "/v1/jobs/%00", {}, None),
    "an id in bad UTF-8": ("GET", "/v1/jobs/%ff", {}, None),
    "an id that is long": ("GET", "/v1/jobs/" + "a" * 5000, {}, None),
    "an id with a newline": ("GET", "/v1/jobs/a%0d%0aX-Evil:%201", {}, None),
    "an upload of dots": ("GET", "/v1/uploads/..%2f..", {}, None),
    "a span that is none": ("GET", "/v1/jobs/{id}/logs?since=-5m", {}, None),
    "a span beyond all": ("GET", "/v1/jobs/{id}/logs?since=99999999999999999999d", {}, None),
    "a NUL to search for": ("GET", "/v1/jobs/{id}/logs?search=%00", {}, None),
    "an offset beyond the end": ("GET", "/v1/jobs/{id}/logs?offset=1152921504606846976", {}, None),
    "an artifact of dots": ("GET", "/v1/jobs/{id}/artifacts/..%2f..%2fmanifest.json", {}, None),
    "an artifact with a NUL": ("GET", "/v1/jobs/{id}/artifacts/%00", {}, None),
    "an artifact with a long name": ("GET", "/v1/jobs/{id}/artifacts/" + "a" * 4000, {}, None),
    "an artifact without a name": ("GET", "/v1/jobs/{id}/artifacts/", {}, None),
    "an idempotency key that is long": ("POST", "/v1/jobs", {"Idempotency-Key": "k" * 5000}, b'{"image": "a"}'),
    "an idempotency key in bytes": ("POST", "/v1/jobs", {"Idempotency-Key": "k\xff"}, b'{"image": ""}'),
    "a digest that is none": ("PUT", "/v1/jobs/{id}/artifacts/a", {"X-Content-SHA256": "x"}, b"a"),
    "a range that is none": ("GET", "/v1/jobs/{id}/artifacts/kept.txt", {"Range": "bytes=9-1"}, None),
    "a key in bytes": ("GET", "/v1/me", {"X-API-Key": "\xff\xfe"}, None),
    "a key that is long": ("GET", "/v1/me", {"X-API-Key": "k" * 20_000}, None),
    "a token that is none": ("GET", "/v1/me", {"Authorization": "Bearer a.b.c", "X-API-Key": ""}, None),
    "a basic credential": ("GET", "/v1/me", {"Authorization": "Basic eDp5", "X-API-Key": ""}, None),
    "another host": ("GET", "/v1/me", {"Host": "evil.example"}, None),
    "no host that can be": ("GET", "/v1/me", {"Host": "[::"}, None),
    "another origin": ("GET", "/v1/me", {"Origin": "https://evil.example"}, None),
    "a method that few use": ("PROPFIND", "/v1/jobs", {}, None),
    "another method": ("PATCH", "/v1/jobs", {}, b"{}"),
    "a path of nobody": ("GET", "/v2", {}, None),
    "a path with a NUL": ("GET", "/%00", {}, None),
    "a slash at the end": ("GET", "/v1/jobs/", {}, None),
    "two slashes": ("GET", "//v1//jobs", {}, None),
}


async def test_what_no_document_describes_is_refused_as_well_as_the_rest(new_tenant: NewTenant, api: LocalApi) -> None:
    tenant = await new_tenant()
    job = await tenant.client.jobs.submit("bash", ["bash", "-c", "echo a > kept.txt"], outputs=["kept.txt"])
    await tenant.client.jobs.wait(job.id, deadline=60)
    wrong = []
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        for what, (method, path, headers, body) in RAW.items():
            answer = await _send(
                session, method, api.url, path.replace("{id}", job.id), {"X-API-Key": tenant.key, **headers}, body
            )
            wrong += [f"{what}: {fault}: {answer.text[:300]}" for fault in faults_of(answer, path)]
            if what not in ALLOWED and answer.status_code < 400:
                wrong.append(f"{what}: taken with {answer.status_code}: {answer.text[:300]}")
            assert "X-Evil" not in answer.headers
        async with session.get(f"{api.url}/readyz") as response:
            assert response.status == 200
    assert not wrong, "\n".join(wrong)


# what can be meant, or has nothing to say
ALLOWED = {
    "a date before all",
    "a date after all",
    "a NUL in a filter",
    "bad UTF-8 in a filter",
    "a NUL to search for",
    "an offset beyond the end",
    "a version to wait for that is none",
    "an empty cursor",
    "two slashes",
    "a range that is none",  # is to be passed over (RFC 9110, 14.2)
}


class _Answer:
    def __init__(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        self.status_code, self.headers, self.content = status, headers, content
        self.text = content.decode(errors="replace")


async def _send(
    session: aiohttp.ClientSession, method: str, url: str, path: str, headers: dict[str, str], body: bytes | None
) -> _Answer:
    """As it is: neither the path nor the headers are made better on the way."""
    host, port = urllib.parse.urlsplit(url).netloc.split(":")
    said = {"Host": f"{host}:{port}", "Connection": "close", **headers}
    if body is not None:
        said = {"Content-Type": "application/json", "Content-Length": str(len(body)), **said}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in said.items())]
    reader, writer = await asyncio.open_connection(host, int(port))
    async with asyncio.timeout(60):
        reading = asyncio.ensure_future(_read(reader))
        with suppress(ConnectionError):  # refused before all of it was sent
            writer.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b""))
            await writer.drain()
        content = await reading
    writer.close()
    head, _, rest = content.partition(b"\r\n\r\n")
    first, *others = head.decode("latin-1").split("\r\n")
    answered = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in others)}
    return _Answer(int(first.split()[1]), answered, _unchunked(rest) if "transfer-encoding" in answered else rest)


async def _read(reader: asyncio.StreamReader) -> bytes:
    content = b""
    with suppress(ConnectionError):
        while chunk := await reader.read(65536):
            content += chunk
    return content


def _unchunked(content: bytes) -> bytes:
    whole = b""
    while content:
        size, _, content = content.partition(b"\r\n")
        count = int(size, 16)
        whole, content = whole + content[:count], content[count + 2 :]
    return whole


async def test_headers_without_end_are_cut_off(api: LocalApi) -> None:
    host, port = urllib.parse.urlsplit(api.url).netloc.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    async with asyncio.timeout(60):
        writer.write(f"GET /v1/jobs HTTP/1.1\r\nHost: {host}\r\n".encode())
        try:
            for number in range(4000):
                writer.write(f"X-{number}: {'a' * 1000}\r\n".encode())
                await writer.drain()
            writer.write(b"\r\n")
            answer = await reader.read()
        except ConnectionError:
            answer = b""
    writer.close()
    assert answer == b"" or answer.split()[1].startswith(b"4"), answer[:300]
    async with aiohttp.ClientSession() as session, session.get(f"{api.url}/readyz") as response:
        assert response.status == 200
