from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longshore.archive.logs import CHUNK, Logs, LogStream
from longshore.archive.objects import Objects
from longshore.errors import LongshoreError, NotFound, UserMistake

JOB = ("acme", "j1")
MAIN = "0001-main"


async def chunks(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def broken(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
    raise RuntimeError("the kubelet went away")


async def everything(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


def lines_of(text: bytes, count: int) -> bytes:
    """What `tail -n` prints."""
    return b"".join(text.splitlines(keepends=True)[-count:]) if count > 0 else b""


LOG = b"".join(b"%07d %s\n" % (n, b"x" * (n % 90)) for n in range(50_000))


@settings(max_examples=40, deadline=None)
@given(st.data())
async def test_a_log_written_in_any_pieces_reads_the_same_from_any_offset(data: st.DataObject) -> None:
    log = LOG[: data.draw(st.sampled_from([0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, len(LOG)]))]
    step = data.draw(st.integers(1, 3 * CHUNK)) if len(log) < 2 else data.draw(st.integers(1000, 3 * CHUNK))
    starts = data.draw(st.lists(st.integers(0, len(log) + 5), max_size=5))
    with tempfile.TemporaryDirectory() as folder:
        logs = Logs(Objects(f"file://{folder}"))
        written = await logs.write(*JOB, MAIN, chunks(*(log[at : at + step] for at in range(0, len(log), step))))
        assert written == len(log)
        assert await logs.streams(*JOB) == [LogStream(MAIN, len(log))]
        for start in [0, CHUNK, *starts]:
            assert await everything(logs.read(*JOB, MAIN, start)) == log[start:]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.binary(max_size=5), max_size=30), st.integers(-1, 40))
async def test_a_tail_is_what_tail_prints(pieces: list[bytes], count: int) -> None:
    log = b"\n".join(piece.replace(b"\r", b"") for piece in pieces)
    log = log.replace(b"\x0b", b"").replace(b"\x0c", b"").replace(b"\x1c", b"").replace(b"\x1d", b"")
    with tempfile.TemporaryDirectory() as folder:
        logs = Logs(Objects(f"file://{folder}"))
        await logs.write(*JOB, MAIN, chunks(log))
        assert await everything(logs.tail(*JOB, MAIN, count)) == lines_of(log, count)


class Counting(Objects):
    """Remembers what was read."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.read: list[str] = []

    async def get(self, path: str) -> bytes:
        self.read.append(path)
        return await super().get(path)


@pytest.mark.parametrize("count", [0, 1, 10, 20_000, 50_000, 60_000])
async def test_a_tail_reads_only_the_chunks_that_hold_it(tmp_path_factory: pytest.TempPathFactory, count: int) -> None:
    objects = Counting(f"file://{tmp_path_factory.mktemp('archive')}")
    logs = Logs(objects)
    await logs.write(*JOB, MAIN, chunks(LOG))
    wanted = lines_of(LOG, count)
    assert await everything(logs.tail(*JOB, MAIN, count)) == wanted
    assert len(set(objects.read)) <= len(wanted) // CHUNK + 2


async def test_writing_again_after_an_interruption_gives_the_whole_log_once(objects: Objects) -> None:
    logs = Logs(objects)
    with pytest.raises(RuntimeError):
        await logs.write(*JOB, MAIN, broken(LOG))
    assert await logs.write(*JOB, MAIN, chunks(LOG)) == len(LOG)
    assert await logs.write(*JOB, MAIN, chunks(LOG)) == len(LOG)
    assert await everything(logs.read(*JOB, MAIN)) == LOG


async def test_chunks_of_a_longer_earlier_run_do_not_stay(objects: Objects) -> None:
    logs = Logs(objects)
    await logs.write(*JOB, MAIN, chunks(LOG))
    await logs.write(*JOB, MAIN, chunks(b"short\n"))
    assert await everything(logs.read(*JOB, MAIN)) == b"short\n"
    assert await logs.streams(*JOB) == [LogStream(MAIN, 6)]


async def test_attempts_and_containers_are_streams_of_their_own_in_order(objects: Objects) -> None:
    logs = Logs(objects)
    for stream in ("0010-main", "0002-main", "0002-longshore-fetch"):
        await logs.write(*JOB, stream, chunks(stream.encode()))
    await logs.write("acme", "j10", MAIN, chunks(b"another job"))
    found = await logs.streams(*JOB)
    assert [each.name for each in found] == ["0002-longshore-fetch", "0002-main", "0010-main"]
    assert await everything(logs.read(*JOB, "0002-main")) == b"0002-main"
    assert await logs.streams("acme", "j2") == []


async def test_a_container_that_said_nothing_has_an_empty_log_and_one_never_kept_has_none(objects: Objects) -> None:
    logs = Logs(objects)
    assert await logs.write(*JOB, MAIN, chunks()) == 0
    assert await logs.streams(*JOB) == [LogStream(MAIN, 0)]
    assert await everything(logs.read(*JOB, MAIN)) == b""
    assert await everything(logs.tail(*JOB, MAIN, 5)) == b""
    with pytest.raises(NotFound):
        await everything(logs.read(*JOB, "0002-main"))
    with pytest.raises(NotFound):
        await everything(logs.tail(*JOB, "0002-main", 5))


async def test_a_missing_chunk_is_told_and_not_skipped(objects: Objects) -> None:
    logs = Logs(objects)
    await logs.write(*JOB, MAIN, chunks(LOG))
    await objects.delete(f"logs/acme/j1/{MAIN}/{CHUNK:020d}.log")
    with pytest.raises(LongshoreError, match="damaged") as caught:
        await everything(logs.read(*JOB, MAIN))
    assert caught.value.hint


async def test_a_stream_name_that_is_a_path_is_refused(objects: Objects) -> None:
    with pytest.raises(UserMistake):
        await everything(Logs(objects).read(*JOB, "../../j2/0001-main"))
