"""One container's log on its way: from its kubelet to this machine's spool, from there to the archive, and to readers.

What comes is on the spool before anyone sees it, is put into the archive after 1 MiB or 10 s, and stays here until it
is there. The place up to which a log was read travels with its bytes, so that whoever goes on, here or in another
replica, goes on at the next byte. `collector` decides whose logs are followed here and hands out `tail`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from typing import TypeVar

import msgspec
import structlog

from longshore.archive.log_chunk import MOST_GAPS, Chunk, Gap, joined, lines_begun
from longshore.archive.logs import CHUNK, End, Kept, Logs
from longshore.archive.spool import Key, Part, Spool
from longshore.errors import LongshoreError, NotFound
from longshore.kube.client import Client
from longshore.kube.logs import Log, LogGap, Place

CHUNK_SECONDS = 10.0
BATCH_BYTES = 1 << 20  # may wait for the disk, which takes them at once; then their kubelet waits
RING_BYTES = 256 * 1024  # of the newest pieces are kept in memory for those who follow
# before a log is first asked for: most containers are short, and one that has ended takes one request, not three
SHORT_SECONDS = 0.25
AGAIN_SECONDS = 1.0
POLL_SECONDS = 0.2
MOST_UPLOADS = 8  # at a time, of all logs of this process: each holds a chunk in memory
POD_GONE = "the pod vanished, with its node or by deletion, before its log was read to its end"
KUBELET_AWAY = "the kubelet did not answer any more"
log = structlog.get_logger(__name__)
T = TypeVar("T")


class Fate(Enum):
    """What the cluster says of the container."""

    RUNS = auto()  # or may run again
    ENDED = auto()
    GIVEN_UP = auto()  # its job is over for so long that no kubelet is waited for
    GONE = auto()


@dataclass(frozen=True)
class Source:
    """Where the log comes from, and what has become of that."""

    client: Client
    pod: str
    namespace: str
    container: str
    fate: Callable[[], Fate]
    running: Callable[[], str]  # the id of the container that runs now, as far as is known
    parted: Callable[[], bool]  # whether it was seen to end before its pod went

    def ended(self) -> bool:
        return self.fate() is Fate.ENDED


@dataclass(frozen=True)
class Store:
    """Where it goes to, shared by all logs of this process."""

    logs: Logs
    spool: Spool
    uploads: asyncio.Semaphore
    clock: Callable[[], float]
    gap: Callable[[], None]  # counts one


class _Displaced(Exception):
    """Another collector has kept something else at our offset; that stays."""


@dataclass
class _Stretch:
    """What lies on the spool and not yet in the archive, in one part."""

    part: Part
    start: int
    end: int
    opened: float
    sealed: bool = False


class Collecting:
    """One log. Without a `source` only what a killed process left of it is put into the archive."""

    def __init__(self, key: Key, source: Source | None, store: Store) -> None:
        self.key = key
        self.ended: End | None = None
        self._source = source
        self._store = store
        self._stretches: deque[_Stretch] = deque()
        self._ring: deque[Chunk] = deque()
        self._news = asyncio.Event()
        self._released = source is None
        self._gone = False  # nothing more of it comes from here, and all that came is in the archive
        self._hurried = False
        self._chunks = 0  # in the archive, as far as is known here
        self._before: End | None = None  # what was said when others took the log for over
        self._writing = asyncio.Lock()
        self._reader: asyncio.Task[bool] | None = None
        self._begin(0, b"null", (), False, b"")

    def _begin(self, end: int, place: bytes, gaps: tuple[Gap, ...], within: bool, since: bytes) -> None:
        self._end, self._place, self._gaps, self._within, self._since = end, place, gaps, within, since
        self._come = end  # what has come, of which that past `_end` is not on the spool yet
        self._coming: list[Chunk] = []
        self._writer: asyncio.Task[None] | None = None
        self._kept = end  # the archive has all before this offset
        self._untold: list[bytes] = []  # times of lines of which no byte has come yet
        self._ring.clear()
        self._stretches.clear()

    @property
    def reached(self) -> int:
        """How many bytes of the log have come."""
        return self._end

    @property
    def oldest(self) -> float | None:
        """When the oldest byte that is not in the archive came, by the store's clock."""
        return self._stretches[0].opened if self._stretches else None

    def release(self) -> None:
        """Read no more: what is here goes into the archive, the rest is another's."""
        self._released = True
        if self._reader is not None:
            self._reader.cancel()
        self._tell()

    def seal(self) -> None:
        """Put into the archive what there is, without waiting for more."""
        self._hurried = True
        self._tell()

    async def run(self) -> None:
        """Until the log is over and kept, or was released and is kept."""
        while True:
            try:
                if await self._once():
                    self._gone = True
                    self._tell()
                    return
            except _Displaced:
                log.info("another collector has gone on with a log", job=self.key.id, stream=self.key.stream)
                for stretch in self._stretches:
                    await self._store.spool.drop(stretch.part)
            except Exception:  # whoever begins it again goes on with what lies there
                self._store.spool.give_back(self.key, [stretch.part for stretch in self._stretches])
                raise

    async def _once(self) -> bool:
        if not await self._resume():
            return True
        self._reader = asyncio.ensure_future(self._read_and_write())
        if self._released:
            self._reader.cancel()
        try:
            await self._keep(self._reader)
            # a reader that broke must be heard of, and may not go on where we end
            read = not self._reader.cancelled() and self._reader.result()
        finally:
            self._reader.cancel()
            await asyncio.wait([self._reader])
        if read:
            gaps = self._before.gaps if self._before is not None else self._gaps
            end = End(self._end, not gaps, gaps)
            self.ended = await self._until_taken(lambda: self._store.logs.close(*self.key.words, end))
            self._tell()
            if self._chunks > 1:
                await self._until_taken(lambda: self._store.logs.merge(*self.key.words))
        return True

    # ---- where to go on

    async def _resume(self) -> bool:
        """Go on where the archive and the spool end. False when there is nothing left to do."""
        logs, words = self._store.logs, self.key.words
        left = self._store.spool.left(self.key)
        chunks, over = await self._until_taken(lambda: logs.state(*words))
        self._chunks = len(chunks)
        last = await self._until_taken(lambda: logs.open(chunks[-1])) if chunks else Chunk(0, b"", [])
        self._begin(last.end, last.place, last.gaps, *_after(last))
        for number, part in enumerate(left):
            try:
                await self._adopt(part, chunks)
            except Exception:
                self._store.spool.give_back(self.key, left[number:])
                raise
        self._before = over
        if over is not None and not self._stretches:
            self.ended = over
            self._tell()
            return False
        self._tell()
        return True

    async def _adopt(self, part: Part, chunks: list[Kept]) -> None:
        """What a killed process had written down: it goes on where the archive ends, or is worth nothing."""
        pieces = await asyncio.to_thread(part.read)
        whole = joined(pieces) if pieces else None
        fits = whole is not None and whole.start <= self._end < whole.end
        if whole is None or not fits or not await self._agrees(whole, chunks):
            await self._store.spool.drop(part)
            return
        now = self._store.clock()
        self._stretches.append(_Stretch(part, self._end, whole.end, now, sealed=True))
        self._end = self._come = whole.end
        self._place, self._gaps = whole.place, whole.gaps
        self._within, self._since = _after(whole)

    async def _agrees(self, whole: Chunk, chunks: list[Kept]) -> bool:
        """Whether the archive says the same where both have something."""
        if whole.start == self._end or not chunks:
            return True
        at = whole.start
        async for chunk in self._store.logs.read(*self.key.words, whole.start):
            if chunk.text != whole.text[at - whole.start : chunk.end - whole.start]:
                return False
            at = chunk.end
        return True

    # ---- reading

    async def _read_and_write(self) -> bool:
        """Whether the log is over. When this ends, however it does, nothing is being written any more."""
        try:
            over = await self._read()
            await self._written()
            return over
        finally:
            self._coming = []
            if self._writer is not None:
                self._writer.cancel()
                await asyncio.wait([self._writer])

    async def _read(self) -> bool:
        """Whether the log is over."""
        if self._source is None or self._before is not None:
            return True
        place = msgspec.json.decode(self._place, type=Place | None)
        if place is None and not self._source.ended():
            await asyncio.sleep(SHORT_SECONDS)
        while True:
            source = self._source
            reader = Log(source.client, source.pod, source.namespace, source.container, place=place)
            try:
                async with aclosing(reader.stretch(follow=True, ended=source.ended)) as pieces:
                    async for text in pieces:
                        await self._take(text, reader.times, reader.place)
            except NotFound:
                self._gap(POD_GONE)
                return True
            except LogGap as gap:
                if source.fate() is Fate.GONE:
                    self._gap(POD_GONE)
                    return True
                await self._mark(gap.message)
                place = None
                continue
            except LongshoreError as away:
                log.warning("a log cannot be read", job=self.key.id, stream=self.key.stream, why=away.message)
                if source.fate() is Fate.GIVEN_UP:
                    self._gap(KUBELET_AWAY)
                    return True
                place = reader.place
                await asyncio.sleep(AGAIN_SECONDS)
                continue
            if await self._over(reader.place.container):
                if source.fate() is Fate.GONE and not await self._has_parted(source):
                    self._gap(POD_GONE)
                return True
            place = None  # another container of the same name: its log follows

    async def _has_parted(self, source: Source) -> bool:
        """Whether the end of the log was that of its container: when a kubelet is lost, its answer ends too."""
        if not source.parted():
            await asyncio.sleep(POLL_SECONDS)  # what the store knows is heard here a moment later
        return source.parted()

    async def _over(self, container: str) -> bool:
        """Whether the container whose log has ended is the last one. Waits until the cluster says so."""
        assert self._source is not None
        while True:
            fate = self._source.fate()
            if fate is not Fate.RUNS:
                return True
            running = self._source.running()
            if running and container and running != container:
                return False
            await asyncio.sleep(POLL_SECONDS)

    async def _take(self, text: bytes, times: list[bytes], place: Place | None) -> None:
        """A piece of the log: on the spool first, then for everyone to see."""
        begun = lines_begun(text, self._within)
        known = [*self._untold, *times]
        known = [b""] * (begun - len(known)) + known
        self._untold = known[begun:]
        if place is not None:
            self._place = msgspec.json.encode(place)
        if not text:
            return
        piece = Chunk(self._come, text, known[:begun], self._within, self._since, self._place, self._gaps)
        self._come = piece.end
        self._within, self._since = _after(piece)
        self._coming.append(piece)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.ensure_future(self._write())
        if self._come - self._end > BATCH_BYTES:
            await self._written()

    async def _written(self) -> None:
        """All that has come is on the spool."""
        if self._writer is not None:
            await asyncio.shield(self._writer)

    async def _write(self) -> None:
        """What has come, as much at a time as came while the disk was busy."""
        while self._coming:
            await self._store.spool.room()
            batch, self._coming = joined(self._coming), []
            async with self._writing:
                stretch = self._stretches[-1] if self._stretches and not self._stretches[-1].sealed else self._open()
                await self._until_written(stretch.part, batch)
                self._end = stretch.end = batch.end
            self._ring.append(batch)
            while len(self._ring) > 1 and self._ring[-1].end - self._ring[0].start > RING_BYTES:
                self._ring.popleft()
            if stretch.end - stretch.start >= CHUNK:
                stretch.sealed = True
            self._tell()

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

    def _open(self) -> _Stretch:
        part = self._store.spool.part(self.key, self._end)
        self._stretches.append(_Stretch(part, self._end, self._end, self._store.clock()))
        return self._stretches[-1]

    async def _mark(self, why: str) -> None:
        """Name what is missing, here and in the log itself, in a chunk of its own."""
        await self._written()
        self._close_last()
        self._gap(why)
        self._place = b"null"
        self._untold = []
        start = b"\n" if self._within else b""
        await self._take(start + f"[longshore: {why}]\n".encode(), [self._since], None)
        await self._written()
        self._close_last()

    def _close_last(self) -> None:
        """What follows begins another chunk. Called by the reader alone, which writes them."""
        if self._stretches:
            self._stretches[-1].sealed = True
        self._tell()

    def _gap(self, why: str) -> None:
        self._store.gap()
        log.warning("a log has a gap", job=self.key.id, stream=self.key.stream, at=self._come, why=why)
        self._gaps = (*self._gaps, Gap(self._come, why))[-MOST_GAPS:]

    # ---- keeping

    async def _keep(self, reader: asyncio.Task[bool]) -> None:
        """Put stretch after stretch into the archive, until the reader has ended and all is there."""
        reader.add_done_callback(lambda _: self._tell())
        while self._stretches or not reader.done():
            first = self._stretches[0] if self._stretches else None
            if first is not None and (first.sealed or reader.done() or self._hurried or self._is_due(first)):
                async with self._writing:
                    first.sealed = True
                await self._put(first)
                self._hurried = self._hurried and bool(self._stretches)
                continue
            left = CHUNK_SECONDS - self._age(first) if first is not None else None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._news.wait()

    def _is_due(self, stretch: _Stretch) -> bool:
        return self._age(stretch) >= CHUNK_SECONDS

    def _age(self, stretch: _Stretch) -> float:
        return self._store.clock() - stretch.opened

    async def _put(self, stretch: _Stretch) -> None:
        """Raises _Displaced."""
        async with self._store.uploads:
            pieces = await asyncio.to_thread(stretch.part.read)
            chunk = joined(pieces).cut(max(stretch.start, self._kept)) if pieces else Chunk(stretch.start, b"", [])
            while chunk.text and not await self._until_taken(partial(self._append, chunk)):
                other = await self._until_taken(partial(self._other, chunk.start))
                size = min(len(other.text), len(chunk.text))
                if other.text[:size] != chunk.text[:size]:
                    raise _Displaced
                chunk = chunk.cut(min(other.end, chunk.end))
                self._kept = max(self._kept, other.end)
            self._kept = max(self._kept, chunk.end)
        self._chunks += 1
        self._stretches.popleft()
        await self._store.spool.drop(stretch.part)
        self._tell()

    async def _append(self, chunk: Chunk) -> bool:
        return await self._store.logs.append(*self.key.words, chunk)

    async def _other(self, start: int) -> Chunk:
        async with aclosing(self._store.logs.read(*self.key.words, start)) as chunks:
            async for chunk in chunks:
                return chunk
        raise NotFound("what another collector kept is gone again")

    async def _until_taken(self, asking: Callable[[], Awaitable[T]]) -> T:
        """Ask the archive until it answers."""
        told = False
        while True:
            try:
                return await asking()
            except LongshoreError as away:
                if not told:
                    log.warning("the archive does not take a log", job=self.key.id, why=away.message)
                told = True
            await asyncio.sleep(AGAIN_SECONDS)

    # ---- handing on

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def tail(self, offset: int, *, follow: bool) -> AsyncGenerator[Chunk | int | End, None]:
        """From `offset` on: chunks; an offset, where the archive has all up to there and we no more, and then nothing;
        how it ended, when all of it was given."""
        at = offset
        while True:
            news = self._news
            if at < self._end:
                for chunk in await self._from(at):
                    yield chunk
                    at = chunk.end
                start = self._stretches[0].start if self._stretches else self._end
                if at < start and not (self._ring and self._ring[0].start <= at):
                    yield start
                    return
            elif self.ended is not None:
                yield self.ended
                return
            elif self._gone:
                yield self._end
                return
            elif not follow:
                return
            else:
                await news.wait()

    async def _from(self, at: int) -> list[Chunk]:
        """What there is from `at` on: out of memory, or the rest of a part on the spool. [] when it has just gone."""
        if self._ring and self._ring[0].start <= at:
            return [joined([chunk.cut(at) for chunk in self._ring if chunk.end > at])]
        stretch = next((s for s in self._stretches if s.start <= at < s.end), None)
        if stretch is None:
            return []
        pieces = await asyncio.to_thread(stretch.part.read)
        return [piece.cut(at) for piece in pieces if piece.end > at and piece.end <= self._end]


def _after(chunk: Chunk) -> tuple[bool, bytes]:
    """Whether what follows this chunk goes on within a line, and the time of its last one."""
    within = not chunk.text.endswith(b"\n") if chunk.text else chunk.within
    return within, chunk.newest
