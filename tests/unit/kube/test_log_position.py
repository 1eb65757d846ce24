"""Joining what several connections bring of one log, against a model of what the kubelet sends."""

import time
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longshore.kube.log_position import LogGap, Mark, Position, Seam, Settled

SECOND = 1_000_000_000
START = 1_800_000_000 * SECOND


class Entry(NamedTuple):
    """One entry of the file: a line, or with `partial` a part of one that the next entry goes on with."""

    time: int  # nanoseconds
    partial: bool
    text: bytes


def stamp(nanoseconds: int) -> bytes:
    seconds, rest = divmod(nanoseconds, SECOND)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:09d}Z".encode()


def kubelet(entries: list[Entry], since: int | None = None, *, times: bool = True) -> bytes:
    """Source: k8s.io/cri-client logs.go: each entry is judged by its own time; each line starts with one."""
    sent, at_start = b"", True
    for entry in entries:
        if since is not None and entry.time < since:
            continue
        sent += (stamp(entry.time) + b" " if times and at_start else b"") + entry.text
        sent += b"" if entry.partial else b"\n"
        at_start = not entry.partial
    return sent


class Reader:
    """Reads a log over as many connections as it takes."""

    def __init__(self, *, restarts: bool = False) -> None:
        self.position = Position()
        self.text = b""
        self.times: list[bytes] = []
        self._restarts = restarts

    def connect(self, entries: list[Entry], cut: int | None = None, size: int = 7) -> None:
        """One connection, in chunks of `size`, which breaks after `cut` bytes."""
        since = int(self.position.since.timestamp()) * SECOND if self.position.since else None
        sent = kubelet(entries, since)
        if self._restarts:  # in another process, which knows of this one only what it kept
            kept = msgspec.json.encode(self.position.mark)
            self.position = Position(mark=msgspec.json.decode(kept, type=Mark))
        settled, seam = Settled(), Seam(self.position)
        for start in range(0, len(sent) if cut is None else min(cut, len(sent)), size):
            chunk = sent[start : min(start + size, len(sent) if cut is None else cut)]
            self._take(seam(settled(chunk)))
        if cut is None:
            self._take(seam(settled.rest()))
            seam.ended()

    def _take(self, piece: bytes) -> None:
        self.text += self.position.advance(piece)
        self.times += self.position.times


STEPS = [0, 0, 1, 1000, SECOND // 3, SECOND, 7 * SECOND, 3600 * SECOND, -1000, -SECOND // 3]
TEXTS = [b"x", b"", b"a b", b"\rdone", b"2026-01-31T12:00:00Z fake", b"long " * 9, b"\xff"]


@st.composite
def logs(draw: st.DrawFn) -> list[Entry]:
    entries: list[Entry] = []
    newest = now = START + draw(st.integers(0, SECOND - 1))
    for _ in range(draw(st.integers(1, 25))):
        in_line = bool(entries) and entries[-1].partial
        # A line that goes on later, followed by one of an earlier time, may look like a gap, which is at least said.
        joined = in_line or (len(entries) > 1 and entries[-2].partial)
        now += draw(st.sampled_from([step for step in STEPS if step >= 0] if joined else [*STEPS, -8 * SECOND]))
        newest = max(newest, now)
        now = max(now, newest - 9 * SECOND)
        text = draw(st.sampled_from(TEXTS))
        entries.append(Entry(now, draw(st.integers(0, 3)) == 0 and text != b"", text))
    return entries


SIZES = st.integers(1, 400)  # bytes of a chunk


@settings(max_examples=500, deadline=None)
@given(logs(), st.lists(st.tuples(st.integers(0, 400), SIZES), max_size=6), SIZES, st.booleans(), st.data())
def test_nothing_is_lost_and_nothing_comes_twice_wherever_the_connections_break(
    entries: list[Entry], cuts: list[tuple[int, int]], size: int, restarts: bool, data: st.DataObject
) -> None:
    reader = Reader(restarts=restarts)
    for cut, chunk in cuts:
        written = data.draw(st.integers(0, len(entries)))  # the log grows while it is read
        already = len(reader.text)
        reader.connect(entries[: max(written, _entries_in(entries, already))], cut, chunk)
    reader.connect(entries, size=size)
    assert reader.text == kubelet(entries, times=False)
    ends = [False, *(entry.partial for entry in entries[:-1])]
    assert reader.times == [stamp(e.time) for e, goes_on in zip(entries, ends, strict=True) if not goes_on]


def _entries_in(entries: list[Entry], length: int) -> int:
    """How many entries there must be when so many bytes of their text were read."""
    count = 0
    while len(kubelet(entries[:count], times=False)) < length:
        count += 1
    return count


def lines(*texts: str, start: int = START, step: int = SECOND) -> list[Entry]:
    return [Entry(start + number * step, False, text.encode()) for number, text in enumerate(texts)]


def test_lines_of_the_same_time_are_told_apart() -> None:
    entries = lines(*"abcdefgh", step=0)
    reader = Reader()
    reader.connect(entries, cut=len(kubelet(entries[:5])))
    reader.connect(entries)
    assert reader.text == b"a\nb\nc\nd\ne\nf\ng\nh\n"


def test_only_what_is_near_is_asked_for_again() -> None:
    entries = lines(*(str(number) for number in range(1000)))
    reader = Reader()
    reader.connect(entries)
    assert reader.position.since is not None
    assert reader.position.since.timestamp() * SECOND >= entries[-1].time - 12 * SECOND


def test_a_clock_that_was_set_back_far_while_it_was_read_does_no_harm() -> None:
    entries = [*lines("a", "b", "c"), *lines("d", "e", "f", start=START - 3600 * SECOND), *lines("g", "h")]
    reader = Reader()
    reader.connect(entries, cut=len(kubelet(entries[:5])) - 1)
    reader.connect(entries)
    assert reader.text == b"a\nb\nc\nd\ne\nf\ng\nh\n"


def test_a_log_that_was_rotated_has_a_gap() -> None:
    entries = lines("a", "b", "c", "d")
    reader = Reader()
    reader.connect(entries[:2])
    with pytest.raises(LogGap, match="lines are missing"):
        reader.connect(entries[2:])


def test_a_log_that_was_rotated_has_a_gap_even_when_nothing_is_in_the_new_file() -> None:
    reader = Reader()
    reader.connect(lines("a", "b"))
    with pytest.raises(LogGap):
        reader.connect([])


def test_another_text_at_the_same_time_is_a_gap() -> None:
    reader = Reader()
    reader.connect(lines("a", "b"))
    with pytest.raises(LogGap):
        reader.connect(lines("a", "c", "d"))


@pytest.mark.parametrize("apart", [True, False])
def test_an_error_of_the_kubelet_between_the_lines_is_a_remark_and_no_text(apart: bool) -> None:
    position, said = Position(), b"failed to create fsnotify watcher: too many open files"
    pieces = [kubelet(lines("a", "b")), said] if apart else [kubelet(lines("a", "b")) + said]
    assert b"".join(position.advance(piece) for piece in pieces) == b"a\nb\n"
    assert position.remark == said.decode()
    assert Seam(position)(kubelet(lines("a", "b", "c"))) == kubelet(lines("a", "b", "c"))[-33:]
    assert position.advance(kubelet(lines("c", start=START + 2 * SECOND))) == b"c\n"
    assert not position.remark


def test_a_server_that_writes_no_times_is_read_as_it_is() -> None:
    position = Position()
    assert position.advance(b"plain\nold") == b"plain\nold"
    seam = Seam(position)
    assert seam(b"plain\nold kubelet\n") == b" kubelet\n"


def test_a_time_that_was_cut_off_is_no_text() -> None:
    settled = Settled()
    assert settled(b"2027-01-15T08:00:00Z a\n2027-01-15T08:0") == b"2027-01-15T08:00:00Z a\n"
    assert settled.rest() == b""


def test_a_line_without_end_is_passed_on_as_it_grows() -> None:
    settled, position = Settled(), Position()
    assert position.advance(settled(b"2027-01-15T08:00:00Z 10%")) == b"10%"
    assert position.advance(settled(b"\r20%")) == b"\r20%"


def test_times_with_an_offset_are_understood() -> None:
    position = Position()
    position.advance(b"2027-01-15T10:00:00.123456789+02:00 a\n")
    assert position.since is not None
    assert position.since.isoformat() == "2027-01-15T07:59:50.123456+00:00"
