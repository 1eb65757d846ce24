"""What a reader of an archived log is told of parts that came late, and how he reads them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit.kinds.workloads import parts_of

from longshore.archive.index import Entry
from longshore.archive.log_chunk import Chunk, Gap
from longshore.archive.logs import End
from longshore.errors import UserMistake
from longshore.kinds.jobs.logs.answer import COMPLETE, OFFSET, SIZE, WHY, respond
from longshore.kinds.jobs.logs.containers import of_request
from longshore.kinds.jobs.logs.source import POD_GONE
from longshore.kinds.jobs.logs.wish import Wish
from longshore.kinds.jobs.pod import pod_spec
from longshore.kinds.jobs.record import JobRecord, LogView
from longshore.kinds.jobs.request import Input, JobRequest
from longshore.kinds.kind import Services
from longshore.settings import Settings
from longshore.web.auth import Caller

FIRST, SECOND = "20260101T000000Z.aaaaa.main", "20260101T010000Z.bbbbb.main"
RECORD = msgspec.convert(
    {
        "id": "j1",
        "uid": "u1",
        "kind": "job",
        "tenant": "a",
        "name": "n",
        "namespace": "tenant-a",
        "status": "Succeeded",
        "reason": "Completed",
        "message": "",
        "created": "2026-01-01T00:00:00Z",
        "image": "x",
        "command": [],
        "resources": {"cpu": "1", "memory": "1Gi"},
    },
    JobRecord,
)


async def archived(folder: Path) -> Services:
    """A job of two attempts, of the first of which a part came when the second had been read."""
    parts = parts_of(folder, lambda: RECORD.created)
    archive = parts.archive
    record = msgspec.structs.replace(RECORD, archived=True, log=LogView(False, POD_GONE, {FIRST: 4, SECOND: 4}))
    await archive.records.put("a", "j1", msgspec.json.encode(record))
    entry = Entry("u1", "j1", "job", "a", "n", record.created, record.created, "Succeeded", "Completed")
    await archive.index.add([entry])
    await archive.logs.append("a", "j1", FIRST, Chunk(0, b"one\n", [b"t1"]))
    await archive.logs.close("a", "j1", FIRST, End(4, complete=False, gaps=(Gap(4, POD_GONE),)))
    await archive.logs.append("a", "j1", SECOND, Chunk(0, b"two\n", [b"t3"]))
    await archive.logs.close("a", "j1", SECOND, End(4))
    await archive.logs.keep_late("a", "j1", FIRST, Chunk(4, b"late\nlater\n", [b"t2", b"t2"]))
    return parts


async def read(parts: Services, **wish: Any) -> tuple[bytes, dict[str, str]]:
    answer: Any = await respond(parts, Caller("me", tenant="a"), "j1", Wish(**wish))
    return b"".join([piece async for piece in answer.body_iterator]), answer.headers


async def test_a_late_part_moves_nothing_and_is_read_apart(tmp_path: Path) -> None:
    parts = await archived(tmp_path)
    text, headers = await read(parts)
    assert text == b"one\ntwo\n"
    assert (headers[COMPLETE], headers[OFFSET], headers[SIZE]) == ("false", "0", "8")
    assert "11 bytes came when it was closed already, and are read with late=true" in headers[WHY]
    assert (await read(parts, offset=4))[0] == b"two\n"
    assert (await read(parts, tail=1))[0] == b"two\n"
    assert (await read(parts, late=True))[0] == b"late\nlater\n"
    assert (await read(parts, late=True, search="r$", regex=True))[0] == b"later\n"
    assert (await read(parts, search="^t", regex=True))[0] == b"two\n"
    for other in ({"offset": 0}, {"tail": 1}, {"follow": True}):
        with pytest.raises(UserMistake) as refused:
            await read(parts, late=True, **other)
        assert refused.value.field == "late"


async def test_a_container_that_there_is_not_is_refused_with_those_there_are(tmp_path: Path) -> None:
    parts = await archived(tmp_path)
    assert (await read(parts, container="main"))[0] == b"one\ntwo\n"
    with pytest.raises(UserMistake, match="no container 'foo'") as refused:
        await read(parts, container="foo")
    assert (refused.value.field, refused.value.hint) == ("container", "it has: main")


@pytest.mark.parametrize(
    ("fields", "has"),
    [
        ({}, ["main"]),
        ({"inputs": (Input("a"),)}, ["main", "longshore-fetch"]),
        ({"outputs": ("*",)}, ["main", "longshore-send"]),
    ],
)
def test_the_containers_of_a_job_are_known_before_it_starts(fields: dict[str, Any], has: list[str]) -> None:
    request = JobRequest("n", "i", **fields)
    assert of_request(request) == has
    made = pod_spec(request, "j1", "a", Settings(), "")
    assert sorted(each["name"] for each in (*made["containers"], *made["initContainers"])) == sorted(has)


async def test_a_tail_has_no_offset_while_an_earlier_attempt_may_still_grow(tmp_path: Path) -> None:
    parts = await archived(tmp_path)
    third = "20260101T020000Z.ccccc.main"
    await parts.archive.logs.append("a", "j1", third, Chunk(0, b"three\nfour\n", [b"t4", b"t5"]))
    await parts.archive.logs.close("a", "j1", third, End(11))
    counted: Any = await respond(parts, Caller("me", tenant="a"), "j1", Wish(tail=1))
    assert counted.headers[OFFSET] == str(4 + 4 + 6)
    await parts.archive.logs.append("a", "j1", "20260101T003000Z.ddddd.main", Chunk(0, b"grows\n", [b"t2"]))
    text, headers = await read(parts, tail=1)
    assert text == b"four\n"
    assert OFFSET not in headers  # nobody knows yet how much comes before it


async def test_no_line_is_matched_where_everybody_else_would_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last line of an attempt has no end, is as long as a job likes, and may take a pattern seconds."""
    parts = await archived(tmp_path)
    await parts.archive.logs.keep_late("a", "j1", SECOND, Chunk(4, b"cut", [b"t4"]))
    await parts.archive.logs.append("a", "j1", "20260101T020000Z.ccccc.main", Chunk(0, b"cut", [b"t5"]))
    where: list[str] = []

    def hits(_line: bytes) -> bool:
        where.append(threading.current_thread().name)
        return True

    def matcher(_pattern: str) -> Callable[[bytes], bool]:
        return hits

    monkeypatch.setattr("longshore.kinds.jobs.logs.wish.matcher", matcher)
    assert (await read(parts, search="x", regex=True))[0] == b"one\ntwo\ncut"
    assert (await read(parts, search="x", regex=True, late=True))[0] == b"late\nlater\ncut"
    assert len(where) == 6
    assert all(name.startswith("search") for name in where)
