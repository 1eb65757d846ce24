"""Lines out of chunks, and answers that do not fit."""

from collections.abc import AsyncIterator

import pytest

from longshore.errors import Terminal, Unavailable
from longshore.kube import wire
from longshore.kube.objects import JOBS, Job


async def split(*chunks: bytes) -> list[list[bytes]]:
    async def stream() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    return [batch async for batch in wire.lines(stream(), "watch")]


async def test_lines_come_whole_however_they_were_cut() -> None:
    assert await split(b"on", b"e\ntwo\nth", b"ree", b"\n") == [[b"one", b"two"], [b"three"]]


async def test_what_is_left_at_the_end_is_no_line() -> None:
    assert await split(b"one\ntw") == [[b"one"]]


async def test_empty_lines_are_no_events() -> None:
    assert await split(b"\n\none\n\n") == [[b"one"]]


async def test_a_line_without_end_is_not_gathered_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "LINE_MAX", 100)
    with pytest.raises(Unavailable, match="more than 100 bytes"):
        await split(*[b"x" * 10] * 20)


def test_json_that_does_not_fit_is_final_and_what_is_no_json_may_pass() -> None:
    with pytest.raises(Terminal, match=r"\$.spec.suspend"):
        wire.decode(Job, b'{"spec":{"suspend":"perhaps"}}', "GET /x")
    with pytest.raises(Unavailable, match="not JSON"):
        wire.decode(Job, b"<html>", "GET /x")


def test_a_list_may_be_null() -> None:
    page = wire.decode_page(JOBS, b'{"kind":"JobList","metadata":{"resourceVersion":"5"},"items":null}', "GET /x")
    assert (page.items, page.resource_version, page.continue_) == ([], "5", "")


def test_what_is_written_says_its_kind() -> None:
    assert wire.encode(JOBS, {"spec": {}}) == b'{"apiVersion":"batch/v1","kind":"Job","spec":{}}'
