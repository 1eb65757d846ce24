"""The output of containers as one stream of bytes each, with offsets that stay valid for life.

`logs/{tenant}/{id}/{stream}/{offset:020d}.log`: chunks of at most 1 MiB, each named by where it starts, so that a
reader goes to any offset and a tail reads only the end. A stream is one container of one attempt. An empty log is one
empty chunk. The collector writes here, the API reads.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from itertools import pairwise

import msgspec

from longshore.archive.objects import Objects
from longshore.archive.paths import segment
from longshore.errors import LongshoreError, NotFound

CHUNK = 1024 * 1024  # bytes


class LogStream(msgspec.Struct, frozen=True, gc=False):
    """One container's output: `size` in bytes."""

    name: str
    size: int


class _Chunk(msgspec.Struct, frozen=True, gc=False, order=True):
    start: int
    end: int
    path: str


class Logs:
    """Log streams by tenant, id and stream name."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    async def write(
        self,
        tenant: str,
        id: str,
        stream: str,
        chunks: AsyncIterator[bytes],
        *,
        whole: Callable[[], bool] = lambda: True,
    ) -> int:
        """Make `stream` what `chunks` yields and return its bytes; safe to repeat after an interruption.

        A log only grows, so what an earlier run kept is written over by the same or more, never by less. `whole` is
        asked at the end whether this was all of it; only then is what lies past it removed.
        """
        folder = _folder(tenant, id, stream)
        kept = {chunk.path: chunk.end - chunk.start for chunk in await self._chunks(folder)}
        size, written, longer = 0, set(), []
        async for data in _regrouped(chunks):
            path = f"{folder}{size:020d}.log"
            if kept.get(path, -1) <= len(data):
                await self._objects.put(path, data)
            else:
                longer.append((path, data))
            written.add(path)
            size += len(data)
        if whole():
            for path, data in longer:
                await self._objects.put(path, data)
            for path in kept.keys() - written:
                await self._objects.delete(path)
        return size

    async def streams(self, tenant: str, id: str) -> list[LogStream]:
        """What there is of one work item, sorted by name."""
        sizes: dict[str, int] = {}
        async for path, size in self._objects.list(f"logs/{segment(tenant)}/{segment(id)}/"):
            *_, name, chunk = path.split("/")
            sizes[name] = max(sizes.get(name, 0), int(chunk.removesuffix(".log")) + size)
        return [LogStream(name, sizes[name]) for name in sorted(sizes)]

    async def read(self, tenant: str, id: str, stream: str, start: int = 0) -> AsyncIterator[bytes]:
        """The bytes from offset `start` on; nothing when it is at or past the end. NotFound: no such stream."""
        chunks = await self._existing(tenant, id, stream)
        async for piece in self._read(chunks, start):
            yield piece

    async def tail(self, tenant: str, id: str, stream: str, lines: int) -> AsyncIterator[bytes]:
        """The last `lines` lines; reads the chunks that hold them, from the end. NotFound: no such stream."""
        chunks = await self._existing(tenant, id, stream)
        start = await self._start_of_last(lines, chunks)
        async for piece in self._read(chunks, start):
            yield piece

    async def _read(self, chunks: list[_Chunk], start: int) -> AsyncIterator[bytes]:
        for chunk in chunks:
            if chunk.end <= start:
                continue
            data = await self._objects.get(chunk.path)
            yield data[max(0, start - chunk.start) :]

    async def _start_of_last(self, lines: int, chunks: list[_Chunk]) -> int:
        """The offset where the last `lines` lines begin; a newline at the very end ends a line and begins none."""
        end = chunks[-1].end
        if lines <= 0:
            return end
        wanted = lines
        for chunk in reversed(chunks):
            data = await self._objects.get(chunk.path)
            at = len(data) - 1 if chunk.end == end and data.endswith(b"\n") else len(data)
            while wanted and (at := data.rfind(b"\n", 0, at)) >= 0:
                wanted -= 1
            if not wanted:
                return chunk.start + at + 1
        return 0

    async def _existing(self, tenant: str, id: str, stream: str) -> list[_Chunk]:
        """The chunks in order, checked to lie end to end: a hole must not shift offsets silently."""
        chunks = await self._chunks(_folder(tenant, id, stream))
        if not chunks:
            raise NotFound(f"{id} has no log {stream}")
        for earlier, later in pairwise([_Chunk(0, 0, ""), *chunks]):
            if earlier.end != later.start:
                raise LongshoreError(
                    f"the log {stream} of {id} is damaged: bytes {earlier.end} and {later.start} should meet",
                    hint="an upload may be going on; if this stays, restore the chunks from a backup of the archive",
                )
        return chunks

    async def _chunks(self, folder: str) -> list[_Chunk]:
        found = []
        async for path, size in self._objects.list(folder):
            start = int(path.removeprefix(folder).removesuffix(".log"))
            found.append(_Chunk(start, start + size, path))
        return sorted(found)


def _folder(tenant: str, id: str, stream: str) -> str:
    return f"logs/{segment(tenant)}/{segment(id)}/{segment(stream)}/"


async def _regrouped(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Pieces of any size as pieces of CHUNK bytes and one shorter; one empty piece when there is nothing at all."""
    buffer, empty = bytearray(), True
    async for piece in chunks:
        buffer += piece
        while len(buffer) >= CHUNK:
            yield bytes(buffer[:CHUNK])
            del buffer[:CHUNK]
            empty = False
    if buffer or empty:
        yield bytes(buffer)
