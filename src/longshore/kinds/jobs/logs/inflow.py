"""What has come of one log and is not in the archive yet: on this machine's spool first, and then for readers.

`reading` puts in what a kubelet says, `collecting` takes it out into the archive, and followers read its tail.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

import msgspec
import structlog

from longshore.archive.log_chunk import MOST_GAPS, Chunk, Gap, joined, lines_begun
from longshore.archive.logs import CHUNK, End, Logs
from longshore.archive.spool import Key, Part, Spool
from longshore.kube.logs import Place

BATCH_BYTES = 1 << 20  # may wait for the disk, which takes them at once; then their kubelet waits
RING_BYTES = 256 * 1024  # of the newest pieces are kept in memory for those who follow
AGAIN_SECONDS = 1.0
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Store:
    """Where logs go to, shared by all of this process."""

    logs: Logs
    spool: Spool
    uploads: asyncio.Semaphore
    clock: Callable[[], float]
    gap: Callable[[], None]  # counts one


@dataclass
class Stretch:
    """What lies on the spool and not yet in the archive, in one part."""

    part: Part
    start: int
    end: int
    opened: float
    sealed: bool = False


class Inflow:
    """Of one log. `end` is how much of it is on the spool or in the archive; `place` where its source goes on."""

    def __init__(self, key: Key, store: Store) -> None:
        self.ended: End | None = None
        self.gone = False  # nothing more of it comes from here, and all that came is in the archive
        self.writing = asyncio.Lock()
        self.stretches: deque[Stretch] = deque()
        self.news = asyncio.Event()
        self._key = key
        self._store = store
        self._ring: deque[Chunk] = deque()
        self._writer: asyncio.Task[None] | None = None
        self.begin(Chunk(0, b"", []))

    def begin(self, last: Chunk) -> None:
        """Go on after what is in the archive."""
        self._ring.clear()
        self.stretches.clear()
        self._coming: list[Chunk] = []  # what has come and is not on the spool yet
        self._untold: list[bytes] = []  # times of lines of which no byte has come yet
        self._stand(last)

    def _stand(self, last: Chunk) -> None:
        self.end = self._come = last.end
        self.place, self.gaps = last.place, last.gaps
        self._within, self._since = _after(last)

    def adopt(self, part: Part, whole: Chunk) -> None:
        """Go on after what another process left on the spool."""
        self.stretches.append(Stretch(part, self.end, whole.end, self._store.clock(), sealed=True))
        self._stand(whole)

    # ---- what comes

    async def take(self, text: bytes, times: list[bytes], place: Place | None) -> None:
        """A piece of the log: on the spool first, then for everyone to see."""
        begun = lines_begun(text, self._within)
        known = [*self._untold, *times]
        known = [b""] * (begun - len(known)) + known
        self._untold = known[begun:]
        if place is not None:
            self.place = msgspec.json.encode(place)
        if not text:
            return
        piece = Chunk(self._come, text, known[:begun], self._within, self._since, self.place, self.gaps)
        self._come = piece.end
        self._within, self._since = _after(piece)
        self._coming.append(piece)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.ensure_future(self._write())
        if self._come - self.end > BATCH_BYTES:
            await self.written()

    async def written(self) -> None:
        """All that has come is on the spool."""
        if self._writer is not None:
            await asyncio.shield(self._writer)

    async def stop(self) -> None:
        """When this returns nothing is being written any more; what was not, has not come."""
        self._coming = []
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.wait([self._writer])

    async def mark(self, why: str) -> None:
        """Name what is missing, here and in the log itself, in a chunk of its own."""
        await self.written()
        self._close_last()
        self.gap(why)
        self.place = b"null"
        self._untold = []
        start = b"\n" if self._within else b""
        await self.take(start + f"[longshore: {why}]\n".encode(), [self._since], None)
        await self.written()
        self._close_last()

    def gap(self, why: str) -> None:
        self._store.gap()
        log.warning("a log has a gap", job=self._key.id, stream=self._key.stream, at=self._come, why=why)
        self.gaps = (*self.gaps, Gap(self._come, why))[-MOST_GAPS:]

    def _close_last(self) -> None:
        """What follows begins another chunk. Called by the reader alone, which writes them."""
        if self.stretches:
            self.stretches[-1].sealed = True
        self.tell()

    async def _write(self) -> None:
        """What has come, as much at a time as came while the disk was busy."""
        while self._coming:
            await self._store.spool.room()
            batch, self._coming = joined(self._coming), []
            async with self.writing:
                stretch = self.stretches[-1] if self.stretches and not self.stretches[-1].sealed else self._open()
                await self._until_written(stretch.part, batch)
                self.end = stretch.end = batch.end
            self._ring.append(batch)
            while len(self._ring) > 1 and self._ring[-1].end - self._ring[0].start > RING_BYTES:
                self._ring.popleft()
            if stretch.end - stretch.start >= CHUNK:
                stretch.sealed = True
            self.tell()

    async def _until_written(self, part: Part, piece: Chunk) -> None:
        while True:
            writing = asyncio.ensure_future(self._store.spool.append(part, [piece]))
            try:
                return await asyncio.shield(writing)
            except asyncio.CancelledError:  # a thread does not hear of it, and may not write after the part is read
                await asyncio.wait([writing])
                raise
            except OSError as error:
                log.warning("the spool of logs cannot be written", why=error.strerror)
            await asyncio.sleep(AGAIN_SECONDS)

    def _open(self) -> Stretch:
        part = self._store.spool.part(self._key, self.end)
        self.stretches.append(Stretch(part, self.end, self.end, self._store.clock()))
        return self.stretches[-1]

    # ---- handing on

    def tell(self) -> None:
        self.news.set()
        self.news = asyncio.Event()

    async def tail(self, offset: int, *, follow: bool) -> AsyncGenerator[Chunk | int | End, None]:
        """From `offset` on: chunks; an offset, where the archive has all up to there and we no more, and then nothing;
        how it ended, when all of it was given."""
        at = offset
        while True:
            news = self.news
            if at < self.end:
                for chunk in await self._from(at):
                    yield chunk
                    at = chunk.end
                start = self.stretches[0].start if self.stretches else self.end
                if at < start and not (self._ring and self._ring[0].start <= at):
                    yield start
                    return
            elif self.ended is not None:
                yield self.ended
                return
            elif self.gone:
                yield self.end
                return
            elif not follow:
                return
            else:
                await news.wait()

    async def _from(self, at: int) -> list[Chunk]:
        """What there is from `at` on: out of memory, or the rest of a part on the spool. [] when it has just gone."""
        if self._ring and self._ring[0].start <= at:
            return [joined([chunk.cut(at) for chunk in self._ring if chunk.end > at])]
        stretch = next((s for s in self.stretches if s.start <= at < s.end), None)
        if stretch is None:
            return []
        pieces = await asyncio.to_thread(stretch.part.read)
        return [piece.cut(at) for piece in pieces if piece.end > at and piece.end <= self.end]


def _after(chunk: Chunk) -> tuple[bool, bytes]:
    """Whether what follows this chunk goes on within a line, and the time of its last one."""
    within = not chunk.text.endswith(b"\n") if chunk.text else chunk.within
    return within, chunk.newest
