"""Reads the rows of an index in one order, newest or oldest first, and opens only the files whose names say that they
can hold what comes next. `index` gives it the files; their format is in `batch`.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from datetime import datetime

import msgspec

from longshore.archive.batch import Batch, Entry
from longshore.archive.batches import LOADS, Batches
from longshore.archive.compaction import newer

Position = tuple[datetime, str]
SCANNED = 10_000  # entries; about 30 ms
MOST_WANTED = 16_000  # entries of the files opened at once; bounds the memory of a search
_A_LOOK = 100  # what it costs, in entries, to see that a file has nothing
_ABOVE_ALL = "~"  # as a uid


class Scan(msgspec.Struct, frozen=True):
    """Some entries, and where to go on after; None at the end of history. What was in `damaged` files is missing."""

    entries: list[Entry]
    reached: Position | None
    damaged: tuple[Batch, ...] = ()


class Wanted(msgspec.Struct, frozen=True):
    """What a scan looks for: up to `limit` entries that `keep` likes, strictly after `after` in its order, created not
    before `since` and before `until`. `words` are in the JSON of whatever `keep` likes."""

    limit: int
    after: Position | None = None
    descending: bool = True
    since: datetime | None = None
    until: datetime | None = None
    keep: Callable[[Entry], bool] | None = None
    words: Sequence[bytes] = ()

    def may_be_in(self, file: Batch) -> bool:
        if self.after is not None and (file.first > self.after[0] if self.descending else file.last < self.after[0]):
            return False
        return (self.since is None or file.last >= self.since) and (self.until is None or file.first < self.until)

    def begins(self, file: Batch) -> datetime:
        """The end of the file that comes first in this order."""
        return file.last if self.descending else file.first

    def comes_first(self, file: Batch, top: Entry) -> bool:
        """Whether this file may hold what comes before `top`, or with it."""
        return file.last >= top.created if self.descending else file.first <= top.created

    def before(self, file: Batch) -> Position:
        """A place that no entry has, before all of this file and after all that comes earlier."""
        return (file.last, _ABOVE_ALL) if self.descending else (file.first, "")

    def is_past(self, place: Position) -> bool:
        """Whether the scan has come to `place` on its way from where it began."""
        return self.after is None or (place < self.after if self.descending else place > self.after)

    def is_over(self, entry: Entry) -> bool:
        """Whether neither this nor what comes after it is wanted."""
        if self.descending:
            return self.since is not None and entry.created < self.since
        return self.until is not None and entry.created >= self.until

    def likes(self, entry: Entry) -> bool:
        return (
            (self.since is None or entry.created >= self.since)
            and (self.until is None or entry.created < self.until)
            and (self.keep is None or self.keep(entry))
        )


async def scan(
    batches: Batches,
    files: Sequence[Batch],
    hidden: set[tuple[str, str]],
    wanted: Wanted,
    most: int | None,
    gone: Collection[str] = (),
) -> Scan:
    """Looks at no more than about `most` entries. Raises Vanished where compaction has taken a file meanwhile; `gone`
    are those of which that was said before `files` were listed."""
    page: list[Entry] = []
    if wanted.limit <= 0:
        return Scan(page, wanted.after)
    look = _Look(most, wanted, gone)
    async for entry in _deduplicated(_merged(batches, files, wanted, look)):
        if wanted.is_over(entry):
            return Scan(page, None, look.damaged_until(entry.position))
        if (entry.tenant, entry.uid) not in hidden and wanted.likes(entry):
            page.append(entry)
        if len(page) == wanted.limit or look.is_enough():
            return Scan(page, entry.position, look.damaged_until(entry.position))
    return Scan(page, look.reached, look.damaged_until(look.reached))


class _Look:
    """How much a scan has looked at, in entries, and may; and what it could not read."""

    def __init__(self, most: int | None, wanted: Wanted, gone: Collection[str]) -> None:
        self.reached: Position | None = None
        self.spent = 0
        self.damaged: list[Batch] = []
        self.gone = gone
        self._most = most
        self._wanted = wanted

    def is_enough(self, more: int = 1) -> bool:
        self.spent += more
        return self._most is not None and self.spent >= self._most

    def damaged_until(self, place: Position | None) -> tuple[Batch, ...]:
        """Those that could have held something on the way to `place`; files are opened before it is their turn."""
        begins = self._wanted.begins
        if place is None:
            return tuple(self.damaged)
        if self._wanted.descending:
            return tuple(file for file in self.damaged if begins(file) >= place[0])
        return tuple(file for file in self.damaged if begins(file) <= place[0])


async def _merged(batches: Batches, files: Sequence[Batch], wanted: Wanted, look: _Look) -> AsyncIterator[Entry]:
    """Entries in order, duplicates next to each other; opens files as it gets there."""
    entries = [file for file in files if file.sort in ("e0", "e1") and wanted.may_be_in(file)]
    waiting = deque(sorted(entries, key=wanted.begins, reverse=wanted.descending))
    heap: list[_Run] = []
    opened = wanted.limit
    while waiting or heap:
        while waiting and (not heap or wanted.comes_first(waiting[0], heap[0].top)):
            place = wanted.before(waiting[0])
            if not heap and look.is_enough(0) and wanted.is_past(place):
                look.reached = place
                return
            wave = _wave(waiting, opened)
            found, damaged = await batches.read_readable(wave, Entry, look.gone, words=wanted.words)
            look.damaged += damaged
            for rows in found:
                look.spent += not rows and _A_LOOK
                if run := _Run.after(rows, wanted):
                    heapq.heappush(heap, run)
            if not heap:  # nothing in these, so perhaps nothing in many more
                opened = min(2 * opened, MOST_WANTED)
        if heap:
            yield heap[0].top
            if heap[0].advance():
                heapq.heapreplace(heap, heap[0])
            else:
                heapq.heappop(heap)


class _Run:
    """The rows of one file, sorted upwards, read one way or the other."""

    __slots__ = ("_at", "_descending", "_rows", "top")

    def __init__(self, rows: Sequence[Entry], at: int, *, descending: bool) -> None:
        self._rows = rows
        self._at = at
        self._descending = descending
        self.top = rows[at]

    @classmethod
    def after(cls, rows: Sequence[Entry], wanted: Wanted) -> _Run | None:
        if wanted.descending:
            end = len(rows) if wanted.after is None else bisect_left(rows, wanted.after, key=_position)
            return cls(rows, end - 1, descending=True) if end else None
        start = 0 if wanted.after is None else bisect_right(rows, wanted.after, key=_position)
        return cls(rows, start, descending=False) if start < len(rows) else None

    def advance(self) -> bool:
        self._at += -1 if self._descending else 1
        if not 0 <= self._at < len(self._rows):
            return False
        self.top = self._rows[self._at]
        return True

    def __lt__(self, other: _Run) -> bool:
        """heapq keeps the least first."""
        if self._descending:
            return self.top.position > other.top.position
        return self.top.position < other.top.position


def _position(entry: Entry) -> Position:
    return entry.position


def _wave(waiting: deque[Batch], wanted: int) -> list[Batch]:
    """The next files to open at once: enough for a page, as their names count."""
    wave = [waiting.popleft()]
    while waiting and len(wave) < LOADS and sum(file.count for file in wave) < wanted:
        wave.append(waiting.popleft())
    return wave


async def _deduplicated(entries: AsyncIterator[Entry]) -> AsyncIterator[Entry]:
    last: Entry | None = None
    async for entry in entries:
        if last is None or entry.uid == last.uid:
            last = entry if last is None else newer(last, entry)
        else:
            yield last
            last = entry
    if last is not None:
        yield last
