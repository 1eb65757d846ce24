"""What is on the spool survives whoever wrote it, and stays within its bound."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from longshore.archive.log_chunk import Chunk, joined
from longshore.archive.spool import Key, Part, Spool
from longshore.errors import UserMistake

KEY = Key("acme", "j1", "20261128T120000Z.abcde.main")


def parts_in(folder: Path) -> list[Path]:
    return list(folder.rglob("*.part"))


def piece(start: int, text: bytes) -> Chunk:
    return Chunk(start, text, [b"t"] * text.count(b"\n"))


async def test_what_a_killed_process_left_is_found_by_the_next_one_in_order(tmp_path: Path) -> None:
    with Spool(tmp_path, 1 << 20) as spool:
        for start in (0, 8):
            part = spool.part(KEY, start)
            await spool.append(part, [piece(start, b"one\n")])
            await spool.append(part, [piece(start + 4, b"two\n")])
    with Spool(tmp_path, 1 << 20) as spool:
        assert spool.orphans == [KEY]
        assert spool.bytes > 0
        left = spool.left(KEY)
        assert [joined(part.read()).text for part in left] == [b"one\ntwo\n"] * 2
        assert [part.start for part in left] == [0, 8]
        for part in left:
            await spool.drop(part)
        assert spool.bytes == 0
        assert spool.left(KEY) == []
    assert parts_in(tmp_path) == []


async def test_a_piece_that_was_cut_off_is_left_out_and_what_came_before_it_is_not(tmp_path: Path) -> None:
    with Spool(tmp_path, 1 << 20) as spool:
        part = spool.part(KEY, 0)
        await spool.append(part, [piece(0, b"one\n"), piece(4, b"two\n")])
    (path,) = parts_in(tmp_path)
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with Spool(tmp_path, 1 << 20) as spool:
            (part,) = spool.left(KEY)
            assert b"".join(each.text for each in part.read()) in (b"", b"one\n")


async def test_two_processes_have_a_folder_each_and_take_nothing_from_one_that_lives(tmp_path: Path) -> None:
    with Spool(tmp_path, 1 << 20) as one:
        part = one.part(KEY, 0)
        await one.append(part, [piece(0, b"one\n")])
        with Spool(tmp_path, 1 << 20) as two:
            assert two.orphans == []
            other = two.part(KEY, 0)
            await two.append(other, [piece(0, b"two\n")])
        assert part.read() == [piece(0, b"one\n")]


async def test_a_full_spool_makes_its_writers_wait_until_there_is_room(tmp_path: Path) -> None:
    with Spool(tmp_path, 1000) as spool:
        part = spool.part(KEY, 0)
        await spool.append(part, [piece(0, b"x" * 1000)])
        assert spool.full
        waiting = asyncio.ensure_future(spool.room())
        await asyncio.sleep(0)
        assert not waiting.done()
        await spool.drop(part)
        await asyncio.wait_for(waiting, 60)


async def test_who_is_cut_off_while_a_part_goes_is_through_when_it_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever comes next would find it there, and then not."""
    begun, may_go, drop = threading.Event(), threading.Event(), Part.drop

    def slow(part: Part) -> None:
        begun.set()
        assert may_go.wait(60)
        drop(part)

    monkeypatch.setattr(Part, "drop", slow)
    with Spool(tmp_path, 1 << 20) as spool:
        part = spool.part(KEY, 0)
        await spool.append(part, [piece(0, b"one\n")])
        dropping = asyncio.ensure_future(spool.drop(part))
        assert await asyncio.to_thread(begun.wait, 60)
        dropping.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
        assert not dropping.done()
        may_go.set()
        await asyncio.wait([dropping], timeout=60)
        assert dropping.cancelled()
        assert parts_in(tmp_path) == []
        assert (spool.bytes, part.bytes) == (0, 0)


async def test_a_folder_that_cannot_be_written_to_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserMistake) as refused, Spool(tmp_path / "file" / "spool", 1000):
        pass
    assert "LONGSHORE_LOG_SPOOL" in (refused.value.hint or "")


async def test_zeros_that_a_power_cut_left_at_the_end_of_a_part_are_given_up_and_what_came_before_is_not(
    tmp_path: Path,
) -> None:
    with Spool(tmp_path, 1 << 20) as spool:
        part = spool.part(KEY, 0)
        await spool.append(part, [piece(0, b"one\n"), piece(4, b"two\n")])
    (path,) = parts_in(tmp_path)
    whole = path.read_bytes()
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size] + bytes(len(whole) - size + 100))
        with Spool(tmp_path, 1 << 20) as spool:
            (part,) = spool.left(KEY)
            assert b"".join(each.text for each in part.read()) in (b"", b"one\n", b"one\ntwo\n")
