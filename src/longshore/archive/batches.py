"""The files of the index: their names, their rows, and a bounded cache of them. `index` and `compaction` use it.

`index/{tenant}/{sort}-{last}-{first}-{count}-{unique}.jsonl`, one JSON object a line, UTC times as
`20251120T211200123456Z`. No file is ever changed and no name used twice, so a cached one is never stale.

| sort | rows | first, last |
|---|---|---|
| e0 | entries as they were added | oldest and newest `created` |
| e1 | entries that compaction sorted and cut: ranges of e1 files hardly overlap | the same |
| h0 | {uid, hidden}: marks of entries not to be shown any more | `hidden` |
| h1 | such marks, already applied to the e1 files; kept a while in case an entry is added again late | `hidden` |
| d0 | {path}: files that compaction replaced, to be deleted when their time has come | that time, twice |

Names alone tell which files can hold rows of a page. Files of another shape are left alone.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Coroutine, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import uuid4

import msgspec

from longshore.archive.objects import Objects
from longshore.archive.paths import segment
from longshore.errors import LongshoreError, Unavailable

LISTING_DEADLINE = 30.0  # seconds; must stay below the grace that compaction gives replaced files
LOADS = 16  # files fetched at once
TENANTS = 200  # whose names of files are remembered
CACHED = 8_000  # rows in memory, about 1.5 KB each
_STAMP = "%Y%m%dT%H%M%S%fZ"
_NAME = re.compile(r"(e0|e1|h0|h1|d0)-(\d{8}T\d{12}Z)-(\d{8}T\d{12}Z)-(\d+)-([0-9a-f]{32})\.jsonl")


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One line of history. `created` belongs to `uid` for good; (created, uid) is its place in every list."""

    uid: str
    id: str
    kind: str
    tenant: str
    name: str
    created: datetime
    finished: datetime | None
    status: str
    reason: str
    tags: dict[str, str] = {}

    @property
    def position(self) -> tuple[datetime, str]:
        return self.created, self.uid


class Mark(msgspec.Struct, frozen=True, gc=False):
    """The entry `uid` is not to be shown any more, since `hidden`."""

    uid: str
    hidden: datetime


class Replaced(msgspec.Struct, frozen=True, gc=False):
    """A file whose rows are in newer files."""

    path: str


class Batch(msgspec.Struct, frozen=True, gc=False):
    """One file of the index, as its name tells."""

    tenant: str
    sort: str
    first: datetime
    last: datetime
    count: int
    path: str


Row = TypeVar("Row", Entry, Mark, Replaced)
Result = TypeVar("Result")


class Batches:
    """Lists, reads, writes and deletes index files; keeps at most `cached` rows of them in memory."""

    def __init__(self, objects: Objects, *, cached: int = CACHED) -> None:
        self.objects = objects
        self._cached = cached
        self._rows = 0
        self._cache: OrderedDict[str, Sequence[Any]] = OrderedDict()
        self._loads = asyncio.Semaphore(LOADS)
        self._listed: dict[str, dict[str, Batch | None]] = {}

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
        found = {path: before[path] if path in before else _parsed(tenant, prefix, path) for path in paths}
        self._listed[tenant] = found
        while len(self._listed) > TENANTS:
            del self._listed[next(iter(self._listed))]
        return [batch for batch in found.values() if batch]

    async def read(
        self, batch: Batch, type: type[Row], *, cache: bool = True, words: Sequence[bytes] = ()
    ) -> Sequence[Row]:
        """The rows as they were written; NotFound when compaction has removed the file since it was listed.

        None where one of `words` is nowhere in the file, which is found out without taking it apart.
        """
        if (rows := self._known(batch.path)) is not None:
            return rows
        async with self._loads:
            if (rows := self._known(batch.path)) is not None:  # another reader has loaded it meanwhile
                return rows
            data = await self.objects.get(batch.path)
        if any(word not in data for word in words):
            return ()
        try:
            rows = msgspec.json.Decoder(type).decode_lines(data)
        except msgspec.DecodeError as error:
            raise LongshoreError(
                f"the archive's {batch.path} is damaged", hint="restore it from a backup of the archive"
            ) from error
        if cache:
            self._remember(batch.path, rows)
        return rows

    async def read_all(
        self, batches: Sequence[Batch], type: type[Row], *, cache: bool = True, words: Sequence[bytes] = ()
    ) -> list[Sequence[Row]]:
        """The rows of each, fetched side by side."""
        return await gathered(self.read(each, type, cache=cache, words=words) for each in batches)

    async def write(
        self, tenant: str, sort: str, rows: Sequence[Entry | Mark | Replaced], first: datetime, last: datetime
    ) -> Batch:
        """One new file with these rows."""
        name = f"{sort}-{_stamp(last)}-{_stamp(first)}-{len(rows)}-{uuid4().hex}.jsonl"
        path = f"index/{segment(tenant)}/{name}"
        await self.objects.put(path, msgspec.json.Encoder().encode_lines(rows))
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


def _stamp(time: datetime) -> str:
    if time.tzinfo is None:
        raise ValueError("a time in the index needs its zone")
    return time.astimezone(UTC).strftime(_STAMP)


def _parsed(tenant: str, prefix: str, path: str) -> Batch | None:
    match = _NAME.fullmatch(path, len(prefix))
    if match is None:
        return None
    sort, last, first, count, _ = match.groups()
    return Batch(tenant, sort, _time(first), _time(last), int(count), path)


def _time(stamp: str) -> datetime:
    # strptime is twenty times slower, and a listing parses thousands.
    return datetime.fromisoformat(f"{stamp[:15]}.{stamp[15:21]}+00:00")
