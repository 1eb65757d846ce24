from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from longshore.archive.objects import PART, PIECE, Objects
from longshore.errors import AlreadyExists, NotFound, Unavailable, UserMistake


async def chunks(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def broken(error: Exception) -> AsyncIterator[bytes]:
    for _ in range(3):
        yield bytes(PART)
    raise error


async def everything(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


def files(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in tmp_path.rglob("*") if path.is_file())


async def test_what_is_put_comes_back(objects: Objects) -> None:
    await objects.put("a/b c#x é", b"first")
    await objects.put("a/b c#x é", b"second")
    assert await objects.get("a/b c#x é") == b"second"
    assert await objects.size("a/b c#x é") == 6
    assert await objects.size("a/other") is None


async def test_if_absent_keeps_the_first(objects: Objects) -> None:
    await objects.put("a", b"first", if_absent=True)
    with pytest.raises(AlreadyExists):
        await objects.put("a", b"second", if_absent=True)
    assert await objects.get("a") == b"first"


async def test_of_many_writers_at_once_exactly_one_creates(objects: Objects) -> None:
    tries = [objects.put("a", bytes([n]), if_absent=True) for n in range(20)]
    answers = await asyncio.gather(*tries, return_exceptions=True)
    (winner,) = [n for n, answer in enumerate(answers) if answer is None]
    assert await objects.get("a") == bytes([winner])
    assert sum(isinstance(answer, AlreadyExists) for answer in answers) == 19


@pytest.mark.parametrize("error", [RuntimeError("x"), OSError("x"), ValueError("x"), UserMistake("x")])
async def test_a_stream_that_breaks_leaves_nothing_and_raises_its_own_error(
    objects: Objects, tmp_path: Path, error: Exception
) -> None:
    with pytest.raises(type(error)) as caught:
        await objects.put_stream("new", broken(error))
    assert caught.value is error
    assert files(tmp_path) == []


async def test_a_stream_that_breaks_leaves_what_was_there(objects: Objects) -> None:
    await objects.put("old", b"old")
    with pytest.raises(RuntimeError):
        await objects.put_stream("old", broken(RuntimeError()))
    assert await objects.get("old") == b"old"


async def test_a_cancelled_upload_leaves_nothing(objects: Objects, tmp_path: Path) -> None:
    waiting = asyncio.Event()

    async def stuck() -> AsyncIterator[bytes]:
        yield bytes(2 * PART)
        waiting.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(objects.put_stream("new", stuck()))
    await asyncio.wait_for(waiting.wait(), 60)
    assert await objects.size("new") is None
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await objects.size("new") is None
    assert [path async for path, _ in objects.list("")] == []


async def test_a_stream_of_many_parts_comes_back_from_any_offset(objects: Objects) -> None:
    whole = b"".join(bytes([n]) * 1_000_003 for n in range(11))
    await objects.put_stream("big", chunks(*(whole[at : at + 700_001] for at in range(0, len(whole), 700_001))))
    for start in (0, 1, PIECE - 1, PIECE, PIECE + 1, len(whole) - 1, len(whole), len(whole) + 9):
        assert await everything(objects.stream("big", start)) == whole[start:]


async def test_an_empty_stream_is_an_empty_file(objects: Objects) -> None:
    await objects.put_stream("empty", chunks())
    assert await objects.size("empty") == 0
    assert await everything(objects.stream("empty")) == b""


async def test_a_file_written_anew_while_it_is_read_is_not_mixed(objects: Objects) -> None:
    await objects.put("big", b"a" * (PIECE + 1))
    pieces = objects.stream("big")
    assert set(await anext(pieces)) == {ord("a")}
    await objects.put("big", b"b" * (PIECE + 2))
    with pytest.raises(Unavailable, match="written anew"):
        await anext(pieces)


async def test_missing_things_are_not_found_and_deleting_them_is_fine(objects: Objects) -> None:
    with pytest.raises(NotFound):
        await objects.get("nothing")
    with pytest.raises(NotFound):
        await everything(objects.stream("nothing"))
    await objects.delete("nothing")


async def test_a_listing_goes_by_whole_parts_of_a_path(objects: Objects) -> None:
    for path in ("logs/a/1", "logs/a/deep/2", "logs/ab/3", "other/4"):
        await objects.put(path, b"12")
    assert sorted([found async for found in objects.list("logs/a/")]) == [("logs/a/1", 2), ("logs/a/deep/2", 2)]
    assert await objects.folders("logs/") == ["a", "ab"]
    assert await objects.folders("nothing/") == []


@pytest.mark.parametrize("path", ["a/../b", "a//b", "a\nb"])
async def test_a_path_that_leads_elsewhere_is_refused(objects: Objects, path: str) -> None:
    with pytest.raises(UserMistake):
        await objects.put(path, b"")


async def test_check_leaves_nothing(objects: Objects, tmp_path: Path) -> None:
    await objects.check()
    assert files(tmp_path) == []


async def test_a_folder_that_cannot_be_written_is_unavailable(objects: Objects, tmp_path: Path) -> None:
    (tmp_path / "archive" / "check").write_text("in the way")
    with pytest.raises(Unavailable) as caught:
        await objects.check()
    assert caught.value.hint


async def test_a_store_that_cannot_be_reached_is_unavailable_and_no_secret_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIDWHO",
        "AWS_SECRET_ACCESS_KEY": "sesame",
        "AWS_REGION": "here",
        "AWS_ENDPOINT": "http://127.0.0.1:9",
    }.items():  # plain http is refused without AWS_ALLOW_HTTP, so nothing is tried again
        monkeypatch.setenv(name, value)
    with pytest.raises(Unavailable) as caught:
        await Objects("s3://bucket/prefix").put("a", b"")
    told = f"{caught.value.message} {caught.value.hint}"
    assert "AKIDWHO" not in told
    assert "sesame" not in told


@pytest.mark.parametrize("url", ["", "/var/archive", "http://example.com/x", "ftp://x", "s3://", "file://relative"])
def test_a_url_that_is_no_archive_is_refused_with_a_hint(url: str) -> None:
    with pytest.raises(UserMistake) as caught:
        Objects(url)
    assert "LONGSHORE_ARCHIVE" in (caught.value.hint or "")


async def test_a_copy_is_made_by_the_store_and_replaces_what_was_there(objects: Objects) -> None:
    await objects.put("from/a", b"new")
    await objects.put("to/a", b"old and longer")
    await objects.copy("from/a", "to/a")
    assert await objects.get("to/a") == b"new"
    with pytest.raises(NotFound):
        await objects.copy("nothing", "to/b")
    assert await objects.size("to/b") is None


async def test_a_listing_tells_when_things_were_written(objects: Objects) -> None:
    began = datetime.now(UTC) - timedelta(seconds=2)
    await objects.put("aged/a", b"x")
    ((path, size, written),) = [found async for found in objects.aged("aged/")]
    assert (path, size) == ("aged/a", 1)
    assert began <= written <= datetime.now(UTC) + timedelta(seconds=2)
