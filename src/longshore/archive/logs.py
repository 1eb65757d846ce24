"""The output of containers as one stream of bytes each, with offsets that stay valid for life.

`logs/{tenant}/{id}/{stream}/{offset:020d}.log`: chunks (`archive.log_chunk`), each named by where its text begins, so
that a reader goes to any offset and a tail reads only the end; a time is found by opening the ends of a few. A stream
is one container of one attempt; `end` beside its chunks says that it is over, and whether all of it is there.

The collectors write here, and two of them may at a time: a chunk is put where none is, so whoever comes second reads
what the first one kept and goes on after it. The API and the archiver read.

The size that `end` says first stands for good, for what the next attempt wrote is counted from it. So whoever closes a
log that may not be whole first puts an empty chunk at its end, where the next one would have to be: what comes after
that is late. It is kept beside the log (`{offset:020d}-{size}.late`), moves nothing that was read, and is read apart.
How much of it there is the names say, whatever two writers at a time made of `end`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncGenerator, Iterable

import msgspec

from longshore.archive.log_chunk import Chunk, Damaged, decode, encode, joined, lost
from longshore.archive.log_reader import CHUNK, END, LATE, End, Kept, LogReader, LogStream, folder_of, in_order
from longshore.archive.paths import segment
from longshore.errors import AlreadyExists

__all__ = ["CHUNK", "ClosedLog", "End", "Kept", "LogStream", "Logs", "OpenLog"]


AGREE = 5  # times that `end` is made to agree with the parts beside it


class ClosedLog(Exception):
    """This log was closed: what comes now is late."""


class OpenLog(Exception):
    """This log goes on after the place where it was to be closed."""


class Logs(LogReader):
    """Log streams by tenant, id and stream name, as the collectors write them and everybody reads them."""

    async def append(self, tenant: str, id: str, stream: str, chunk: Chunk) -> bool:
        """Keep a chunk where none begins yet. False when another one begins there, which stays: go on after it. Raises
        ClosedLog."""
        path = f"{folder_of(tenant, id, stream)}{chunk.start:020d}.log"
        kept = encode(chunk)
        try:
            await self._objects.put(path, kept, if_absent=True)
        except AlreadyExists:
            there = await self._objects.get(path)
            if there != kept and _is_empty(there):
                raise ClosedLog from None
            return there == kept
        return True

    async def close(self, tenant: str, id: str, stream: str, end: End) -> End:
        """Say that the stream is over; returns what counts. The size that was said first stands, and so does that it is
        whole. Raises OpenLog where it goes on after the end of one that is not."""
        if not end.complete:
            await self._seal(tenant, id, stream, end.size)
        path, said = folder_of(tenant, id, stream) + END, msgspec.json.encode(end)
        try:
            await self._objects.put(path, said, if_absent=True)
        except AlreadyExists:
            there = await self.end(tenant, id, stream)
            if there is not None and (there.size != end.size or there.complete or not end.complete):
                return there
            await self._objects.put(path, said)
        return end

    async def _seal(self, tenant: str, id: str, stream: str, size: int) -> None:
        """Put an empty chunk where the next one would begin."""
        over = await self.end(tenant, id, stream)
        if over is None and not await self.append(tenant, id, stream, Chunk(size, b"", [])):
            raise OpenLog

    async def keep_late(self, tenant: str, id: str, stream: str, chunk: Chunk) -> None:
        """Keep what comes when the stream is closed: beside it, by its own offset, and told of by its end."""
        folder = folder_of(tenant, id, stream)
        await self._objects.put(f"{folder}{chunk.start:020d}-{len(chunk.text)}{LATE}", encode(chunk))
        for _ in range(AGREE):  # who counted before this part was there may write his number after ours
            end = await self.end(tenant, id, stream)
            told = _with_late(end, [path async for path, _ in self._objects.list(folder)]) if end is not None else None
            if told is None or told == end:
                return
            await self._objects.put(folder + END, msgspec.json.encode(told))

    async def late(self, tenant: str, id: str, stream: str) -> AsyncGenerator[Chunk, None]:
        """What came when it was closed, in order, each byte once; there may be holes."""
        folder, at = folder_of(tenant, id, stream), 0
        found = sorted([path async for path, _ in self._objects.list(folder) if path.endswith(LATE)])
        for path in found:
            start, end = _late_part(path)
            try:
                chunk = decode(start, await self._objects.get(path)).cut(at)
            except Damaged:
                chunk = lost(start, end).cut(at)
            if chunk.text:
                yield chunk
                at = chunk.end

    async def streams(self, tenant: str, id: str) -> list[LogStream]:
        """What there is of one work item, sorted by name."""
        last: dict[str, Kept | None] = {}
        over: set[str] = set()
        late: defaultdict[str, list[str]] = defaultdict(list)
        async for path, size in self._objects.list(f"logs/{segment(tenant)}/{segment(id)}/"):
            *_, name, file = path.split("/")
            if file == END:
                over.add(name)
                last.setdefault(name, None)
                continue
            if file.endswith(LATE):
                late[name].append(path)
                continue
            kept = Kept(int(file.removesuffix(".log")), size, path)
            last[name] = max(kept, last.get(name) or kept)
        return [await self._stream(tenant, id, name, last[name], name in over, late[name]) for name in sorted(last)]

    async def _stream(
        self, tenant: str, id: str, name: str, last: Kept | None, over: bool, late: list[str]
    ) -> LogStream:
        end = await self.end(tenant, id, name) if over else None
        if end is not None:
            return LogStream(name, end.size, _with_late(end, late))
        return LogStream(name, last.start + (await self.about(last)).size if last else 0)

    async def state(self, tenant: str, id: str, stream: str) -> tuple[list[Kept], End | None]:
        """The chunks in order, and what was said at its end; by one listing while it is not over."""
        folder = folder_of(tenant, id, stream)
        found = [(path, size) async for path, size in self._objects.list(folder)]
        over = any(path == folder + END for path, _ in found)
        end = await self.end(tenant, id, stream) if over else None
        return in_order(folder, found), _with_late(end, [path for path, _ in found]) if end is not None else None

    async def merge(self, tenant: str, id: str, stream: str) -> None:
        """Make few chunks of the many that a slow log leaves; for one that is over.

        The first of each run becomes all of it before the others go, so that a reader in between misses nothing. Raises
        Damaged where there is less than there was.
        """
        run: list[Kept] = []
        size = 0
        end = await self.end(tenant, id, stream)
        for kept in [*await self.chunks(tenant, id, stream, end.size if end else None), None]:
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


def _with_late(end: End, paths: Iterable[str]) -> End:
    """What was said at the end, with what came since by the names of its parts: a log that has any is not whole."""
    late = late_bytes(_late_part(path) for path in paths if path.endswith(LATE))
    return msgspec.structs.replace(end, late=late, complete=end.complete and not late)


def _late_part(path: str) -> tuple[int, int]:
    """From where to where it is, by its name."""
    start, _, size = path.rpartition("/")[2].removesuffix(LATE).partition("-")
    return int(start), int(start) + int(size)


def late_bytes(parts: Iterable[tuple[int, int]]) -> int:
    """How many bytes these are, from offset to offset, each counted once."""
    count, at = 0, 0
    for start, end in sorted(parts):
        count += max(0, end - max(start, at))
        at = max(at, end)
    return count


def _is_empty(kept: bytes) -> bool:
    """Whether this is what was put at the end of a closed log."""
    try:
        return not decode(0, kept).text
    except Damaged:
        return False
