"""Log streams in a store: whoever writes them and however many, they read back as one log with the same offsets."""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longshore.archive import log_reader
from longshore.archive.log_chunk import DAMAGED, Chunk, Gap
from longshore.archive.log_reader import LogReader
from longshore.archive.logs import CHUNK, ClosedLog, End, Logs, LogStream, OpenLog, late_bytes
from longshore.archive.objects import Objects
from longshore.errors import LongshoreError, UserMistake

from .log_lines import chunk, stamped

JOB = ("acme", "j1")
MAIN = "20261128T120000Z.abcde.main"
LINES = [b"%07d %s\n" % (n, b"x" * (n % 90)) for n in range(1000)]
TEXT = b"".join(LINES)
LOG = stamped(LINES)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_reader, "AGAIN_SECONDS", 0.0)


async def everything(logs: Logs, start: int = 0) -> bytes:
    return b"".join([piece.text async for piece in logs.read(*JOB, MAIN, start)])


async def write(logs: Logs, *cuts: int) -> None:
    for start, end in pairwise(cuts):
        assert await logs.append(*JOB, MAIN, chunk(LOG, start, end))


class Collector:
    """Writes a log that it reads anew from where the archive ends, as far as it gets before it is killed."""

    def __init__(self, logs: Logs) -> None:
        self._logs = logs
        self._at = 0

    async def resume(self) -> None:
        self._at = await self._logs.size(*JOB, MAIN)

    async def put(self, size: int) -> None:
        piece = chunk(LOG, self._at, min(self._at + size, len(TEXT)))
        while piece.text and not await self._logs.append(*JOB, MAIN, piece):
            async for other in self._logs.read(*JOB, MAIN, piece.start):
                piece = piece.cut(min(other.end, piece.end))
                self._at = max(self._at, other.end)
                break
        self._at = max(self._at, piece.end)


steps = st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.integers(1, len(TEXT) // 3)), max_size=12)


@settings(max_examples=60, deadline=None)
@given(steps, st.lists(st.integers(0, len(TEXT) + 5), max_size=4))
async def test_any_collectors_at_a_time_and_any_restarts_leave_the_same_bytes_and_times(
    steps: list[tuple[int, bool, int]], starts: list[int]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        logs = Logs(Objects(f"file://{folder}"))
        collectors = [Collector(logs) for _ in range(3)]
        for who, restarted, size in steps:
            if restarted:
                await collectors[who].resume()
            await collectors[who].put(size)
        await collectors[0].resume()
        await collectors[0].put(len(TEXT))
        assert await everything(logs) == TEXT
        for start in starts:
            assert await everything(logs, start) == TEXT[start:]
        assert [line async for piece in logs.read(*JOB, MAIN) for line in piece.lines() if line[0]]
        await logs.merge(*JOB, MAIN)
        assert await everything(logs) == TEXT
        times = [time async for piece in logs.read(*JOB, MAIN) for time in piece.times]
        assert times == [time for time, _ in LOG]


@settings(max_examples=30, deadline=None)
@given(st.sets(st.integers(1, len(TEXT) - 1), max_size=5), st.integers(-1, 1100))
async def test_a_tail_is_what_tail_prints(cuts: set[int], count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        logs = Logs(Objects(f"file://{folder}"))
        await write(logs, 0, *sorted(cuts), len(TEXT))
        start, found = await logs.start_of_last(*JOB, MAIN, count)
        assert await everything(logs, start) == b"".join(LINES[-count:] if count > 0 else [])
        assert found == max(0, min(count, len(LINES)))


async def test_a_tail_and_a_time_open_only_what_they_must(objects: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    logs = Logs(objects)
    await write(logs, *range(0, len(TEXT), 500), len(TEXT))
    opened: list[str] = []
    get, get_range = objects.get, objects.get_range

    async def counted(path: str) -> bytes:
        opened.append(path)
        return await get(path)

    async def counted_range(path: str, start: int, end: int) -> bytes:
        opened.append(path)
        return await get_range(path, start, end)

    monkeypatch.setattr(objects, "get", counted)
    monkeypatch.setattr(objects, "get_range", counted_range)
    await logs.start_of_last(*JOB, MAIN, 3)
    assert len(opened) <= 2
    opened.clear()
    start = await logs.start_of_time(*JOB, MAIN, LOG[500][0].decode())
    assert len(opened) <= 10
    assert len(TEXT) // 4 < start <= sum(len(line) for line in LINES[:500])


async def test_a_chunk_is_put_where_none_is_and_the_same_again_is_fine(objects: Objects) -> None:
    logs = Logs(objects)
    assert await logs.append(*JOB, MAIN, chunk(LOG, 0, 300))
    assert await logs.append(*JOB, MAIN, chunk(LOG, 0, 300))
    assert not await logs.append(*JOB, MAIN, chunk(LOG, 0, 200))
    assert await everything(logs) == TEXT[:300]


async def test_streams_have_sizes_and_ends_and_an_end_is_never_taken_back(objects: Objects) -> None:
    logs = Logs(objects)
    await write(logs, 0, 400, 700)
    assert await logs.streams(*JOB) == [LogStream(MAIN, 700)]
    broken = End(700, complete=False, gaps=(Gap(700, "the pod vanished"),))
    assert await logs.close(*JOB, MAIN, broken) == broken
    assert await logs.streams(*JOB) == [LogStream(MAIN, 700, broken)]
    assert await logs.close(*JOB, MAIN, End(700)) == End(700)
    assert await logs.close(*JOB, MAIN, broken) == End(700)
    assert broken.why == "the pod vanished"
    await logs.close(*JOB, "empty.a.main", End(0))
    assert [stream.size for stream in await logs.streams(*JOB)] == [700, 0]
    await logs.delete(*JOB)
    assert await logs.streams(*JOB) == []


async def test_few_chunks_are_made_of_many_and_a_reader_in_between_misses_nothing(objects: Objects) -> None:
    logs = Logs(objects)
    await write(logs, *range(0, len(TEXT), 5000), len(TEXT))
    reading = logs.read(*JOB, MAIN)
    begun = (await anext(reading)).text
    await logs.merge(*JOB, MAIN)
    assert len(await logs.chunks(*JOB, MAIN)) == 1
    assert begun + b"".join([piece.text async for piece in reading]) == TEXT
    big = [Chunk(len(TEXT), b"y" * (CHUNK - 10), [b""])]
    assert await logs.append(*JOB, MAIN, big[0])
    await logs.merge(*JOB, MAIN)
    assert len(await logs.chunks(*JOB, MAIN)) == 2


async def test_a_hole_is_said_in_its_place_and_moves_nothing(objects: Objects) -> None:
    logs = Logs(objects)
    await write(logs, 0, 100)
    await logs.append(*JOB, MAIN, chunk(LOG, 200, 300))
    strict = LogReader(objects, strict=True)
    with pytest.raises(LongshoreError, match="100 and 200 should meet"):
        assert [piece async for piece in strict.read(*JOB, MAIN)]
    read = await everything(logs)
    assert (read[:100], read[200:], len(read)) == (TEXT[:100], TEXT[200:300], 300)
    assert b"[longshore: 100 bytes of this log are damaged" in read


async def test_what_comes_after_the_end_of_a_log_that_may_not_be_whole_is_kept_beside_it(objects: Objects) -> None:
    logs = Logs(objects)
    await write(logs, 0, 400)
    with pytest.raises(OpenLog):
        await logs.close(*JOB, MAIN, End(0, complete=False))
    broken = End(400, complete=False, gaps=(Gap(400, "the pod vanished"),))
    assert await logs.close(*JOB, MAIN, broken) == broken
    with pytest.raises(ClosedLog):
        await logs.append(*JOB, MAIN, chunk(LOG, 400, 500))
    for start, end in ((600, 700), (400, 450), (400, 500)):
        await logs.keep_late(*JOB, MAIN, chunk(LOG, start, end))
    assert await everything(logs) == TEXT[:400]
    late = [piece async for piece in logs.late(*JOB, MAIN)]
    assert [(piece.start, piece.end) for piece in late] == [(400, 500), (600, 700)]
    assert all(piece.text == TEXT[piece.start : piece.end] for piece in late)
    said = await logs.end(*JOB, MAIN)
    assert said is not None
    assert (said.size, said.complete, said.late) == (400, False, 200)
    assert said.why == "the pod vanished; 200 bytes came when it was closed already, and are read with late=true"
    assert await logs.close(*JOB, MAIN, End(700)) == said  # the size that was said first stands
    await logs.merge(*JOB, MAIN)
    with pytest.raises(ClosedLog):
        await logs.append(*JOB, MAIN, chunk(LOG, 400, 500))
    assert [(stream.name, stream.size) for stream in await logs.streams(*JOB)] == [(MAIN, 400)]


@settings(max_examples=40, deadline=None)
@given(
    st.sets(st.integers(1, len(TEXT) - 1), min_size=1, max_size=5),
    st.integers(0, 5),
    st.sampled_from(["cut short", "a byte", "empty", "gone"]),
    st.booleans(),
)
async def test_a_damaged_chunk_is_a_line_as_long_as_it_was_and_the_log_is_not_whole_from_then_on(
    cuts: set[int], which: int, damage: str, closed: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        objects = Objects(f"file://{folder}")
        logs = Logs(objects)
        await write(logs, 0, *sorted(cuts), len(TEXT))
        chunks = await logs.chunks(*JOB, MAIN)
        hurt = chunks[which % len(chunks)]
        end = next((kept.start for kept in chunks if kept.start > hurt.start), len(TEXT))
        if closed:
            await logs.close(*JOB, MAIN, End(len(TEXT)))
        data = await objects.get(hurt.path)
        if damage == "gone":
            await objects.delete(hurt.path)
        else:
            another = b"!" if data[:1] != b"!" else b"?"
            changed = {"cut short": data[: len(data) // 2], "a byte": another + data[1:], "empty": b""}[damage]
            await objects.put(hurt.path, changed)
        strict = LogReader(objects, strict=True)
        until = len(TEXT) if closed else None
        if end < len(TEXT) or closed:
            read = b"".join([piece.text async for piece in logs.read(*JOB, MAIN, 0, until)])
            assert len(read) == len(TEXT)
            assert (read[: hurt.start], read[end:]) == (TEXT[: hurt.start], TEXT[end:])
            assert read[hurt.start : end].startswith(b"[longshore: "[: end - hurt.start - 1])
            with pytest.raises(LongshoreError, match="damaged"):
                assert [piece async for piece in strict.read(*JOB, MAIN, 0, until)]
        said = await logs.end(*JOB, MAIN)
        if closed:
            assert said is not None
            assert (said.size, said.complete, said.gaps) == (len(TEXT), False, (Gap(hurt.start, DAMAGED),))


async def test_names_stay_within_their_folder(objects: Objects) -> None:
    for words in (("..", "j1", MAIN), ("acme", "a/b", MAIN), ("acme", "j1", "../x")):
        with pytest.raises(UserMistake):
            await Logs(objects).chunks(*words)


async def test_the_newest_chunk_of_a_log_that_goes_on_is_as_long_as_it_was_when_it_is_damaged(objects: Objects) -> None:
    logs = Logs(objects)
    await write(logs, 0, 5000)
    newest = (await logs.chunks(*JOB, MAIN))[0]
    await objects.put(newest.path, b"?" + (await objects.get(newest.path))[1:])
    told = await everything(logs)
    assert len(told) == 5000 == await logs.size(*JOB, MAIN) == (await logs.newest([newest])).end
    await write(logs, 5000, 6000)
    assert await everything(logs, len(told)) == TEXT[5000:6000]


async def test_what_is_put_below_the_end_where_chunks_were_merged_does_not_go_past_it(objects: Objects) -> None:
    logs = Logs(objects)
    await write(logs, 0, 3000, 5000)
    end = End(5000, complete=False, gaps=(Gap(5000, "gone"),))
    await logs.close(*JOB, MAIN, end)
    await logs.merge(*JOB, MAIN)
    await logs.append(*JOB, MAIN, chunk(LOG, 3000, 7000))  # by someone who has not heard of it
    assert b"".join([piece.text async for piece in logs.read(*JOB, MAIN, 0, end.size)]) == TEXT[:5000]
    assert b"".join([piece.text async for piece in logs.read(*JOB, MAIN, 4000, end.size)]) == TEXT[4000:5000]
    last = TEXT[:5000].splitlines(keepends=True)[-1]
    assert await logs.start_of_last(*JOB, MAIN, 1, end.size) == (5000 - len(last), 1)
    for lines in range(1, 90):
        start, _ = await logs.start_of_last(*JOB, MAIN, lines, end.size)
        assert len(TEXT[start:5000].splitlines()) == lines


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), max_size=12))
def test_late_bytes_are_counted_once_however_their_parts_overlap(parts: list[tuple[int, int]]) -> None:
    spans = [(start, start + size) for start, size in parts]
    assert late_bytes(spans) == len({at for start, end in spans for at in range(start, end)})


async def test_of_two_late_parts_that_come_at_once_both_are_counted(tmp_path: Path) -> None:
    class Slow(Objects):
        """Another part comes, and is counted, when the first one was counted and that is not written yet."""

        async def put(self, path: str, data: bytes, *, if_absent: bool = False) -> None:
            if path.endswith("/end") and not if_absent and not others:
                others.append(path)
                await logs.keep_late(*JOB, MAIN, chunk(LOG, 600, 650))
            await super().put(path, data, if_absent=if_absent)

    others: list[str] = []
    logs, slow = Logs(Objects(f"file://{tmp_path}")), Logs(Slow(f"file://{tmp_path}"))
    await logs.append(*JOB, MAIN, chunk(LOG, 0, 400))
    await logs.close(*JOB, MAIN, End(400, complete=False, gaps=(Gap(400, "the pod vanished"),)))
    await slow.keep_late(*JOB, MAIN, chunk(LOG, 400, 500))
    end = await logs.end(*JOB, MAIN)
    assert end is not None
    assert end.late == 150
    # and where the one who came first was killed with his number on its way, the names tell
    folder = f"logs/{JOB[0]}/{JOB[1]}/{MAIN}/"
    await Objects(f"file://{tmp_path}").put(f"{folder}end", msgspec.json.encode(End(400, late=100)))
    (stream,) = await logs.streams(*JOB)
    assert stream.end is not None
    assert (stream.end.late, stream.end.complete) == (150, False)
    assert (await logs.state(*JOB, MAIN))[1] == stream.end


async def test_a_late_part_that_is_damaged_is_a_line_of_its_length(objects: Objects) -> None:
    logs = Logs(objects)
    await logs.append(*JOB, MAIN, chunk(LOG, 0, 400))
    await logs.close(*JOB, MAIN, End(400, complete=False))
    for start in (400, 600):
        await logs.keep_late(*JOB, MAIN, chunk(LOG, start, start + 100))
    (damaged, _) = sorted([path async for path, _ in objects.list("logs/") if path.endswith(".late")])
    await objects.put(damaged, b"x" + (await objects.get(damaged))[1:])
    late = [piece async for piece in logs.late(*JOB, MAIN)]
    assert [(piece.start, piece.end) for piece in late] == [(400, 500), (600, 700)]
    assert b"longshore" in late[0].text
    assert late[1].text == TEXT[600:700]
