"""Chunks of a log: whatever is cut, joined and kept, bytes and times stay where they are."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.archive.log_chunk import Chunk, Gap, decode, encode, footer, joined
from longshore.errors import LongshoreError

from .log_lines import chunk, stamped

texts = st.lists(
    st.one_of(st.just(b"\n"), st.binary(max_size=12).map(lambda line: line.replace(b"\n", b"\r") + b"\n")), max_size=12
).flatmap(lambda lines: st.sampled_from([lines, [*lines, b"no end"]]))


@given(texts, st.data())
def test_cut_at_any_bytes_and_joined_again_it_is_the_same(lines: list[bytes], data: st.DataObject) -> None:
    log = stamped(lines)
    size = sum(len(line) for line in lines)
    cuts = sorted(data.draw(st.sets(st.integers(0, size), max_size=6)) | {0, size})
    parts = [chunk(log, start, end) for start, end in pairwise(cuts)] or [chunk(log, 0, 0)]
    whole = joined(parts)
    assert whole.text == b"".join(lines)
    assert list(whole.lines()) == [(time, text) for time, text in log if text]
    for part in parts:
        assert decode(part.start, encode(part)) == part
    at = data.draw(st.integers(0, size))
    cut = whole.cut(at)
    assert cut.text == b"".join(lines)[at:]
    if cut.text:
        assert list(cut.lines()) == list(chunk(log, at, size).lines())


@given(texts.filter(bool))
def test_a_chunk_knows_where_its_lines_begin(lines: list[bytes]) -> None:
    log = stamped(lines)
    whole = chunk(log, 0, sum(len(line) for line in lines))
    for number in range(len(lines)):
        assert whole.line_start(number) == sum(len(line) for line in lines[:number])


def test_what_it_is_is_read_from_its_end_alone() -> None:
    kept = encode(Chunk(7, b"a\nb\n", [b"t1", b"t2"], place=b'{"x":1}', gaps=(Gap(3, "lost"),)))
    about = footer(kept[-300:])
    assert about is not None
    assert (about.size, about.first, about.last, about.gaps) == (4, "t1", "t2", (Gap(3, "lost"),))
    assert bytes(about.place) == b'{"x":1}'
    assert footer(kept[-20:]) is None
    for damaged in (b"", b"nonsense", kept[:-1], kept[5:]):
        with pytest.raises(LongshoreError, match="damaged"):
            decode(7, damaged)
