"""One container's log on its way: from its kubelet to this machine's spool, from there to the archive, and to readers.

What comes is on the spool before anyone sees it (`inflow`), is put into the archive after 1 MiB or 10 s, and stays here
until it is there. The place up to which a log was read travels with its bytes, so that whoever goes on, here or in
another replica, goes on at the next byte. `collector` decides whose logs are followed here and hands out `tail`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import TypeVar

import structlog

from longshore.archive.log_chunk import Chunk, Damaged, Gap, joined
from longshore.archive.logs import ClosedLog, End, Kept, OpenLog
from longshore.archive.spool import Key, Part
from longshore.errors import LongshoreError, NotFound
from longshore.kinds.jobs import model
from longshore.kinds.jobs.logs.inflow import AGAIN_SECONDS, Inflow, Store, Stretch
from longshore.kinds.jobs.logs.reading import read_and_write
from longshore.kinds.jobs.logs.source import POD_GONE, Left, Source

CHUNK_SECONDS = 10.0
MOST_UPLOADS = 8  # at a time, of all logs of this process: each holds a chunk in memory
log = structlog.get_logger(__name__)
T = TypeVar("T")


class _Displaced(Exception):
    """Another collector has kept something else at our offset; that stays."""


class Collecting:
    """One log; or only what a killed process left of it, which is put into the archive where it still fits."""

    def __init__(self, key: Key, source: Source | Left, store: Store) -> None:
        self.key = key
        self._source = source
        self._store = store
        self._inflow = Inflow(key, store)
        self._released = not isinstance(source, Source)
        self._chunks = 0  # in the archive, as far as is known here
        self._kept = 0  # the archive has all before this offset
        self._sent: list[Part] = []  # put there, maybe after others had closed the log: then it is late
        self._reader: asyncio.Task[None] | None = None

    @property
    def ended(self) -> End | None:
        """How the log ended, once that is said."""
        return self._inflow.ended

    @property
    def reached(self) -> int:
        """How many bytes of the log have come."""
        return self._inflow.end

    @property
    def oldest(self) -> float | None:
        """When the oldest byte that is not in the archive came, by the store's clock."""
        stretches = self._inflow.stretches
        return stretches[0].opened if stretches else None

    def tail(self, offset: int, *, follow: bool) -> AsyncGenerator[Chunk | int | End, None]:
        """See `Inflow.tail`; what somebody looks at is read at once."""
        self.hurry()
        return self._inflow.tail(offset, follow=follow)

    def hurry(self) -> None:
        """Do not wait with the first reading: the container has ended, or somebody looks."""
        if isinstance(self._source, Source):
            self._source.due.set()

    def release(self) -> None:
        """Read no more: what is here goes into the archive, the rest is another's."""
        self._released = True
        if self._reader is not None:
            self._reader.cancel()
        self._inflow.tell()

    async def run(self) -> None:
        """Until the log is over and kept, or was released and is kept."""
        while True:
            try:
                await self._once()
                self._inflow.gone = True
                self._inflow.tell()
                return
            except (_Displaced, OpenLog):
                log.info("another collector has gone on with a log", job=self.key.id, stream=self.key.stream)
                await self._displaced()
            except ClosedLog:
                log.warning("a log was closed before all of it was kept", job=self.key.id, stream=self.key.stream)
                await self._closed()
            except Exception:  # whoever begins it again goes on with what lies there
                self._give_back([*self._sent, *(stretch.part for stretch in self._inflow.stretches)])
                self._sent = []
                raise

    def _give_back(self, parts: list[Part]) -> None:
        self._store.spool.give_back(self.key, parts)

    async def _once(self) -> None:
        if not await self._resume():
            return
        read = self._read() if isinstance(self._source, Source) else asyncio.sleep(0)
        self._reader = asyncio.ensure_future(read)
        if self._released:
            self._reader.cancel()
        try:
            await self._keep(self._reader)
            # a reader that broke must be heard of, and may not go on where we end
            over = not self._reader.cancelled()
            if over:
                self._reader.result()
        finally:
            self._reader.cancel()
            await asyncio.wait([self._reader])
        if isinstance(self._source, Left) and self._source.forsaken():
            self._inflow.gap(POD_GONE)
            over = True
        if over:
            await self._close(End(self._inflow.end, not self._inflow.gaps, self._inflow.gaps))
            await self._after(self._inflow.ended)
            if self._chunks > 1:
                await self._until_taken(self._merge)
        else:
            await self._confirm()

    async def _read(self) -> None:
        assert isinstance(self._source, Source)
        await read_and_write(self.key, self._source, self._inflow)

    async def _close(self, end: End) -> None:
        self._inflow.ended = await self._until_taken(lambda: self._store.logs.close(*self.key.words, end))
        self._inflow.tell()

    async def _merge(self) -> None:
        with contextlib.suppress(Damaged):  # whoever reads it says so; it is not made worse
            await self._store.logs.merge(*self.key.words)

    # ---- where to go on

    async def _resume(self) -> bool:
        """Go on where the archive and the spool end. False when there is nothing left to do."""
        logs, words = self._store.logs, self.key.words
        left = self._store.spool.left(self.key)
        try:
            chunks, over = await self._until_taken(lambda: logs.state(*words))
            last = await self._until_taken(lambda: logs.newest(chunks))
            if over is None and ((chunks and not last.text) or await self._is_outlived()):
                end = End(last.end, complete=False, gaps=(*last.gaps, Gap(last.end, POD_GONE)))
                over = await self._until_taken(lambda: logs.close(*words, end))
            self._chunks, self._kept = len(chunks), last.end
            self._inflow.begin(last)
            while left:
                await self._adopt(left[0], chunks, over)
                del left[0]
        except BaseException:
            self._give_back([*(stretch.part for stretch in self._inflow.stretches), *left])
            self._inflow.stretches.clear()
            raise
        if over is not None:
            self._inflow.ended = await self._until_taken(lambda: logs.end(*words))
        self._inflow.tell()
        return over is None

    async def _is_outlived(self) -> bool:
        """Whether this is what is left of a log that must not grow any more: lines of a later attempt may have been
        read, which are counted from where this one ended then."""
        if not isinstance(self._source, Left):
            return False
        streams = await self._until_taken(lambda: self._store.logs.streams(self.key.tenant, self.key.id))
        same = model.container_of(self.key.stream)
        later = any(s.name > self.key.stream and model.container_of(s.name) == same for s in streams)
        return later or self._source.outlived()

    async def _adopt(self, part: Part, chunks: list[Kept], over: End | None) -> None:
        """What a killed process had written down goes on where the archive ends, or is late, or is worth nothing."""
        pieces = await asyncio.to_thread(part.read)
        whole = joined(pieces) if pieces else None
        if whole is not None and over is not None:
            await self._keep_late(part, whole, over.size)
        elif whole is not None and whole.start <= self._inflow.end < whole.end and await self._agrees(whole, chunks):
            self._inflow.adopt(part, whole)
        else:
            await self._store.spool.drop(part)

    async def _agrees(self, whole: Chunk, chunks: list[Kept]) -> bool:
        """Whether the archive says the same where both have something."""
        if whole.start == self._inflow.end or not chunks:
            return True
        at = whole.start
        async for chunk in self._store.logs.read(*self.key.words, whole.start):
            if chunk.text != whole.text[at - whole.start : chunk.end - whole.start]:
                return False
            at = chunk.end
        return True

    # ---- keeping

    async def _keep(self, reader: asyncio.Task[None]) -> None:
        """Put stretch after stretch into the archive, until the reader has ended and all is there."""
        inflow = self._inflow
        reader.add_done_callback(lambda _: inflow.tell())
        while inflow.stretches or not reader.done():
            first = inflow.stretches[0] if inflow.stretches else None
            if first is not None and (first.sealed or reader.done() or self._is_due(first)):
                async with inflow.writing:
                    first.sealed = True
                await self._put(first)
                if inflow.stretches or not reader.done():
                    await self._confirm()
                continue
            left = CHUNK_SECONDS - self._age(first) if first is not None else None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await inflow.news.wait()

    def _is_due(self, stretch: Stretch) -> bool:
        return self._age(stretch) >= CHUNK_SECONDS

    def _age(self, stretch: Stretch) -> float:
        return self._store.clock() - stretch.opened

    async def _put(self, stretch: Stretch) -> None:
        """Raises _Displaced, ClosedLog."""
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
        self._inflow.stretches.popleft()
        self._sent.append(stretch.part)
        self._inflow.tell()

    async def _confirm(self) -> None:
        """What was put into the archive belongs to the log: others had not closed it. Raises ClosedLog where they had,
        which a put does not tell where theirs ends elsewhere, or in a chunk that ours lies in."""
        if self._sent:
            await self._after(await self._until_taken(lambda: self._store.logs.end(*self.key.words)))

    async def _after(self, end: End | None) -> None:
        if end is not None and end.size < self._kept:
            raise ClosedLog
        for part in self._sent:
            await self._store.spool.drop(part)
        self._sent = []

    async def _append(self, chunk: Chunk) -> bool:
        return await self._store.logs.append(*self.key.words, chunk)

    async def _other(self, start: int) -> Chunk:
        async with aclosing(self._store.logs.read(*self.key.words, start)) as chunks:
            async for chunk in chunks:
                return chunk
        raise NotFound("what another collector kept is gone again")

    async def _closed(self) -> None:
        """Others have closed the log where ours goes on: see to it that this is said. What is on the spool is late."""
        end = End(self._kept, complete=False, gaps=(*self._inflow.gaps, Gap(self._kept, POD_GONE)))
        self._set_aside()
        await self._until_taken(lambda: self._store.logs.close(*self.key.words, end))

    async def _displaced(self) -> None:
        """What is on the spool does not fit. Of a log that is open it is read again; of a closed one it is late."""
        if await self._until_taken(lambda: self._store.logs.end(*self.key.words)) is None:
            for stretch in self._inflow.stretches:
                await self._store.spool.drop(stretch.part)
            self._inflow.stretches.clear()
        self._set_aside()

    def _set_aside(self) -> None:
        """For `_resume`, which knows what is late of it."""
        self._give_back([*self._sent, *(stretch.part for stretch in self._inflow.stretches)])
        self._sent = []
        self._inflow.stretches.clear()

    async def _keep_late(self, part: Part, whole: Chunk, size: int) -> None:
        """What lies after the end of a closed log is kept beside it."""
        late = whole.cut(size)
        if late.text:
            await self._until_taken(lambda: self._store.logs.keep_late(*self.key.words, late))
            log.warning("a part of a log came late", job=self.key.id, stream=self.key.stream, bytes=len(late.text))
        await self._store.spool.drop(part)

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
