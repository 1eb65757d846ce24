"""Lists, reads and writes the files of the index (`batch`), and keeps a bounded cache of them; `index` and `compaction`
use it. A file that is damaged costs its own rows, and whoever reads on without them is told.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Sequence
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from longshore.archive.batch import Batch, Entry, Mark, Replaced, is_whole, parsed, stamp, unique_name
from longshore.archive.objects import Objects
from longshore.archive.paths import segment
from longshore.errors import LongshoreError, NotFound, Unavailable

LISTING_DEADLINE = 30.0  # seconds; must stay below the grace that compaction gives replaced files
LOADS = 16  # files fetched at once
ATTEMPTS = 5
MOST_DAMAGED = 1000  # files that are remembered as such
TENANTS = 200  # whose names of files are remembered
CACHED = 8_000  # rows in memory, about 1.8 KB each
DAMAGED_SECONDS = 10.0  # for which a file that could not be read is not read again
REPAIR = "'longshore archive verify --repair' lists again what it listed, by the records"


class DamagedBatch(LongshoreError):
    """This file of the index cannot be read."""

    def __init__(self, batch: Batch) -> None:
        super().__init__(f"the archive's {batch.path} is damaged", hint=REPAIR)
        self.batch = batch


class Vanished(NotFound):
    """These files were there when they were listed."""

    def __init__(self, paths: Collection[str]) -> None:
        super().__init__("files of the archive's index went away under a read")
        self.paths = frozenset(paths)


Row = TypeVar("Row", Entry, Mark, Replaced)
Result = TypeVar("Result")


class Batches:
    """Lists, reads, writes and deletes index files; keeps at most `cached` rows of them in memory."""

    def __init__(self, objects: Objects, *, cached: int = CACHED, tell: Callable[[str], None] = lambda _: None) -> None:
        self.objects = objects
        self._cached = cached
        self._tell = tell  # hears the path of each file that turns out to be damaged
        self._rows = 0
        self._cache: OrderedDict[str, Sequence[Any]] = OrderedDict()
        self._loads = asyncio.Semaphore(LOADS)
        self._listed: dict[str, dict[str, Batch | None]] = {}
        self._damaged: dict[str, float] = {}  # when it was last tried to read these

    async def tenants(self) -> Sequence[str]:
        """Everyone who has an index: a listing of one level."""
        return await self.objects.folders("index/")

    async def listing(self, tenants: Sequence[str]) -> list[Batch]:
        """All files of these tenants, in no order."""
        try:
            async with asyncio.timeout(LISTING_DEADLINE):
                return [batch for some in await gathered(map(self._listing, tenants)) for batch in some]
        except TimeoutError as error:
            raise Unavailable("listing the archive takes too long", hint="is its index being compacted?") from error

    async def _listing(self, tenant: str) -> list[Batch]:
        prefix = f"index/{segment(tenant)}/"
        async with self._loads:
            paths = [path async for path, _ in self.objects.list(prefix)]
        # a page lists some hundred names, nearly all of which the one before has read already
        before = self._listed.get(tenant, {})
        found = {path: before[path] if path in before else parsed(tenant, prefix, path) for path in paths}
        self._listed[tenant] = found
        while len(self._listed) > TENANTS:
            del self._listed[next(iter(self._listed))]
        return [batch for batch in found.values() if batch]

    async def read(
        self, batch: Batch, type: type[Row], *, cache: bool = True, words: Sequence[bytes] = ()
    ) -> Sequence[Row]:
        """The rows as they were written. Raises DamagedBatch; NotFound when the file is gone since it was listed.

        None where one of `words` is nowhere in the file, which is found out without taking it apart.
        """
        if (rows := self._known(batch.path)) is not None:
            return rows
        async with self._loads:
            if (rows := self._known(batch.path)) is not None:  # another reader has loaded it meanwhile
                return rows
            if time.monotonic() - self._damaged.get(batch.path, -DAMAGED_SECONDS) < DAMAGED_SECONDS:
                raise DamagedBatch(batch)
            data = await self.objects.get(batch.path)
        if not is_whole(batch, data):
            raise self._found_damaged(batch)
        if any(word not in data for word in words):
            return ()
        try:
            rows = msgspec.json.Decoder(type).decode_lines(data)
        except msgspec.DecodeError as error:
            raise self._found_damaged(batch) from error
        self._damaged.pop(batch.path, None)
        if cache:
            self._remember(batch.path, rows)
        return rows

    async def read_all(
        self, batches: Sequence[Batch], type: type[Row], *, cache: bool = True, words: Sequence[bytes] = ()
    ) -> list[Sequence[Row]]:
        """The rows of each, fetched side by side."""
        return await gathered(self.read(each, type, cache=cache, words=words) for each in batches)

    async def read_readable(
        self,
        batches: Sequence[Batch],
        type: type[Row],
        gone: Collection[str],
        *,
        cache: bool = True,
        words: Sequence[bytes] = (),
    ) -> tuple[list[Sequence[Row]], list[Batch]]:
        """The rows of each, none of what cannot be read; and what that is. `gone`: paths that earlier listings had in
        vain. Raises Vanished, and Unavailable while the archive is away."""
        work = (self.read(each, type, cache=cache, words=words) for each in batches)
        answers = await asyncio.gather(*work, return_exceptions=True)
        rows: list[Sequence[Row]] = []
        damaged: list[Batch] = []
        for batch, answer in zip(batches, answers, strict=True):
            if not isinstance(answer, BaseException):
                rows.append(answer)
                continue
            if isinstance(answer, Unavailable):
                await self.objects.answers()  # it is there: only this cannot be read
                self._found_damaged(batch)
            elif isinstance(answer, NotFound) and batch.path in gone:
                self._found_damaged(batch)
            elif not isinstance(answer, DamagedBatch | NotFound):
                raise answer
            rows.append(())
            damaged.append(batch)
        vanished = {b.path for b, a in zip(batches, answers, strict=True) if isinstance(a, NotFound)} - set(gone)
        if vanished:
            raise Vanished(vanished)
        return rows, damaged

    async def sound(self, batches: Sequence[Batch]) -> list[Batch]:
        """These without those known as damaged, which are looked at again for that."""
        known = [batch for batch in batches if batch.path in self._damaged]
        still = await self.unreadable(known, [batch.path for batch in known])
        return [batch for batch in batches if batch not in still]

    async def unreadable(self, batches: Sequence[Batch], gone: Collection[str]) -> list[Batch]:
        """Which of these cannot be read. Raises Vanished."""
        found: list[Batch] = []
        for start in range(0, len(batches), LOADS):
            sorts: defaultdict[str, list[Batch]] = defaultdict(list)
            for batch in batches[start : start + LOADS]:
                sorts[batch.sort[0]].append(batch)
            found += (await self.read_readable(sorts["e"], Entry, gone, cache=False))[1]
            found += (await self.read_readable(sorts["h"], Mark, gone, cache=False))[1]
            found += (await self.read_readable(sorts["d"], Replaced, gone, cache=False))[1]
        return found

    async def damaged(self, tenant: str) -> list[Batch]:
        """The files of a tenant's index that cannot be read; reads all of them."""

        async def look(gone: Collection[str]) -> list[Batch]:
            return await self.unreadable(await self.listing([tenant]), gone)

        return await relisting(look)

    def _found_damaged(self, batch: Batch) -> DamagedBatch:
        if batch.path not in self._damaged:
            self._tell(batch.path)
        self._damaged.pop(batch.path, None)
        self._damaged[batch.path] = time.monotonic()
        while len(self._damaged) > MOST_DAMAGED:
            del self._damaged[next(iter(self._damaged))]
        return DamagedBatch(batch)

    async def write(
        self, tenant: str, sort: str, rows: Sequence[Entry | Mark | Replaced], first: datetime, last: datetime
    ) -> Batch:
        """One new file with these rows."""
        data = msgspec.json.Encoder().encode_lines(rows)
        name = f"{sort}-{stamp(last)}-{stamp(first)}-{len(rows)}-{unique_name(data)}.jsonl"
        path = f"index/{segment(tenant)}/{name}"
        await self.objects.put(path, data)
        return Batch(tenant, sort, first, last, len(rows), path)

    async def delete(self, paths: Sequence[str]) -> None:
        """Remove files; those that are gone already are fine."""
        for start in range(0, len(paths), LOADS):
            await gathered(self.objects.delete(path) for path in paths[start : start + LOADS])

    def _known(self, path: str) -> Sequence[Any] | None:
        if (rows := self._cache.get(path)) is not None:
            self._cache.move_to_end(path)
        return rows

    def _remember(self, path: str, rows: Sequence[Any]) -> None:
        if path in self._cache:  # loaded twice at the same time
            return
        self._cache[path] = rows
        self._rows += len(rows)
        while self._rows > self._cached:
            _, dropped = self._cache.popitem(last=False)
            self._rows -= len(dropped)


async def gathered(work: Iterable[Coroutine[Any, Any, Result]]) -> list[Result]:
    """The results of all, done side by side; the first error, bare, when all have ended (callers tell NotFound)."""
    answers = await asyncio.gather(*work, return_exceptions=True)
    results: list[Result] = []
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
        results.append(answer)
    return results


async def relisting(work: Callable[[Collection[str]], Awaitable[Result]]) -> Result:
    """What `work` finds, which lists and reads; again where files went away in between. What two listings had in vain
    is told to it as gone: a third that has it makes it damaged."""
    vain: Counter[str] = Counter()
    for _ in range(ATTEMPTS):
        try:
            return await work({path for path, times in vain.items() if times > 1})
        except Vanished as vanished:
            vain.update(vanished.paths)
    raise Unavailable("the archive's index changes faster than it can be read", hint="ask again in a second")
