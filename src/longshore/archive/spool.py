"""Log chunks on this machine's disk until the archive has them: written before anyone is shown a byte of them.

So a collector that is killed has lost nothing when it is back, and one whose archive is away goes on until the spool is
full. Each process has a folder of its own below the configured one, held by a lock; what it finds in folders that
nobody holds is what killed processes left, and is its own now. Used by `kinds.jobs.logs.inflow`; blocking calls are
for threads.

`{slot}/{tenant}/{id}/{stream}/{offset:020d}.part`: pieces as they came, each a chunk in MessagePack behind its length.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
from collections.abc import Iterator
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import BinaryIO

import msgspec
import structlog

from longshore.archive.log_chunk import Chunk
from longshore.archive.paths import segment
from longshore.errors import UserMistake

MOST_SLOTS = 100
log = structlog.get_logger(__name__)
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Chunk).decode


class Key(msgspec.Struct, frozen=True, gc=False, order=True):
    """Whose log: tenant, id and stream."""

    tenant: str
    id: str
    stream: str

    @property
    def words(self) -> tuple[str, str, str]:
        return self.tenant, self.id, self.stream


class Part:
    """A file of the spool: pieces that lie end to end. One writer."""

    def __init__(self, path: Path, start: int, size: int = 0) -> None:
        self.start = start
        self.bytes = size  # on disk
        self._path = path

    def append(self, pieces: list[Chunk]) -> None:
        """Blocks. Opens the file each time, for there may be more logs than a process may have files open."""
        if not self.bytes:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        with FileIO(self._path, "ab") as file:
            before = file.tell()
            try:
                for piece in pieces:
                    kept = _encode(piece)
                    whole = len(kept).to_bytes(4) + kept
                    if file.write(whole) < len(whole):
                        raise OSError(errno.ENOSPC, "no room for it")
            except OSError:
                file.truncate(before)  # or what comes later could not be told from what was cut off
                raise

    def read(self) -> list[Chunk]:
        """All of it; a piece that was cut off when its writer was killed is left out. Blocks."""
        try:
            return list(_pieces(self._path.read_bytes()))
        except FileNotFoundError:  # nothing was written, or all of it is elsewhere by now
            return []

    def drop(self) -> None:
        """Blocks."""
        self._path.unlink(missing_ok=True)
        with suppress(OSError):  # there are others in it
            self._path.parent.rmdir()
            self._path.parent.parent.rmdir()


class Spool:
    """At most `limit` bytes, save for what the pieces on their way add. A context manager that holds its folder."""

    def __init__(self, folder: Path, limit: int) -> None:
        self.bytes = 0
        self.limit = limit
        self._folder = folder
        self._slot = folder
        self._locks: list[BinaryIO] = []
        self._left: dict[Key, list[Part]] = {}
        self._room = asyncio.Event()
        self._room.set()

    def __enter__(self) -> Spool:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._take()
        except OSError as error:
            raise UserMistake(
                f"log chunks cannot be kept at {self._folder} ({error.strerror})",
                hint="set LONGSHORE_LOG_SPOOL to a folder that this process may write to",
            ) from None
        return self

    def __exit__(self, *_: object) -> None:
        for lock in self._locks:
            lock.close()

    def left(self, key: Key) -> list[Part]:
        """What an earlier process left of this log, in order; whoever asks takes it over."""
        return self._left.pop(key, [])

    def give_back(self, key: Key, parts: list[Part]) -> None:
        """These are left, as if this process had been killed and begun again."""
        if parts:
            self._left[key] = sorted([*self._left.get(key, ()), *parts], key=lambda part: part.start)

    @property
    def orphans(self) -> list[Key]:
        """The logs of which something was left and that nobody has asked for yet."""
        return sorted(self._left)

    async def room(self) -> None:
        """Waits while the spool is full."""
        await self._room.wait()

    async def append(self, part: Part, pieces: list[Chunk]) -> None:
        """Raises OSError when the disk does not take it; then nothing has changed."""
        size = sum(len(piece.text) + 31 * len(piece.times) + 200 for piece in pieces)
        await asyncio.to_thread(part.append, pieces)
        part.bytes += size
        self._count(size)

    def part(self, key: Key, start: int) -> Part:
        """A new one that begins at this offset of the log."""
        path = self._slot / segment(key.tenant) / segment(key.id) / segment(key.stream)
        return Part(path / f"{start:020d}.part", start)

    async def drop(self, part: Part) -> None:
        """It is kept elsewhere, or worth nothing any more."""
        dropping = asyncio.ensure_future(self._drop(part))
        try:
            await asyncio.shield(dropping)
        except asyncio.CancelledError:  # a thread does not hear of it, and whoever comes next finds it there or not
            await asyncio.wait([dropping])
            raise

    async def _drop(self, part: Part) -> None:
        await asyncio.to_thread(part.drop)
        self._count(-part.bytes)
        part.bytes = 0

    @property
    def full(self) -> bool:
        return not self._room.is_set()

    def _count(self, size: int) -> None:
        self.bytes += size
        if self.bytes >= self.limit:
            self._room.clear()
        else:
            self._room.set()

    def _take(self) -> None:
        """Hold the first folder that nobody holds, and adopt what is in all of these."""
        there = [entry for entry in self._folder.iterdir() if entry.is_dir()]
        names = sorted({entry.name for entry in there} | {f"{number}" for number in range(MOST_SLOTS)}, key=_by_number)
        for name in names:
            slot = self._folder / name
            if self._locks and not slot.exists():
                return
            slot.mkdir(exist_ok=True)
            lock = (slot / "lock").open("wb")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                continue
            if not self._locks:
                self._slot = slot
            self._locks.append(lock)
            self._adopt(slot)
        if not self._locks:
            raise UserMistake(
                f"{MOST_SLOTS} processes use {self._folder} already", hint="give each a folder of its own"
            )

    def _adopt(self, slot: Path) -> None:
        for path in sorted(slot.glob("*/*/*/*.part")):
            tenant, id, stream, name = path.parts[-4:]
            size = path.stat().st_size
            part = Part(path, int(name.removesuffix(".part")), size)
            self._left.setdefault(Key(tenant, id, stream), []).append(part)
            self.bytes += size
        self._count(0)


def _pieces(data: bytes) -> Iterator[Chunk]:
    at = 0
    while at + 4 <= len(data):
        size = int.from_bytes(data[at : at + 4])
        kept = data[at + 4 : at + 4 + size]
        if len(kept) < size:
            return
        try:
            yield _decode(kept)
        except msgspec.DecodeError:  # a machine that lost its power leaves zeros where the last pieces were to be
            log.error("what follows in a part of the spool is damaged and given up", bytes=len(data) - at)
            return
        at += 4 + size


def _by_number(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isdigit() else (MOST_SLOTS, name)
