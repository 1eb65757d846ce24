"""Reading log files, and the pump that writes them."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longshore.cluster.node import logs
from longshore.cluster.node.logs import Options, Renderer, tail_offset
from longshore.cluster.node.shim.pump import Stream, timestamp

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


def pumped(tmp_path: Path, *writes: bytes) -> bytes:
    """What the log holds after a container wrote these, one read each."""
    path = tmp_path / "pumped"
    log = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
    reader, writer = os.pipe()
    stream = Stream("stdout", reader, log)
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
