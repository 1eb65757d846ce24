"""The progress file of a task: its newest whole line, whatever is in it and however it was cut."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.runner.lines import JsonLines, read


def test_the_newest_whole_line_is_told_once(tmp_path: Path) -> None:
    path = tmp_path / "progress.jsonl"
    follower = JsonLines(path)
    assert follower.poll() is None
    path.write_text('{"progress": 0.1}\n{"progress": 0.2, "stage": "load", "message": "two"}\n{"progr')
    told = follower.poll()
    assert told is not None
    assert (told.fraction, told.stage, told.message) == (0.2, "load", "two")
    assert follower.poll() is None
    with path.open("a") as file:
        file.write('ess": 0.3}\n')
    told = follower.poll()
    assert told is not None
    assert told.fraction == 0.3


def test_a_line_that_comes_while_another_is_read_is_told_next_and_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, real = tmp_path / "p", os.pread
    path.write_text('{"progress": 0.1}\n')

    def late(fd: int, size: int, offset: int) -> bytes:
        with path.open("a") as file:
            file.write('{"progress": 0.2}\n')
        monkeypatch.setattr(os, "pread", real)
        return real(fd, size, offset)

    monkeypatch.setattr(os, "pread", late)
    follower = JsonLines(path)
    told = [progress and progress.fraction for progress in (follower.poll(), follower.poll(), follower.poll())]
    assert told == [0.1, 0.2, None]


def test_what_is_no_file_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("/etc/passwd")
    assert [JsonLines(tmp_path / name).poll() for name in ("fifo", "link")] == [None, None]


@given(st.binary(max_size=300))
def test_any_line_can_be_read(line: bytes) -> None:
    told = read(line)
    assert told.fraction is None or 0 <= told.fraction <= 1
    json.dumps(told.document(), allow_nan=False)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.data())
def test_however_the_file_grows_the_last_line_is_told(fractions: list[float], data: st.DataObject) -> None:
    whole = b"".join(json.dumps({"progress": each}).encode() + b"\n" for each in fractions)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=5)))
    seen: list[float | None] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "p"
        follower = JsonLines(path)
        for cut in (*cuts, len(whole)):
            path.write_bytes(whole[:cut])
            if (told := follower.poll()) is not None:
                seen.append(told.fraction)
    assert seen[-1] == fractions[-1]
    places: Iterator[float | None] = iter(fractions)
    assert all(each in places for each in seen), "in order, none made up"
