"""What an answer without follow has of a log that goes on: all that is known of it, although its collector is slow."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from tests.unit.kinds.workloads import job

from longshore.archive.log_chunk import Chunk
from longshore.archive.logs import Logs, LogStream
from longshore.archive.objects import Objects
from longshore.archive.spool import Key
from longshore.errors import NotFound, Unavailable
from longshore.kinds.jobs.find import Found
from longshore.kinds.jobs.logs import streams
from longshore.kinds.jobs.logs.live import Message
from longshore.kinds.jobs.logs.streams import Attempt

KEY = Key("a", "j1", "20260101T000000Z.aaaaa.main")
ONE = Chunk(0, b"one\n", [b"t1"])


class Collector:
    """Answers from a script, and at last with nothing new."""

    def __init__(self, *script: Message | Exception) -> None:
        self.script = list(script)
        self.before: Callable[[], Any] | None = None  # what happens just before it answers

    async def ask(self, _key: Key, _uid: str, _at: int) -> AsyncGenerator[Message, None]:
        if self.before is not None:
            await self.before()
        if not self.script:
            return
        if isinstance(said := self.script.pop(0), Exception):
            raise said
        yield said


async def read(logs: Logs, collector: Collector) -> bytes:
    parts = cast(Any, SimpleNamespace(archive=SimpleNamespace(logs=logs), tails=collector))
    chunks = streams.read(parts, Attempt(KEY, "u", None, goes_on=True), 0, follow=False)
    return b"".join([chunk.text async for chunk in chunks])


@pytest.fixture
def logs(tmp_path: Path) -> Logs:
    return Logs(Objects(tmp_path.as_uri()))


async def test_a_collector_that_cannot_be_reached_is_asked_again(logs: Logs) -> None:
    assert await read(logs, Collector(NotFound("no collector"), Unavailable("it broke off"), ONE)) == ONE.text


async def test_what_went_into_the_archive_between_the_two_questions_is_read_there(logs: Logs) -> None:
    collector = Collector(ONE.end)
    collector.before = lambda: logs.append(*KEY.words, ONE)
    assert await read(logs, collector) == ONE.text


async def test_what_no_collector_tells_of_is_not_waited_for_for_ever(
    logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "KNOWN_SECONDS", 0.0)
    assert await read(logs, Collector(*[Unavailable("away")] * 1000)) == b""


async def test_the_pod_of_an_index_that_is_over_is_waited_for_where_its_watch_is_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streams, "AGAIN_SECONDS", 0.0)
    looks: list[list[LogStream]] = [[], [], [LogStream("20260101T000000Z.aaaaa.3.main", 4)]]

    class Late:
        async def streams(self, _tenant: str, _id: str) -> list[LogStream]:
            return looks.pop(0)

    stores = SimpleNamespace(pods=SimpleNamespace(by=lambda _index, _uid: []))
    parts = cast(Any, SimpleNamespace(archive=SimpleNamespace(logs=Late()), stores=stores))
    one = job()
    over = msgspec.structs.replace(one, status=msgspec.structs.replace(one.status, completed_indexes="3"))
    found = Found("j1", "a", over)
    assert [attempt.key.stream for attempt in await streams.of_job(parts, found, None, 3)] == [
        "20260101T000000Z.aaaaa.3.main"
    ]
    looks.append([])
    assert await streams.of_job(parts, found, None, 2) == [], "it may not have begun, and is not waited for"
