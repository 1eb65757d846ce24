"""Turns the index's small files into large sorted ones, so that a page stays a few reads however long history gets.

Works like the leaves of a B-tree: e1 files have (nearly) disjoint ranges of `created`; new entries go into the leaf
whose range they fall in, and a leaf that grows too large is cut. New files are written before a d0 file condemns the
old ones; those are deleted only `grace` later, so that a listing that takes a while sees one or the other. A crash
in between, or two compactions at once, leave duplicates, which readers skip and the next compaction merges. What cannot
be read stays where it is, for `repair` to see, and keeps nothing else from being merged.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from itertools import chain

import msgspec

from longshore.archive.batch import Batch, Entry, Mark, Replaced
from longshore.archive.batches import Batches


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """When compaction acts and how much it takes at once; sizes in entries."""

    leaf: int = 2048  # about half a megabyte, parsed in 2 ms
    fold_at: int = 32  # files of one sort that make a compaction worth it
    round: int = 10_000  # entries held in memory at once
    overlapping: int = 16  # leaves merged at once
    grace: timedelta = timedelta(seconds=60)
    marks_wait: timedelta = timedelta(days=1)  # a mark is applied by then; readers honour it at once
    marks_kept: timedelta = timedelta(days=7)  # longer than any retry of adding the same entry again


async def compact(batches: Batches, tenant: str, limits: Limits, now: datetime, gone: Collection[str] = ()) -> None:
    """One go over one tenant's index. Raises Vanished; `gone` are those of which that was said by a go before."""
    files = await batches.sound(await batches.listing([tenant]))
    files = await _without_replaced(batches, files, now, gone)
    marks = [file for file in files if file.sort in ("h0", "h1")]
    rows, unread = await batches.read_readable(marks, Mark, gone)
    marks = [file for file in marks if file not in unread]
    due = _due(marks, limits, now)
    fresh = [file for file in files if file.sort == "e0"]
    work = _Work(batches, tenant, limits, now, {mark.uid for some in rows for mark in some}, gone)
    work.leaves = [file for file in files if file.sort == "e1"]
    if len(fresh) >= limits.fold_at or due:
        for some in _rounds(fresh, limits.round):
            await work.fold(some)
    await work.fold([], sweep=bool(due))
    if due:
        await _settle(batches, work, marks)


def newer(one: Entry, other: Entry) -> Entry:
    """Which of two entries with the same uid is shown: the later end, what tells more, an arbitrary one for good."""

    def rank(entry: Entry) -> tuple[datetime, bool, bool, bytes]:
        told = entry.started is not None, entry.message is not None
        return entry.finished or entry.created, *told, msgspec.json.encode(entry)

    return max(one, other, key=rank)


class _Work:
    """Folds entries into the leaves of one tenant."""

    def __init__(
        self,
        batches: Batches,
        tenant: str,
        limits: Limits,
        now: datetime,
        hidden: set[str],
        gone: Collection[str],
    ) -> None:
        self.batches, self.tenant, self.limits, self.now, self.hidden = batches, tenant, limits, now, hidden
        self.gone = gone
        self.leaves: list[Batch] = []

    async def fold(self, fresh: Sequence[Batch], *, sweep: bool = False) -> None:
        """Put entries into their leaves and merge leaves that overlap; `sweep` looks into every leaf."""
        rows, unread = await self.batches.read_readable(fresh, Entry, self.gone, cache=False)
        entries = chain.from_iterable(rows)
        slots = _slots(self.leaves, self.limits.overlapping) or [[]]
        arrivals = _shared_out(entries, slots)
        kept: list[Batch] = []
        replaced = [file for file in fresh if file not in unread]
        for number, slot in enumerate(slots):
            if arrivals[number] or len(slot) > 1 or sweep:
                written, old = await self._rewrite(slot, arrivals[number], newest=number == len(slots) - 1)
                kept += written
                replaced += old
            else:
                kept += slot
        self.leaves = kept
        await self.condemn(replaced)

    async def _rewrite(
        self, slot: Sequence[Batch], arrived: Sequence[Entry], *, newest: bool
    ) -> tuple[list[Batch], list[Batch]]:
        """The leaves that hold this slot's entries now, and the files that they replace."""
        rows, unread = await self.batches.read_readable(slot, Entry, self.gone, cache=False)
        slot = [file for file in slot if file not in unread]
        there = list(chain.from_iterable(rows))
        entries: dict[str, Entry] = {}
        for entry in chain(there, arrived):
            if entry.uid not in self.hidden:
                entries[entry.uid] = newer(entry, entries[entry.uid]) if entry.uid in entries else entry
        if len(slot) == 1 and not arrived and len(entries) == len(there):
            return list(slot), []
        ordered = sorted(entries.values(), key=lambda entry: entry.position)
        written = [
            await self.batches.write(self.tenant, "e1", rows, rows[0].created, rows[-1].created)
            for rows in _cut(ordered, self.limits.leaf, even=not newest)
        ]
        return written, list(slot)

    async def condemn(self, files: Sequence[Batch]) -> None:
        """Let these be deleted once nobody can still rely on having listed them."""
        if files:
            due = self.now + self.limits.grace
            await self.batches.write(self.tenant, "d0", [Replaced(file.path) for file in files], due, due)


async def _without_replaced(
    batches: Batches, files: Sequence[Batch], now: datetime, gone: Collection[str]
) -> list[Batch]:
    """Delete what is due, and return the files whose rows are not in newer ones."""
    replaced: set[str] = set()
    for condemned in [file for file in files if file.sort == "d0"]:
        (rows,), unread = await batches.read_readable([condemned], Replaced, gone, cache=False)
        paths = [row.path for row in rows]
        replaced.update(paths)
        if condemned.last <= now and not unread:
            await batches.delete(paths)
            await batches.delete([condemned.path])
    return [file for file in files if file.sort != "d0" and file.path not in replaced]


def _due(marks: Sequence[Batch], limits: Limits, now: datetime) -> list[Batch]:
    """Marks that make it worth looking into every leaf: many or old new ones, or applied ones that may go."""
    new = [file for file in marks if file.sort == "h0"]
    if len(new) >= limits.fold_at or any(file.first <= now - limits.marks_wait for file in new):
        return new
    return [file for file in marks if file.sort == "h1" and file.last <= now - limits.marks_kept]


async def _settle(batches: Batches, work: _Work, marks: Sequence[Batch]) -> None:
    """After a sweep: new marks become applied ones, and applied ones that are old go."""
    new = [file for file in marks if file.sort == "h0"]
    old = [file for file in marks if file.sort == "h1" and file.last <= work.now - work.limits.marks_kept]
    rows = sorted(chain.from_iterable(await batches.read_all(new, Mark)), key=lambda mark: mark.hidden)
    if rows:
        await batches.write(work.tenant, "h1", rows, rows[0].hidden, rows[-1].hidden)
    await work.condemn([*new, *old])


def _rounds(fresh: Sequence[Batch], entries: int) -> Iterable[list[Batch]]:
    """Oldest first, in groups of about as many entries as fit into memory."""
    group: list[Batch] = []
    held = 0
    for file in sorted(fresh, key=lambda file: file.last):
        if group and held + file.count > entries:
            yield group
            group, held = [], 0
        group.append(file)
        held += file.count
    if group:
        yield group


def _slots(leaves: Sequence[Batch], most: int) -> list[list[Batch]]:
    """Leaves by age, those that overlap together. Sharing one second at the edge is no overlap: bursts do."""
    slots: list[list[Batch]] = []
    reach: datetime | None = None
    for leaf in sorted(leaves, key=lambda leaf: (leaf.first, leaf.last)):
        if reach is not None and leaf.first < reach and len(slots[-1]) < most:
            slots[-1].append(leaf)
            reach = max(reach, leaf.last)
        else:
            slots.append([leaf])
            reach = leaf.last
    return slots


def _shared_out(entries: Iterable[Entry], slots: Sequence[Sequence[Batch]]) -> list[list[Entry]]:
    """Each entry to the last slot that starts no later than it, or to the first slot."""
    starts = [slot[0].first for slot in slots if slot]
    arrivals: list[list[Entry]] = [[] for _ in slots]
    for entry in entries:
        arrivals[max(0, bisect_right(starts, entry.created) - 1)].append(entry)
    return arrivals


def _cut(entries: Sequence[Entry], leaf: int, *, even: bool) -> list[Sequence[Entry]]:
    """Pieces of at most `leaf`: full ones where history grows, equal ones in the middle, which then have room."""
    pieces = -(-len(entries) // leaf)
    size = -(-len(entries) // pieces) if even and pieces else leaf
    return [entries[start : start + size] for start in range(0, len(entries), size)]
