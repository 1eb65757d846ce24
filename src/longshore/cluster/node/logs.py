"""Reads a container's log file (see `shim.pump` for its format) the way `kubectl logs` asks for it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from longshore.cluster.node.shim.pump import KEPT_BYTES, timestamp

_CHUNK = 1 << 20
_POLL_SECONDS = 0.1
_TIME = len("2026-01-31T12:00:00.123456789Z")
_TAG = _TIME + len(" stdout ")
_TEXT = _TAG + len("F ")


class Options(Struct, frozen=True, gc=False):
    """The options of GET pods/log. `since` in nanoseconds since the epoch."""

    follow: bool = False
    timestamps: bool = False
    previous: bool = False
    tail: int | None = None
    since: int | None = None
    limit_bytes: int | None = None


async def read(path: Path, options: Options, has_ended: Callable[[], bool]) -> AsyncIterator[bytes]:
    """The log's text in chunks; with `follow` until `has_ended` says that nothing will be added."""
    left = options.limit_bytes
    render = Renderer(timestamps=options.timestamps)
    async for entries in _entries(path, options, has_ended):
        text = render(entries)
        if left is not None:
            text = text[:left]
            left -= len(text)
        if text:
            yield text
        if left == 0:
            return


class Renderer:
    """Entries as text. A partial line is joined with what follows it, so it must be remembered between chunks."""

    def __init__(self, *, timestamps: bool) -> None:
        self._timestamps = timestamps
        self._in_line = False

    def __call__(self, entries: bytes) -> bytes:
        """`entries` are whole ones; the part before an entry's text has a fixed width."""
        lines = entries.split(b"\n")
        lines.pop()  # what follows the last newline: nothing
        if self._in_line or b" P " in entries:
            return b"".join(part for line in lines for part in self._parts(line))
        if self._timestamps:
            return b"\n".join([line[: _TIME + 1] + line[_TEXT:] for line in lines]) + b"\n"
        return b"\n".join([line[_TEXT:] for line in lines]) + b"\n"

    def _parts(self, line: bytes) -> Iterator[bytes]:
        if self._timestamps and not self._in_line:
            yield line[: _TIME + 1]
        yield line[_TEXT:]
        self._in_line = line[_TAG : _TAG + 1] == b"P"
        if not self._in_line:
            yield b"\n"


async def _entries(path: Path, options: Options, has_ended: Callable[[], bool]) -> AsyncIterator[bytes]:
    with path.open("rb", buffering=0) as file:
        place = 0 if options.tail is None else await asyncio.to_thread(tail_offset, path, options.tail)
        since = None if options.since is None else timestamp(options.since).encode()
        while True:
            over = has_ended()  # asked before reading: what was written before the end is read after it
            before = place
            entries, place = await asyncio.to_thread(_read, file.fileno(), before)
            if since and entries:
                entries = _after(entries, since)
                since = None if entries else since
            if entries:
                yield entries
            if place == before:
                if over or not options.follow:
                    return
                await asyncio.sleep(_POLL_SECONDS)


def _read(descriptor: int, place: int) -> tuple[bytes, int]:
    """The whole entries from this place on, and the place after them."""
    start, data = place, os.pread(descriptor, _CHUNK, place)
    while (kept := _kept(descriptor, start)) > start:  # what was there has been dropped, perhaps while it was read
        start, data = kept, os.pread(descriptor, _CHUNK, kept)
    entries = data[: data.rfind(b"\n") + 1]
    return entries if start == place else _after_hole(entries, start), start + len(entries)


def _kept(descriptor: int, place: int) -> int:
    """The first byte from `place` on that has not been dropped; at the end, and where no holes are known, `place`."""
    try:
        return os.lseek(descriptor, place, os.SEEK_DATA)
    except OSError:
        return place


def _after_hole(data: bytes, start: int) -> bytes:
    """The entries after a hole, of which the first one was cut, and one before them that says so."""
    entries = data.partition(b"\n")[2]
    text = f"[longshore: the log's first {start >> 20} MiB were dropped; its last {KEPT_BYTES >> 20} MiB are kept]"
    return b"%s stdout F %s\n%s" % (entries[:_TIME], text.encode(), entries)


def tail_offset(path: Path, lines: int) -> int:
    """Where the last so many lines begin; 0 when not as many are kept."""
    with path.open("rb") as file:
        start = _kept(file.fileno(), 0)
        position = file.seek(0, os.SEEK_END)
        wanted = lines + 1  # the newline that ends the line before
        while position > start:
            size = min(_CHUNK, position - start)
            position -= size
            file.seek(position)
            data = file.read(size)
            found = data.count(b"\n")
            if found >= wanted:
                for _ in range(wanted):
                    size = data.rfind(b"\n", 0, size)
                return position + size + 1
            wanted -= found
    return 0


def _after(entries: bytes, since: bytes) -> bytes:
    """The entries from this time on; RFC 3339 with fixed width sorts as text."""
    if entries[: len(since)] >= since:
        return entries
    last = entries.rfind(b"\n", 0, len(entries) - 1) + 1
    if entries[last : last + len(since)] < since:
        return b""
    position = 0
    while entries[position : position + len(since)] < since:
        position = entries.index(b"\n", position) + 1
    return entries[position:]


def nanoseconds(time: datetime) -> int:
    return int(time.timestamp()) * 1_000_000_000 + time.microsecond * 1000
