"""No byte of a body is taken from who is not known, and none is waited for too long: raw sockets at the real API."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message
from tests.unit.kinds.workloads import parts_of

from longshore.app import build_api
from longshore.kinds.tenants.model import KEYS_MARK
from longshore.kube.objects import ObjectMeta, Secret
from longshore.kube.store import Store, Writer
from longshore.serve import listen
from longshore.settings import Settings
from longshore.web import bodies
from longshore.web.bodies import GRACE_SECONDS, LEAST_RATE, SILENCE_SECONDS, Patience
from longshore.web.doorway import Doorway
from longshore.web.problems import Refused

BIG = 4_000_000
# each route that reads a body, in its own way: JSON, a stream, a form
ROUTES = (
    ("POST", "/v1/jobs", "application/json"),
    ("POST", "/v1/tenants", "application/json"),
    ("POST", "/api/tasks", "application/json"),
    ("PUT", "/v1/uploads/u/files/f", "application/octet-stream"),
    ("POST", "/v1/simulations", "multipart/form-data; boundary=x"),
    ("POST", "/jobs", "multipart/form-data; boundary=x"),
)
STRANGERS = ("", "X-API-Key: ls_abc_secret\r\n", "Authorization: Bearer a.b.c\r\n")


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[int]:
    admin = tmp_path / "admin"
    admin.write_text("the-admin")
    settings = Settings(archive=(tmp_path / "archive").as_uri(), admin_token_file=admin)
    parts = parts_of(settings, lambda: datetime.now(UTC))
    stores = parts.stores
    caches: list[Store[Any]] = [stores.jobs, stores.pods, stores.tenants]
    for cache in caches:
        Writer(cache).replace([], 7)
    mark = ObjectMeta(name=KEYS_MARK, namespace="longshore-keys", resource_version="7")
    Writer(stores.keys).replace([Secret(metadata=mark)], 7)
    listening = listen("127.0.0.1", 0)
    config = uvicorn.Config(build_api(parts), http=Doorway, log_config=None, access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    serving = asyncio.ensure_future(server.serve(sockets=[listening]))
    yield listening.getsockname()[1]
    server.should_exit = True
    await serving


class Connection:
    """One that has sent a head and can send more."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def answer(self) -> tuple[bytes, dict[str, Any]]:
        head = await self.reader.readuntil(b"\r\n\r\n")
        size = next(int(line[16:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length: "))
        body: dict[str, Any] = msgspec.json.decode(await self.reader.readexactly(size))
        return head, body


async def asks(port: int, method: str, path: str, type_: str, credential: str) -> Connection:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{credential}Content-Type: {type_}\r\n"
    writer.write(f"{head}Content-Length: {BIG}\r\n\r\n".encode())
    return Connection(reader, writer)


@pytest.mark.parametrize("credential", STRANGERS)
@pytest.mark.parametrize(("method", "path", "type_"), ROUTES)
async def test_a_stranger_is_refused_before_he_has_sent_a_byte_of_his_body(
    port: int, method: str, path: str, type_: str, credential: str
) -> None:
    async with asyncio.timeout(30):
        asking = await asks(port, method, path, type_, credential)
        head, said = await asking.answer()
    asking.writer.close()
    assert head.startswith(b"HTTP/1.1 401"), said
    assert b"www-authenticate" in head.lower()
    assert said["hint"]


async def test_one_who_is_known_and_sends_nothing_is_told_so_and_let_go(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "GRACE_SECONDS", 0.3)
    async with asyncio.timeout(30):
        asking = await asks(port, "POST", "/v1/tenants", "application/json", "Authorization: Bearer the-admin\r\n")
        asking.writer.write(b"{")
        head, said = await asking.answer()
        assert head.startswith(b"HTTP/1.1 408"), said
        assert "1024 bytes a second" in said["hint"]
        assert await asking.reader.read() == b"", "and the connection is closed"
    asking.writer.close()


async def test_a_body_that_comes_in_pieces_is_read(port: int) -> None:
    async with asyncio.timeout(30):
        asking = await asks(port, "POST", "/v1/tenants", "application/json", "Authorization: Bearer the-admin\r\n")
        text = b'{"id": "a", "display_name": 7' + b" " * (BIG - 30) + b"}"
        for start in range(0, BIG, 1 << 18):
            asking.writer.write(text[start : start + (1 << 18)])
            await asking.writer.drain()
        head, said = await asking.answer()
    asking.writer.close()
    assert head.startswith(b"HTTP/1.1 422"), said
    assert said["field"] == "display_name"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 1000), st.integers(0, 1 << 20)), max_size=30))
async def test_only_waiting_counts_and_bytes_buy_time_but_no_long_silence(
    pieces: list[tuple[float, float, int]],
) -> None:
    clock = Clock()
    patience, waited, seen = Patience(clock), 0.0, 0
    for wait, busy, size in pieces:
        assert patience.left == pytest.approx(min(SILENCE_SECONDS, GRACE_SECONDS + seen / LEAST_RATE - waited))
        if patience.left <= 0:
            break

        async def receive(wait: float = wait, size: int = size) -> Message:
            clock.now += wait
            return {"type": "http.request", "body": b"b" * size, "more_body": True}

        await patience.wait_for(receive)
        clock.now += busy  # of the reader's own
        waited, seen = waited + wait, seen + size


async def test_after_the_end_of_a_body_its_senders_going_is_waited_for_as_long_as_it_takes() -> None:
    clock = Clock()
    patience = Patience(clock)

    async def last() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def gone() -> Message:
        await asyncio.sleep(0)
        return {"type": "http.disconnect"}

    await patience.wait_for(last)
    clock.now += 1e9
    assert (await patience.wait_for(gone))["type"] == "http.disconnect"


async def test_who_has_no_time_left_is_not_waited_for() -> None:
    clock = Clock()
    patience = Patience(clock)

    async def late() -> Message:
        clock.now += GRACE_SECONDS
        return {"type": "http.request", "body": b"", "more_body": True}

    async def never() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    await patience.wait_for(late)
    with pytest.raises(Refused, match="does not come"):
        await patience.wait_for(never)
