"""Where a reader is in a container's log, so that another connection can go on from the very next byte. No I/O.

The API offers no offsets: only `sinceTime`, in whole seconds, and the time that the kubelet writes before each line.
So the position is a mark, the newest time seen so far, and the number of bytes since the first line of that time.
Another connection asks for the log from a little before the mark, drops what comes before the first line of that time
(nothing before it can be as new) and then so many bytes, of which a checksum says that they are the same. Lines of
equal times, lines longer than the 16 KiB at which runtimes split them, a break in the middle of a line, and times that
go back are all covered by counting bytes.
Source: API reference, PodLogOptions; k8s.io/cri-client logs.go for what the kubelet sends.
"""

import re
import zlib
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from longshore.errors import Gone

# A line with its time, where it bears one, and its text. (To match whole lines is twice as fast as to look for times.)
_LINE = re.compile(rb"(?:(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)) )?([^\n]*\n?)")
_CUT_TIME = re.compile(rb"[\dTZ:.+-]*")
_TIME_MAX = 40  # bytes, an ample bound: 2026-01-31T12:00:00.123456789+02:00 has 35
# Stdout and stderr may be written in another order than they were stamped, and clocks are set. What a node writes just
# after its clock was set back by more than this, and just while the connection is broken, cannot be asked for.
_OVERLAP = timedelta(seconds=10)


class LogGap(Gone):
    """The rest of a log cannot be joined to what was read: it was rotated, or its container or pod is another now."""


class Settled:
    """Cuts a stream anew so that no piece ends within the time of a line."""

    def __init__(self) -> None:
        self._held = b""
        self._in_line = False

    def __call__(self, chunk: bytes) -> bytes:
        data = self._held + chunk
        newline = data.rfind(b"\n")
        last = data[newline + 1 :] if newline >= 0 or not self._in_line else b""
        self._held = last if last and len(last) < _TIME_MAX and b" " not in last else b""
        piece = data[: len(data) - len(self._held)]
        self._in_line = not piece.endswith(b"\n") if piece else self._in_line
        return piece

    def rest(self) -> bytes:
        """What was held back when the stream ended, unless it is a time that was cut off."""
        return b"" if _CUT_TIME.fullmatch(self._held) else self._held


class Mark(Struct, frozen=True, gc=False, omit_defaults=True):
    """A position as it can be kept, to go on from it in another process."""

    newest: str = ""
    behind: int = 0
    sum: int = 0
    oldest: str = ""
    in_line: bool = False


class Position:
    """Starts at the beginning of what is read, or at a mark; `advance` takes the settled pieces of a log whose lines
    bear times, and returns them with or without these.
    """

    def __init__(self, *, times: bool = False, mark: Mark | None = None) -> None:
        mark = mark or Mark()
        self._times = times
        # the newest time so far; as text, which sorts as long as a node keeps to one format
        self._mark = mark.newest.encode()
        self._behind = mark.behind  # bytes since the start of the first line of that time
        self._sum = mark.sum  # of these bytes
        # the oldest time that must be asked for to see the mark and all after it again
        self._oldest = mark.oldest.encode()
        self._in_line = mark.in_line
        self.remark = ""  # an error that the kubelet wrote between the lines, where `advance` met one
        self.times: list[
            bytes
        ] = []  # of each line that began in what `advance` was last given, b"" where it bears none

    def advance(self, piece: bytes) -> bytes:
        """Go on by these bytes. What bears no time from the start on is taken as it is; after a line that does, it is
        a `remark`, and the position stays before it.
        """
        start = _start_of_lines(piece, self._in_line)
        parts = _parts(piece[start:])
        times = [time for time, _ in parts if time]
        self.remark = ""
        if len(times) < len(parts) and (self._mark or parts[0][0]):
            said = next(number for number, (time, _) in enumerate(parts) if not time)
            self.remark = parts[said][1].decode(errors="replace").strip()
            parts, times = parts[:said], times[:said]
            piece = piece[: start + sum(len(time) + 1 + len(text) for time, text in parts)]
        self.times = [time for time, _ in parts]
        lines = piece[start:]
        newest = max(times, default=b"")
        if newest > self._mark:
            first = times.index(newest)
            # Up to the line before: the end of a longer one of its second would be mistaken for the mark otherwise.
            self._oldest = min(max([self._mark, *times[:first]]) or newest, *times[first:])
            self._mark = newest
            since_mark = lines[_offset(lines, newest) :]
            self._behind, self._sum = len(since_mark), zlib.crc32(since_mark)
        else:
            self._oldest = min([self._oldest, *times])
            self._behind, self._sum = self._behind + len(piece), zlib.crc32(piece, self._sum)
        if piece:
            self._in_line = not piece.endswith(b"\n")
        return piece if self._times else piece[:start] + b"".join([text for _, text in parts])

    @property
    def mark(self) -> Mark:
        """What `Position(mark=...)` goes on from."""
        return Mark(self._mark.decode(), self._behind, self._sum, self._oldest.decode(), self._in_line)

    @property
    def since(self) -> datetime | None:
        """From when on another connection must ask for the log; None for all of it."""
        return _moment(self._oldest) - _OVERLAP if self._mark else None

    @property
    def begun(self) -> bool:
        """Whether there is anything to go on from."""
        return bool(self._mark)


class Seam:
    """Drops from a stream that was asked for `since` a position, settled, what lies before the position."""

    def __init__(self, position: Position) -> None:
        self._mark = position._mark
        self._skip = position._behind
        self._wanted, self._sum = position._sum, 0
        self._in_line = False
        self._found = not self._mark

    def __call__(self, piece: bytes) -> bytes:
        """Raises LogGap when what was read is not there any more."""
        if not self._found:
            piece = self._from_mark(piece)
        if not self._skip:
            return piece
        seen, new = piece[: self._skip], piece[self._skip :]
        self._skip -= len(seen)
        self._sum = zlib.crc32(seen, self._sum)
        if not self._skip and self._sum != self._wanted:
            raise _gap()
        return new

    def ended(self) -> None:
        """The stream is over. Raises LogGap when it ended before the position."""
        if not self._found or self._skip:
            raise _gap()

    def _from_mark(self, piece: bytes) -> bytes:
        start = _start_of_lines(piece, self._in_line)
        if piece:
            self._in_line = not piece.endswith(b"\n")
        if self._is_before(piece[start:]):
            return b""
        for time, _ in _parts(piece[start:]):
            if time > self._mark:
                raise _gap()
            if time == self._mark:
                self._found = True
                return piece[start + _offset(piece[start:], time) :]
        return b""

    def _is_before(self, lines: bytes) -> bool:
        """Whether all of this comes before the mark, as far as its last line tells: to look at each takes long."""
        if lines.startswith(self._mark + b" ") or b"\n" + self._mark + b" " in lines:
            return False
        last = _LINE.match(lines, lines.rfind(b"\n", 0, -1) + 1)
        return last is not None and (last[1] or b"") < self._mark


def _parts(lines: bytes) -> list[tuple[bytes, bytes]]:
    """The time, b"" where there is none, and the text of each line."""
    parts: list[tuple[bytes, bytes]] = _LINE.findall(lines)
    parts.pop()  # what follows the last line: nothing
    return parts


def _start_of_lines(piece: bytes, in_line: bool) -> int:
    return (piece.find(b"\n") + 1 or len(piece)) if in_line else 0


def _offset(lines: bytes, time: bytes) -> int:
    """Where the first line of this time begins."""
    return 0 if lines.startswith(time + b" ") else lines.index(b"\n" + time + b" ") + 1


def _moment(time: bytes) -> datetime:
    return datetime.fromisoformat(time.decode()).astimezone(UTC)


def _gap() -> LogGap:
    return LogGap(
        "lines are missing: the log was rotated or begun anew while the connection to it was broken",
        hint="read on from the start of what is there now",
    )
