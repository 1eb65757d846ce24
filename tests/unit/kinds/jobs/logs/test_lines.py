"""Which lines of a log are shown: judged line by line, whatever pieces it comes in."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.archive.log_chunk import Chunk
from longshore.errors import UserMistake
from longshore.kinds.jobs.logs.lines import CONTEXT_BYTES, Lines, Newest, moment
from longshore.kinds.jobs.logs.pattern import matcher

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
WORDS = [b"error one\n", b"fine\n", b"\n", b"an error\n", b"last"]


def time_of(number: int) -> bytes:
    return b"2026-11-28T12:00:%02d.000000000Z" % number


def in_pieces(lines: list[bytes], cuts: list[int]) -> list[Chunk]:
    begins = [sum(len(line) for line in lines[:number]) for number in range(len(lines))]
    text = b"".join(lines)
    made = []
    for start, end in pairwise(sorted({0, *cuts, len(text)})):
        before = [number for number, begin in enumerate(begins) if begin < start]
        times = [time_of(number) for number, begin in enumerate(begins) if start <= begin < end]
        since = time_of(before[-1]) if before else b""
        made.append(Chunk(start, text[start:end], times, start not in begins, since))
    return made


def shown(lines: list[bytes], cuts: list[int], **wanted: Any) -> bytes:
    chooser = Lines(**wanted)
    return b"".join([chooser.feed(piece) for piece in in_pieces(lines, cuts)]) + chooser.rest()


logs = st.lists(st.sampled_from(WORDS[:-1]), max_size=12).flatmap(
    lambda lines: st.sampled_from([lines, [*lines, b"x"]])
)
cuts = st.lists(st.integers(1, 60), max_size=8)


def within(lines: list[bytes], cuts: list[int]) -> list[int]:
    return [cut for cut in cuts if cut < sum(map(len, lines))]


@given(logs, cuts)
def test_a_search_shows_the_lines_that_hold_the_text(lines: list[bytes], cuts: list[int]) -> None:
    expected = b"".join(line for line in lines if b"error" in line)
    assert shown(lines, within(lines, cuts), search=b"error") == expected


@given(logs, cuts, st.integers(1, 3))
def test_lines_around_a_hit_are_shown_once(lines: list[bytes], cuts: list[int], context: int) -> None:
    hits = [number for number, line in enumerate(lines) if b"error" in line]
    near = [n for n in range(len(lines)) if any(abs(n - hit) <= context for hit in hits)]
    assert shown(lines, within(lines, cuts), search=b"error", context=context) == b"".join(lines[n] for n in near)


@given(logs, cuts, st.integers(0, 12), st.integers(0, 12))
def test_times_choose_lines_and_are_shown(lines: list[bytes], cuts: list[int], first: int, last: int) -> None:
    bounds = {"since": time_of(first).decode(), "until": time_of(last).decode()}
    expected = b"".join(time_of(n) + b" " + line for n, line in enumerate(lines) if first <= n <= last)
    assert shown(lines, within(lines, cuts), timestamps=True, **bounds) == expected


def test_what_comes_long_after_the_end_is_not_waited_for() -> None:
    chooser = Lines(until=time_of(5).decode())
    assert chooser.feed(Chunk(0, b"a\n", [time_of(4)])) == b"a\n"
    assert not chooser.over
    assert chooser.feed(Chunk(2, b"b\n", [time_of(40)])) == b""
    assert chooser.over


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("10m", "2026-11-28T11:50:00.000000000Z"),
        ("1.5h", "2026-11-28T10:30:00.000000000Z"),
        ("2026-11-28T13:00:00+02:00", "2026-11-28T11:00:00.000000000Z"),
        ("2026-11-28T11:00:00.123456789Z", "2026-11-28T11:00:00.123456789Z"),
        ("2026-11-28T11:00:00.5Z", "2026-11-28T11:00:00.500000000Z"),
    ],
)
def test_a_time_is_one_of_rfc_3339_or_how_long_ago(said: str, meant: str) -> None:
    assert moment(said, NOW, "since") == meant


@pytest.mark.parametrize("said", ["yesterday", "10", "2026-11-28T12:00:00", "-5m", ""])
def test_what_is_no_time_is_refused_with_examples(said: str) -> None:
    with pytest.raises(UserMistake) as refused:
        moment(said, NOW, "since")
    assert refused.value.field == "since"
    assert "10m" in (refused.value.hint or "")


@given(st.lists(st.binary(max_size=6), max_size=20), st.integers(0, 8), st.integers(0, 20))
def test_the_newest_lines_are_as_many_as_fit(lines: list[bytes], most: int, most_bytes: int) -> None:
    newest = Newest(most, most_bytes)
    for line in lines:
        newest.add(line)
    kept: list[bytes] = []
    for line in reversed(lines[max(0, len(lines) - most) :]):
        if kept and sum(map(len, kept)) + len(line) > most_bytes:
            break
        kept.insert(0, line)
    assert newest.take() == b"".join(kept)
    assert newest.take() == b""


def test_lines_before_a_hit_are_held_within_a_bound() -> None:
    long = [b"x" * (CONTEXT_BYTES // 4 - 1) + b"\n"] * 20
    found = shown([*long, b"an error\n"], [], search=b"error", context=1000)
    assert found == b"".join([*long[-4:], b"an error\n"])


@given(st.lists(st.integers(0, 40), max_size=6))
def test_a_regular_expression_is_looked_for_in_each_line_alone(cuts: list[int]) -> None:
    assert shown(WORDS, cuts, search=matcher("^(an )?error( one)?$")) == b"error one\nan error\n"
    assert shown(WORDS, cuts, search=matcher("^$")) == b"\n"
    assert shown(WORDS, cuts, search=matcher("l.st")) == b"last"
    assert shown(WORDS, cuts, search=matcher("(?i)FINE|one.error")) == b"fine\n"


@pytest.mark.parametrize(
    "pattern", ["(", "(?=a)", r"(a)\1", "a{1001}", "(a{300}){3}", "(.{0,500}){0,2}x", "\x00{900}("]
)
def test_what_is_no_regular_expression_or_too_large_a_one_is_refused_with_a_hint(pattern: str) -> None:
    with pytest.raises(UserMistake) as refused:
        matcher(pattern)
    assert refused.value.field == "search"
    assert refused.value.hint


@given(st.text(max_size=40))
def test_any_text_is_a_regular_expression_or_refused(pattern: str) -> None:
    try:
        hits = matcher(pattern)
    except UserMistake:
        return
    assert hits(b"some \xff line") in (True, False)


def test_a_pattern_that_would_take_others_for_ever_takes_time_in_proportion_to_the_line() -> None:
    hits = matcher("(a+)+b|(a|aa)+c|(a|a?)+d")
    for size in (30, 30_000, 1 << 20):  # one that tries all ways would not end with the first of these
        assert not hits(b"a" * size)
