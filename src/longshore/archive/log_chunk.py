"""A stretch of one container's output: its bytes, and when each line in it was written. No I/O.

As an object it is the plain text, then the times of the lines that begin in it, one a line, then one line of JSON about
both (Footer) and that line's length in 8 digits: a reader of plain text cuts it out, one of times opens the end first.
Offsets count bytes of the plain text from the start of the stream. `archive.logs` keeps chunks, the collectors make
them, `archive.spool` holds them until they are kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from zlib import crc32

import msgspec

from longshore.errors import LongshoreError

_DIGITS = 8
DAMAGED = "a part of it is damaged in the archive"
FOOTER_BYTES = 4096  # of an object's end hold any footer, save one that names very many gaps
MOST_GAPS = 50


class Damaged(LongshoreError):
    """What lies in the archive is not a chunk, or not the one that was put there."""

    def __init__(self) -> None:
        super().__init__("a chunk of a log is damaged", hint="restore it from a backup of the archive")


class Gap(msgspec.Struct, frozen=True, gc=False):
    """Something is missing before byte `offset`, and why, as a sentence."""

    offset: int
    why: str


class Footer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a chunk is. `size` and `times` are the bytes of its two parts; `first` and `last` the times it spans.

    `within` says that it begins in the middle of a line; `since` is the time of the line before its first one, or of
    that one; `place` is what its collector goes on from after it; `gaps` are all of the stream up to its end.
    """

    size: int
    times: int = 0
    first: str = ""
    last: str = ""
    within: bool = False
    since: str = ""
    place: msgspec.Raw = msgspec.Raw(b"null")
    gaps: tuple[Gap, ...] = ()
    crc: int | None = None  # of its text


class Chunk(msgspec.Struct, frozen=True):
    """`times` holds one entry for each line that begins in `text`, b"" where it is not known.

    `since` is the time of the line that it begins within, or else of the one before.
    """

    start: int
    text: bytes
    times: list[bytes]
    within: bool = False
    since: bytes = b""
    place: bytes = b"null"
    gaps: tuple[Gap, ...] = ()

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    @property
    def newest(self) -> bytes:
        """The time of its last line."""
        return self.times[-1] if self.times else self.since

    def lines(self) -> Iterator[tuple[bytes, bytes]]:
        """The time and the text of each line, or of the part of it that is in here."""
        if not self.text:
            return iter(())
        # bytes.splitlines is quicker, and cuts at carriage returns too
        texts = _split(self.text) if b"\r" in self.text else self.text.splitlines(keepends=True)
        return zip([self.since, *self.times] if self.within else self.times, texts, strict=True)

    def line_start(self, number: int) -> int:
        """The offset where the line begins that is the `number`-th, from 0, of those that begin in here."""
        at = self.text.index(b"\n") + 1 if self.within else 0
        for _ in range(number):
            at = self.text.index(b"\n", at) + 1
        return self.start + at

    def cut(self, start: int) -> Chunk:
        """The same without what lies before offset `start`."""
        if start <= self.start:
            return self
        start = min(start, self.end)
        dropped = self.text[: start - self.start]
        begun = lines_begun(dropped, self.within)
        return Chunk(
            start=start,
            text=self.text[len(dropped) :],
            times=self.times[begun:],
            within=not dropped.endswith(b"\n"),
            since=self.times[begun - 1] if begun > 0 else self.since,
            place=self.place,
            gaps=self.gaps,
        )

    def upto(self, end: int | None) -> Chunk:
        """The same without what lies from offset `end` on; None cuts nothing."""
        if end is None or end >= self.end:
            return self
        text = self.text[: max(0, end - self.start)]
        return msgspec.structs.replace(self, text=text, times=self.times[: lines_begun(text, self.within)])


def joined(chunks: list[Chunk]) -> Chunk:
    """Chunks that lie end to end as one."""
    first, last = chunks[0], chunks[-1]
    return Chunk(
        start=first.start,
        text=b"".join([chunk.text for chunk in chunks]),
        times=[time for chunk in chunks for time in chunk.times],
        within=first.within,
        since=first.since,
        place=last.place,
        gaps=last.gaps,
    )


def encode(chunk: Chunk) -> bytes:
    """As it is kept."""
    times = b"\n".join(chunk.times)
    known = [time for time in chunk.times if time] or [chunk.since]
    footer = Footer(
        size=len(chunk.text),
        times=len(times),
        first=min(known).decode(),
        last=max(known).decode(),
        within=chunk.within,
        since=chunk.since.decode(),
        place=msgspec.Raw(chunk.place),
        gaps=chunk.gaps,
        crc=crc32(chunk.text),
    )
    end = msgspec.json.encode(footer)
    return b"".join([chunk.text, times, b"\n", end, b"%0*d" % (_DIGITS, len(end))])


def footer(end: bytes) -> Footer | None:
    """What the last bytes of an object say; None when there are too few of them. Raises Damaged."""
    try:
        length = int(end[-_DIGITS:])
        if length > len(end) - _DIGITS:
            return None
        return msgspec.json.decode(end[-_DIGITS - length : -_DIGITS], type=Footer)
    except (ValueError, msgspec.DecodeError) as error:
        raise Damaged from error


def decode(start: int, kept: bytes) -> Chunk:
    """The chunk that begins at offset `start`, as it was kept. Raises Damaged."""
    about = footer(kept)
    if about is None or about.size + about.times + 1 + int(kept[-_DIGITS:]) + _DIGITS != len(kept):
        raise Damaged
    text, times = kept[: about.size], kept[about.size : about.size + about.times]
    if about.crc is not None and crc32(text) != about.crc:
        raise Damaged
    begun = lines_begun(text, about.within)
    stamps = times.split(b"\n") if about.times or begun else []
    if len(stamps) != begun:
        raise Damaged
    return Chunk(
        start=start,
        text=text,
        times=stamps,
        within=about.within,
        since=about.since.encode(),
        place=bytes(about.place),
        gaps=about.gaps,
    )


def lost(start: int, end: int) -> Chunk:
    """A line in the place of bytes that nobody can read any more, as long as these were, so that no offset moves."""
    size = end - start
    said = b"[longshore: %d bytes of this log are damaged in the archive" % size
    text = said + b"." * (size - len(said) - 2) + b"]\n"
    if len(text) > size:
        text = text[: size - 1] + b"\n" if size else b""
    return Chunk(start, text, [b""] if text else [], gaps=(Gap(start, DAMAGED),))


def lines_begun(text: bytes, within: bool) -> int:
    """How many lines begin in this text."""
    return text.count(b"\n") + bool(text) - text.endswith(b"\n") - (within and bool(text))


def _split(text: bytes) -> list[bytes]:
    """Lines with their newlines."""
    lines = text.split(b"\n")
    last = lines.pop()
    return [line + b"\n" for line in lines] + ([last] if last else [])
