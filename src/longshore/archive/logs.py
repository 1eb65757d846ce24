"""The output of containers as one stream of bytes each, with offsets that stay valid for life.

`logs/{tenant}/{id}/{stream}/{offset:020d}.log`: chunks (`archive.log_chunk`), each named by where its text begins, so
that a reader goes to any offset and a tail reads only the end; a time is found by opening the ends of a few. A stream
is one container of one attempt; `end` beside its chunks says that it is over, and whether all of it is there.

The collectors write here, and two of them may at a time: a chunk is put where none is, so whoever comes second reads
what the first one kept and goes on after it. The API and the archiver read.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

import msgspec

from longshore.archive.log_chunk import FOOTER_BYTES, Chunk, Footer, Gap, decode, encode, footer, joined
from longshore.archive.objects import Objects
from longshore.archive.paths import segment
from longshore.errors import AlreadyExists, LongshoreError, NotFound

CHUNK = 1024 * 1024  # bytes of text after which a chunk is closed
_END = "end"
_DAMAGED = "an upload may be going on; if this stays, restore the chunks from a backup of the archive"


class End(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a stream was in the end: its bytes, whether they are all there were, and what is missing where."""

    size: int
    complete: bool = True
    gaps: tuple[Gap, ...] = ()

    @property
    def why(self) -> str | None:
        """The gaps in one sentence."""
        return "; ".join(dict.fromkeys(gap.why for gap in self.gaps)) or None


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


class Logs:
    """Log streams by tenant, id and stream name."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    async def append(self, tenant: str, id: str, stream: str, chunk: Chunk) -> bool:
        """Keep a chunk where none begins yet. False when another one begins there, which stays: go on after it."""
        path = f"{_folder(tenant, id, stream)}{chunk.start:020d}.log"
        kept = encode(chunk)
        try:
            await self._objects.put(path, kept, if_absent=True)
        except AlreadyExists:
            return await self._objects.get(path) == kept
        return True

    async def close(self, tenant: str, id: str, stream: str, end: End) -> End:
        """Say that the stream is over; returns what counts. A mark that says more is never taken back."""
        path, said = _folder(tenant, id, stream) + _END, msgspec.json.encode(end)
        try:
            await self._objects.put(path, said, if_absent=True)
        except AlreadyExists:
            there = await self.end(tenant, id, stream)
            if there is not None and (there.complete, there.size) >= (end.complete, end.size):
                return there
            await self._objects.put(path, said)
        return end

    async def end(self, tenant: str, id: str, stream: str) -> End | None:
        """What was said at its end; None while it is not over."""
        try:
            return msgspec.json.decode(await self._objects.get(_folder(tenant, id, stream) + _END), type=End)
        except NotFound:
            return None

    async def streams(self, tenant: str, id: str) -> list[LogStream]:
        """What there is of one work item, sorted by name."""
        last: dict[str, Kept | None] = {}
        over: set[str] = set()
        async for path, size in self._objects.list(f"logs/{segment(tenant)}/{segment(id)}/"):
            *_, name, file = path.split("/")
            if file == _END:
                over.add(name)
                last.setdefault(name, None)
                continue
            kept = Kept(int(file.removesuffix(".log")), size, path)
            last[name] = max(kept, last.get(name) or kept)
        return [await self._stream(tenant, id, name, last[name], name in over) for name in sorted(last)]

    async def _stream(self, tenant: str, id: str, name: str, last: Kept | None, over: bool) -> LogStream:
        end = await self.end(tenant, id, name) if over else None
        if end is not None:
            return LogStream(name, end.size, end)
        return LogStream(name, last.start + (await self.about(last)).size if last else 0)

    async def chunks(self, tenant: str, id: str, stream: str) -> list[Kept]:
        """The chunks of a stream in order; none when there is no such stream."""
        folder = _folder(tenant, id, stream)
        return _sorted(folder, [(path, size) async for path, size in self._objects.list(folder)])

    async def state(self, tenant: str, id: str, stream: str) -> tuple[list[Kept], End | None]:
        """The chunks in order, and what was said at its end; by one listing while it is not over."""
        folder = _folder(tenant, id, stream)
        found = [(path, size) async for path, size in self._objects.list(folder)]
        over = any(path == folder + _END for path, _ in found)
        return _sorted(folder, found), await self.end(tenant, id, stream) if over else None

    async def about(self, kept: Kept) -> Footer:
        """What one chunk is, by its last bytes alone."""
        for wanted in (FOOTER_BYTES, kept.bytes):
            found = footer(await self._objects.get_range(kept.path, max(0, kept.bytes - wanted), kept.bytes))
            if found is not None:
                return found
        raise LongshoreError(f"{kept.path} is damaged", hint=_DAMAGED)

    async def open(self, kept: Kept) -> Chunk:
        """The whole chunk."""
        return decode(kept.start, await self._objects.get(kept.path))

    async def read(self, tenant: str, id: str, stream: str, start: int = 0) -> AsyncGenerator[Chunk, None]:
        """What there is from offset `start` on, chunk after chunk; nothing where nothing is. Holes raise."""
        at, again = start, True
        while again:
            again = False
            for kept in _from(await self.chunks(tenant, id, stream), at):
                try:
                    chunk = await self.open(kept)
                except NotFound:  # merged into the one before it meanwhile
                    again = True
                    break
                if kept.start > at:
                    why = f"the log {stream} of {id} is damaged: bytes {at} and {kept.start} should meet"
                    raise LongshoreError(why, hint=_DAMAGED)
                if chunk.end > at:
                    yield chunk.cut(at)
                    at = chunk.end

    async def size(self, tenant: str, id: str, stream: str) -> int:
        """Bytes that are there now."""
        chunks = await self.chunks(tenant, id, stream)
        return chunks[-1].start + (await self.about(chunks[-1])).size if chunks else 0

    async def start_of_last(self, tenant: str, id: str, stream: str, lines: int) -> tuple[int, int]:
        """The offset where the last `lines` lines begin and how many they are; opens the chunks that hold them, from
        the end. A newline at the very end ends a line and begins none."""
        chunks = await self.chunks(tenant, id, stream)
        found, start = 0, 0
        for number, kept in enumerate(reversed(chunks)):
            chunk = await self.open(kept)
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

    async def start_of_time(self, tenant: str, id: str, stream: str, since: str) -> int:
        """The start of the first chunk that reaches this time, found by opening the ends of a few; the end of the
        stream where none does. `since` is a kubelet's time, compared as text."""
        chunks = await self.chunks(tenant, id, stream)
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

    async def merge(self, tenant: str, id: str, stream: str) -> None:
        """Make few chunks of the many that a slow log leaves; for one that is over.

        The first of each run becomes all of it before the others go, so that a reader in between misses nothing.
        """
        run: list[Kept] = []
        size = 0
        for kept in [*await self.chunks(tenant, id, stream), None]:
            if kept is not None and size + kept.bytes <= CHUNK:
                run.append(kept)
                size += kept.bytes
                continue
            if len(run) > 1:
                parts = [await self.open(run[0])]
                for each in run[1:]:
                    if (part := (await self.open(each)).cut(parts[-1].end)).text:
                        parts.append(part)
                await self._objects.put(run[0].path, encode(joined(parts)))
                for each in run[1:]:
                    await self._objects.delete(each.path)
            run, size = ([kept], kept.bytes) if kept is not None else ([], 0)

    async def delete(self, tenant: str, id: str) -> None:
        """Remove all of one work item."""
        paths = [path async for path, _ in self._objects.list(f"logs/{segment(tenant)}/{segment(id)}/")]
        for path in paths:
            await self._objects.delete(path)


def _from(chunks: list[Kept], start: int) -> list[Kept]:
    """The chunks that hold what is at offset `start` and after it."""
    first = max((number for number, kept in enumerate(chunks) if kept.start <= start), default=0)
    return chunks[first:]


def _sorted(folder: str, found: list[tuple[str, int]]) -> list[Kept]:
    chunks = ((path.removeprefix(folder).removesuffix(".log"), size, path) for path, size in found)
    return sorted(Kept(int(start), size, path) for start, size, path in chunks if path.endswith(".log"))


def _folder(tenant: str, id: str, stream: str) -> str:
    return f"logs/{segment(tenant)}/{segment(id)}/{segment(stream)}/"
