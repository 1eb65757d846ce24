"""Reading log files, and the pump that writes them."""

import os
import re
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longshore.cluster.node import logs
from longshore.cluster.node.logs import Options, Renderer, tail_offset
from longshore.cluster.node.shim.pump import KEPT_BYTES, Log, Stream, timestamp

SECOND = 1_000_000_000


def entry(text: str, at: int = 0, tag: str = "F", stream: str = "stdout") -> str:
    return f"{timestamp(at * SECOND)} {stream} {tag} {text}\n"


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    def write(*entries: str) -> Path:
        path = tmp_path / "log"
        path.write_text("".join(entries))
        return path

    return write


async def text(path: Path, **options: Any) -> str:
    chunks = [chunk async for chunk in logs.read(path, Options(**options), lambda: True)]
    return b"".join(chunks).decode()


def test_timestamps_have_nine_digits() -> None:
    assert timestamp(1_767_225_600 * SECOND + 5) == "2026-01-01T00:00:00.000000005Z"


async def test_lines_of_both_streams_are_in_order(written: Callable[..., Path]) -> None:
    path = written(entry("a"), entry("b", stream="stderr"), entry(""))
    assert await text(path) == "a\nb\n\n"


async def test_partial_entries_are_joined(written: Callable[..., Path]) -> None:
    path = written(entry("one ", tag="P"), entry("line"), entry("last", 1, tag="P"))
    assert await text(path) == "one line\nlast"
    assert await text(path, timestamps=True) == f"{timestamp(0)} one line\n{timestamp(SECOND)} last"


async def test_text_that_looks_like_a_tag_is_left_alone(written: Callable[..., Path]) -> None:
    assert await text(written(entry("a P b"), entry("stdout F x"))) == "a P b\nstdout F x\n"


async def test_timestamps_can_be_shown(written: Callable[..., Path]) -> None:
    assert await text(written(entry("a", 5)), timestamps=True) == f"{timestamp(5 * SECOND)} a\n"


@pytest.mark.parametrize(("tail", "expected"), [(0, ""), (1, "4\n"), (3, "2\n3\n4\n"), (99, "0\n1\n2\n3\n4\n")])
async def test_tail_takes_the_last_lines(written: Callable[..., Path], tail: int, expected: str) -> None:
    assert await text(written(*(entry(str(n)) for n in range(5))), tail=tail) == expected


async def test_since_leaves_out_what_is_older(written: Callable[..., Path]) -> None:
    path = written(*(entry(str(n), at=n) for n in range(5)))
    assert await text(path, since=3 * SECOND) == "3\n4\n"
    assert await text(path, since=9 * SECOND) == ""


@pytest.mark.parametrize("limit", [0, 1, 3, 100])
async def test_the_limit_is_in_bytes_of_text(written: Callable[..., Path], limit: int) -> None:
    assert await text(written(entry("ab"), entry("cd")), limit_bytes=limit) == "ab\ncd\n"[:limit]


async def test_a_follower_sees_what_is_added_and_ends_with_the_container(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(entry("first"))
    added = iter([entry("second"), entry("third")])

    def has_ended() -> bool:
        line = next(added, None)
        if line:
            with path.open("a") as file:
                file.write(line)
        return line is None

    chunks = [chunk async for chunk in logs.read(path, Options(follow=True), has_ended)]
    assert b"".join(chunks) == b"first\nsecond\nthird\n"


def test_tails_longer_than_a_block_are_found(written: Callable[..., Path]) -> None:
    path = written(*(entry("x" * 1000) for _ in range(3000)))
    size = len(entry("x" * 1000))
    assert tail_offset(path, 2500) == 500 * size


MIB = 1 << 20
LINES = 100  # of a MiB


class Long:
    """A log that grows by numbered lines, a MiB at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        self._log = Log(self.descriptor)
        self.lines = 0

    def grow(self, mib: int) -> None:
        for _ in range(mib):
            lines = range(self.lines, self.lines + LINES)
            width = MIB // LINES - len(entry(""))
            self._log.write("".join(entry(f"{line:<{width}}", line) for line in lines).encode())
            self.lines += LINES

    @property
    def allocated(self) -> int:
        return self.path.stat().st_blocks * 512


@pytest.fixture
def long(tmp_path: Path) -> Iterator[Long]:
    made = Long(tmp_path / "long")
    made.grow(64)
    if made.allocated > 63 * MIB:
        pytest.skip("files have no holes here")
    yield made
    os.close(made.descriptor)


def numbers(said: str) -> list[int]:
    return [int(line) for line in said.splitlines()]


async def test_a_log_has_a_bound_and_says_what_it_dropped(long: Long) -> None:
    assert KEPT_BYTES <= long.allocated < KEPT_BYTES + 12 * MIB
    notice, _, rest = (await text(long.path)).partition("\n")
    assert re.fullmatch(r"\[longshore: the log's first \d\d MiB were dropped; its last 50 MiB are kept\]", notice)
    kept = numbers(rest)
    assert kept == list(range(kept[0], long.lines))
    assert len(kept) * MIB // LINES > KEPT_BYTES - MIB


async def test_a_tail_is_the_same_with_and_without_a_bound(long: Long) -> None:
    assert numbers(await text(long.path, tail=150)) == list(range(long.lines - 150, long.lines))
    assert (await text(long.path, tail=long.lines)).startswith("[longshore: ")
    since = (long.lines - 5) * SECOND
    assert numbers(await text(long.path, since=since)) == list(range(long.lines - 5, long.lines))


async def test_a_follower_that_falls_behind_is_told_where_it_missed_something(long: Long) -> None:
    added = iter([64, 1])

    def has_ended() -> bool:
        mib = next(added, None)
        if mib:
            long.grow(mib)
        return mib is None

    said = [chunk async for chunk in logs.read(long.path, Options(follow=True, tail=LINES), has_ended)]
    lines = b"".join(said).decode().splitlines()
    assert lines[0].startswith("[longshore: ")
    assert int(lines[-1]) == long.lines - 1


def test_an_entry_that_the_disk_refuses_leaves_no_half_behind(tmp_path: Path) -> None:
    path = tmp_path / "log"
    descriptor = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    log = Log(descriptor)
    log.write(b"whole\n")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))  # Python ignores the signal: a short write, then EFBIG
    try:
        log.write(b"more than there is room for\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    log.write(b"again\n")
    os.close(descriptor)
    assert path.read_bytes() == b"whole\nagain\n"


def pumped(tmp_path: Path, *writes: bytes) -> bytes:
    """What the log holds after a container wrote these, one read each."""
    path = tmp_path / "pumped"
    log = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
    reader, writer = os.pipe()
    stream = Stream("stdout", reader, Log(log))
    for data in writes:
        os.write(writer, data)
        while data:
            stream.pump()
            data = data[65536:]
    os.close(writer)
    while stream.pump():
        pass
    os.close(log)
    os.close(reader)
    return path.read_bytes()


def test_a_line_is_written_when_it_is_whole(tmp_path: Path) -> None:
    content = pumped(tmp_path, b"he", b"llo\nwor", b"ld\n")
    assert [line.split(b" ", 2)[2] for line in content.splitlines()] == [b"F hello", b"F world"]


def test_a_long_unfinished_line_does_not_wait_for_its_end(tmp_path: Path) -> None:
    tags = [line.split(b" ")[2] for line in pumped(tmp_path, b"x" * 20000, b"y\n").splitlines()]
    assert tags == [b"P", b"F"]


@settings(max_examples=50)
@given(st.lists(st.binary(max_size=60).filter(bool), max_size=20))
def test_what_was_written_is_what_is_read(tmp_path_factory: pytest.TempPathFactory, writes: list[bytes]) -> None:
    content = pumped(tmp_path_factory.mktemp("pump"), *writes)
    assert (Renderer(timestamps=False)(content) if content else b"") == b"".join(writes)
