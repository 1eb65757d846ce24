"""What can be read of a log in the archive, by offset, by lines from its end, and by time; opens no more than it must.

A chunk that stays damaged however often it is read, or is gone, is no reason to read nothing of the rest: a line says
so in its place, as long as what is missing, and the end of the log names it from then on. `logs` adds what is written.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress

import msgspec
import structlog

from longshore.archive.log_chunk import (
    DAMAGED,
    FOOTER_BYTES,
    MOST_GAPS,
    Chunk,
    Damaged,
    Footer,
    Gap,
    decode,
    footer,
    lost,
)
from longshore.archive.objects import Objects
from longshore.archive.paths import segment
from longshore.errors import LongshoreError, NotFound, Unavailable

CHUNK = 1024 * 1024  # bytes of text after which a chunk is closed
TRIES = 3
AGAIN_SECONDS = 0.2
END = "end"
LATE = ".late"
_ALWAYS = "9"  # a time after any, as text
_HOLE = "restore the chunks from a backup of the archive"
log = structlog.get_logger(__name__)


class End(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a stream was in the end: its bytes, whether they are all there were, and what is missing where.

    `late`: bytes that came when it had been closed, and are kept beside it.
    """

    size: int
    complete: bool = True
    gaps: tuple[Gap, ...] = ()
    late: int = 0

    @property
    def why(self) -> str | None:
        """The gaps in one sentence."""
        said = [gap.why for gap in self.gaps]
        if self.late:
            said.append(f"{self.late} bytes came when it was closed already, and are read with late=true")
        return "; ".join(dict.fromkeys(said)) or None


class LogStream(msgspec.Struct, frozen=True):
    """One container's output: `size` in bytes so far; `end` once it is over."""

    name: str
    size: int
    end: End | None = None


class Kept(msgspec.Struct, frozen=True, gc=False, order=True):
    """A chunk as it lies there: where it starts, and how many bytes the object has."""

    start: int
    bytes: int
    path: str


class LogReader:
    """Log streams by tenant, id and stream name; a `strict` one raises Damaged instead of reading on."""

    def __init__(self, objects: Objects, *, strict: bool = False) -> None:
        self._objects = objects
        self._strict = strict

    async def end(self, tenant: str, id: str, stream: str) -> End | None:
        """What was said at its end; None while it is not over."""
        try:
            return msgspec.json.decode(await self._objects.get(folder_of(tenant, id, stream) + END), type=End)
        except NotFound:
            return None

    async def chunks(self, tenant: str, id: str, stream: str, until: int | None = None) -> list[Kept]:
        """The chunks of a stream in order, that begin before offset `until`; none when there is no such stream."""
        folder = folder_of(tenant, id, stream)
        found = in_order(folder, [(path, size) async for path, size in self._objects.list(folder)])
        return [kept for kept in found if until is None or kept.start < until]

    async def about(self, kept: Kept) -> Footer:
        """What one chunk is, by its last bytes alone. A damaged one counts as long as its object, and of any time."""
        try:
            for wanted in (FOOTER_BYTES, kept.bytes):
                found = footer(await self._objects.get_range(kept.path, max(0, kept.bytes - wanted), kept.bytes))
                if found is not None:
                    return found
            raise Damaged
        except Damaged:
            if self._strict:
                raise
            return Footer(size=kept.bytes, last=_ALWAYS)

    async def open(self, kept: Kept) -> Chunk:
        """The whole chunk. Raises Damaged."""
        return decode(kept.start, await self._objects.get(kept.path))

    async def opened(self, kept: Kept, end: int | None = None) -> Chunk:
        """The whole chunk; in place of one that stays damaged a line that says so, up to where the next one begins, or
        would as its own end says."""
        for number in range(TRIES):
            try:
                return await self.open(kept)
            except Damaged:
                if self._strict:
                    raise
                if number < TRIES - 1:
                    await asyncio.sleep(AGAIN_SECONDS)
        log.error("a chunk of a log is damaged", path=kept.path, hint=_HOLE)
        if end is None:
            end = kept.start + min((await self.about(kept)).size, kept.bytes)
        return lost(kept.start, end)

    async def newest(self, chunks: list[Kept]) -> Chunk:
        """The last of these, to go on after. What a damaged one held is read again, and comes after its place."""
        if not chunks:
            return Chunk(0, b"", [])
        last = await self.opened(chunks[-1])
        if Gap(last.start, DAMAGED) not in last.gaps:
            return last
        before = await self.newest(chunks[:-1])
        gaps = (*before.gaps, *last.gaps)[-MOST_GAPS:]
        return msgspec.structs.replace(last, since=before.newest, place=before.place, gaps=gaps)

    async def read(
        self, tenant: str, id: str, stream: str, start: int = 0, until: int | None = None
    ) -> AsyncGenerator[Chunk, None]:
        """What there is from offset `start` on, chunk after chunk; nothing where nothing is. `until`: the size that a
        stream has that is over; what someone put below it who had more, where chunks were merged, does not go on."""
        at, again, holes = start, True, 0
        while again:
            again = False
            found = _from(await self.chunks(tenant, id, stream, until), at)
            ends = [kept.start for kept in found[1:]] + [until]
            for kept, end in zip(found, ends, strict=False):
                if kept.start > at and (holes := holes + 1) < TRIES:
                    again = True
                    await asyncio.sleep(AGAIN_SECONDS)
                    break
                if kept.start > at:
                    async for filler in self._missing(tenant, id, stream, at, kept.start):
                        yield filler
                    at, holes = kept.start, 0
                try:
                    chunk = (await self.opened(kept, end)).upto(until)
                except NotFound:  # merged into the one before it meanwhile
                    again = True
                    break
                if Gap(chunk.start, DAMAGED) in chunk.gaps:
                    await self._name(tenant, id, stream, chunk.start)
                if chunk.end > at:
                    yield chunk.cut(at)
                    at = chunk.end
        if until is not None and at < until:
            async for filler in self._missing(tenant, id, stream, at, until):
                yield filler

    async def _missing(self, tenant: str, id: str, stream: str, start: int, end: int) -> AsyncGenerator[Chunk, None]:
        if self._strict:
            raise LongshoreError(
                f"the log {stream} of {id} is damaged: bytes {start} and {end} should meet", hint=_HOLE
            )
        log.error("a part of a log is missing", id=id, stream=stream, start=start, end=end, hint=_HOLE)
        await self._name(tenant, id, stream, start)
        for at in range(start, end, CHUNK):
            yield lost(at, min(end, at + CHUNK))

    async def _name(self, tenant: str, id: str, stream: str, offset: int) -> None:
        """From now on the end of the log says that it is not whole."""
        gap = Gap(offset, DAMAGED)
        with suppress(Unavailable):  # whoever reads next says it
            end = await self.end(tenant, id, stream)
            if end is not None and gap not in end.gaps:
                named = msgspec.structs.replace(end, complete=False, gaps=(*end.gaps, gap)[:MOST_GAPS])
                await self._objects.put(folder_of(tenant, id, stream) + END, msgspec.json.encode(named))

    async def size(self, tenant: str, id: str, stream: str) -> int:
        """Bytes that are there now."""
        chunks = await self.chunks(tenant, id, stream)
        return chunks[-1].start + (await self.about(chunks[-1])).size if chunks else 0

    async def start_of_last(
        self, tenant: str, id: str, stream: str, lines: int, until: int | None = None
    ) -> tuple[int, int]:
        """The offset where the last `lines` lines begin and how many they are; opens the chunks that hold them, from
        the end. A newline at the very end ends a line and begins none."""
        chunks = await self.chunks(tenant, id, stream, until)
        found, start = 0, 0
        for number, kept in enumerate(reversed(chunks)):
            chunk = (await self.opened(kept)).upto(until)
            until = kept.start  # what is merged into this one may still be there, and was counted
            if number == 0:
                start = chunk.end
            if lines <= 0:
                break
            begun = len(chunk.times)
            if found + begun >= lines:
                return chunk.line_start(begun - (lines - found)), lines
            found += begun
            start = chunk.start
        return start, found

    async def start_of_time(self, tenant: str, id: str, stream: str, since: str, end: End | None = None) -> int:
        """The start of the first chunk that reaches this time, found by opening the ends of a few; the end of the
        stream where none does. `since` is a kubelet's time, compared as text; `end` that of a stream that is over."""
        chunks = await self.chunks(tenant, id, stream, end.size if end else None)
        low, high = 0, len(chunks)
        while low < high:
            middle = (low + high) // 2
            if (await self.about(chunks[middle])).last >= since:
                high = middle
            else:
                low = middle + 1
        # what a node's clock that was set back wrote may lie one chunk earlier
        low = max(0, low - 1)
        return chunks[low].start if low < len(chunks) else 0


def _from(chunks: list[Kept], start: int) -> list[Kept]:
    """The chunks that hold what is at offset `start` and after it."""
    first = max((number for number, kept in enumerate(chunks) if kept.start <= start), default=0)
    return chunks[first:]


def in_order(folder: str, found: list[tuple[str, int]]) -> list[Kept]:
    chunks = ((path.removeprefix(folder).removesuffix(".log"), size, path) for path, size in found)
    return sorted(Kept(int(start), size, path) for start, size, path in chunks if path.endswith(".log"))


def folder_of(tenant: str, id: str, stream: str) -> str:
    return f"logs/{segment(tenant)}/{segment(id)}/{segment(stream)}/"
