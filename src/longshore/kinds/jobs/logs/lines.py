"""Chooses among the lines of a log: by time, by what is in them or matches, with lines around; and shows times. No I/O.

`answer` feeds it the log in chunks, of any size and cut anywhere, and sends what it returns.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from longshore.archive.log_chunk import Chunk
from longshore.errors import UserMistake

MOST_CONTEXT = 1000
# of a line that has no end; what is longer is judged in pieces
LONGEST_LINE = 1 << 20
CONTEXT_BYTES = 1 << 20  # that are held for what may come before a hit; of more lines the oldest are left out
# how far lines may be written in another order than they are stamped
DISORDER = timedelta(seconds=10)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d)")
_FRACTION = re.compile(r"\.(\d+)")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def moment(text: str, now: datetime, field: str) -> str:
    """A time of RFC 3339, or a duration before now (10m, 2h), as text that compares with a kubelet's times."""
    try:
        if match := _DURATION.fullmatch(text):
            return stamp(now - timedelta(seconds=float(match[1]) * _UNITS[match[2]]))
        found = datetime.fromisoformat(text.replace(" ", "+"))
        if found.tzinfo is not None:
            nanoseconds = f"{fraction[1]:0<9}"[:9] if (fraction := _FRACTION.search(text)) else "0" * 9
            return f"{found.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{nanoseconds}Z"
    except (ValueError, OverflowError):  # no time, or one before the first
        pass
    hint = "a time with its zone, such as 2026-11-28T12:00:00Z, or how long ago: 90s, 10m, 2h, 1d"
    raise UserMistake(f"{text[:50]!r} is no time", hint=hint, field=field)


def stamp(when: datetime) -> str:
    """As a kubelet writes it: nine digits after the second, of which a datetime has six."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")


class Newest:
    """The newest of many lines: so many of them, and of so many bytes, at most; one line at least is always kept."""

    def __init__(self, lines: int, most_bytes: int) -> None:
        self._lines, self._most = lines, most_bytes
        self._kept: deque[bytes] = deque()
        self._bytes = 0

    def add(self, line: bytes) -> None:
        if not self._lines:
            return
        self._kept.append(line)
        self._bytes += len(line)
        while len(self._kept) > self._lines or (self._bytes > self._most and len(self._kept) > 1):
            self._bytes -= len(self._kept.popleft())

    def take(self) -> bytes:
        """All of them; none is left."""
        taken = b"".join(self._kept)
        self._kept.clear()
        self._bytes = 0
        return taken


class Lines:
    """`feed` chunk after chunk, then `rest`; each returns what is to be shown of it. Times are inclusive.

    A line of which no time is known, or that is cut, counts as written with the one before it.
    """

    def __init__(
        self,
        *,
        since: str = "",
        until: str = "",
        search: bytes | Callable[[bytes], bool] = b"",
        context: int = 0,
        timestamps: bool = False,
    ) -> None:
        self._since, self._until = since.encode(), until.encode()
        self._beyond = _after(until).encode() if until else b""
        self._search = search
        self._hits = search if callable(search) else None
        self._timestamps = timestamps
        self._before = Newest(context, CONTEXT_BYTES)
        self._context = context
        self._owed = 0  # lines after a hit
        self._held = b""  # the beginning of a line whose end has not come
        self._held_time = b""
        self._time = b""
        self.over = False  # nothing that could come is wanted

    @property
    def since(self) -> str:
        return self._since.decode()

    @property
    def slow(self) -> bool:
        """Whether a chunk may take so long that nothing else should wait for it."""
        return self._hits is not None

    @property
    def every_line(self) -> bool:
        """Whether no line is left out."""
        return not (self._since or self._until or self._search)

    @property
    def plain(self) -> bool:
        """Whether everything is shown as it is."""
        return self.every_line and not self._timestamps

    def _is_hit(self, text: bytes) -> bool:
        if self._hits is not None:
            return self._hits(text.removesuffix(b"\n"))
        return isinstance(self._search, bytes) and self._search in text

    def feed(self, chunk: Chunk) -> bytes:
        if self.plain:
            return chunk.text
        if self._beyond and chunk.times and min(chunk.times) > self._beyond:
            self.over = True
            return b""
        return b"".join([shown for time, text in chunk.lines() if (shown := self._part(time, text))])

    def rest(self) -> bytes:
        """What is left when the log, or this attempt's, is over."""
        held, self._held = self._held, b""
        return self._line(self._held_time, held) if held else b""

    def _part(self, time: bytes, text: bytes) -> bytes:
        if self._held:
            text, time, self._held = self._held + text, self._held_time, b""
        if not text.endswith(b"\n") and len(text) < LONGEST_LINE:
            self._held, self._held_time = text, time
            return b""
        return self._line(time, text)

    def _line(self, time: bytes, text: bytes) -> bytes:
        self._time = time = time or self._time
        if time < self._since or (self._until and time > self._until):
            return b""
        line = time + b" " + text if self._timestamps and time else text
        if not self._search or self._is_hit(text):
            shown = self._before.take() + line
            self._owed = self._context
            return shown
        if self._owed:
            self._owed -= 1
            return line
        self._before.add(line)
        return b""


def _after(until: str) -> str:
    return stamp(datetime.fromisoformat(until[:26] + "+00:00") + DISORDER)
