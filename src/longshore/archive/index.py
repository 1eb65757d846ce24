"""The list of all that has finished, by tenant, newest or oldest first, out of immutable files and without a database.

`add` writes one small file before an object is let go; a `scan` merges only the files whose names say that they can
hold rows of the page (format: `batch`); `compact`, called by the leader now and then, turns small files into large
sorted ones. Entries are deduplicated by uid, so every write may be repeated. A file that goes away under a read means
that compaction was there: the read lists again. A list of hot and archived work reads the hot objects first: what
leaves them meanwhile is in the index already.

A file that is damaged or gone costs what it listed, and `Scan.damaged` names it; `page` raises instead, for those who
need all. Every record can be found without the list, and `repair` makes the list anew of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime

import msgspec

from longshore.archive.batch import Batch, Entry, Mark
from longshore.archive.batches import CACHED, LOADS, Batches, DamagedBatch, gathered, relisting
from longshore.archive.compaction import Limits, compact
from longshore.archive.objects import Objects
from longshore.archive.paths import segment
from longshore.archive.records import Recorded, record_path
from longshore.archive.scan import SCANNED, Position, Scan, Wanted, scan
from longshore.errors import LongshoreError, NotFound, Unavailable

__all__ = ["Entry", "Index", "Limits", "Scan", "Wanted"]


def _now() -> datetime:
    return datetime.now(UTC)


class Index:
    """History by tenant; `now` is the clock, `cached` bounds the entries kept in memory, `tell` hears which files of it
    turn out to be damaged."""

    def __init__(
        self,
        objects: Objects,
        *,
        limits: Limits | None = None,
        now: Callable[[], datetime] = _now,
        cached: int = CACHED,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._batches = Batches(objects, cached=cached, tell=tell)
        self._objects = objects
        self._limits = limits or Limits()
        self._now = now

    async def add(self, entries: Sequence[Entry]) -> None:
        """Make `entries` part of history, with one file a tenant, read back; adding the same again is harmless."""
        by_tenant: defaultdict[str, list[Entry]] = defaultdict(list)
        for entry in entries:
            by_tenant[entry.tenant].append(entry)
        await gathered(self._add(tenant, mine) for tenant, mine in by_tenant.items())

    async def _add(self, tenant: str, entries: list[Entry]) -> None:
        entries.sort(key=lambda entry: entry.position)
        written = await self._batches.write(tenant, "e0", entries, entries[0].created, entries[-1].created)
        if await self._batches.read(written, Entry, cache=False) != entries:
            raise Unavailable("the archive gave back other than was written to its index", hint="try again")

    async def hide(self, tenant: str, uid: str) -> None:
        """Show this entry no more. Its record stays; a note says for good that this was meant."""
        await self._objects.put(hidden_path(tenant, uid), b"")
        await self.hide_all(tenant, [uid])

    async def hidden(self, tenant: str) -> set[str]:
        """The uids of all that was hidden and not purged."""
        prefix = hidden_path(tenant, "")
        return {path.removeprefix(prefix) async for path, _ in self._objects.list(prefix)}

    async def hide_all(self, tenant: str, uids: Sequence[str]) -> None:
        """Show these entries no more, for what is purged."""
        now = self._now()
        await self._batches.write(tenant, "h0", [Mark(uid, now) for uid in uids], now, now)

    async def page(
        self,
        tenant: str | None,
        *,
        before: Position | None = None,
        limit: int = 50,
        keep: Callable[[Entry], bool] | None = None,
        since: datetime | None = None,
    ) -> list[Entry]:
        """Up to `limit` entries that `keep` likes, by (created, uid) from the highest, strictly below `before` and not
        older than `since`.

        Fewer than `limit` means the end. None as tenant means all. Raises Unavailable when the archive is away, and
        DamagedBatch where some may be missing.
        """
        scan = await self.scan(tenant, Wanted(limit, before, since=since, keep=keep), most=None)
        if scan.damaged:
            raise DamagedBatch(scan.damaged[0])
        return scan.entries

    async def scan(self, tenant: str | None, wanted: Wanted, *, most: int | None = SCANNED) -> Scan:
        """What is `wanted`, but looks at no more than about `most` entries: what is rare is found in several scans,
        each of which goes on after where the last one got. Raises Unavailable when the archive is away."""

        async def look(gone: Collection[str]) -> Scan:
            files = await self._batches.listing(await self._batches.tenants() if tenant is None else [tenant])
            hidden, damaged = await self._marked(files, gone)
            found = await scan(self._batches, files, hidden, wanted, most, gone)
            return msgspec.structs.replace(found, damaged=(*damaged, *found.damaged))

        return await relisting(look)

    async def find(self, tenant: str | None, id: str) -> Entry | None:
        """The entry of one work item, None where no record of it exists or it is hidden; None as tenant asks all.

        The record tells the position, so this is a few reads and not a search, and a wrong id is one per tenant. What
        no list has, as its file is damaged or gone, is found by its record alone.
        """
        tenants = await self._objects.folders("records/") if tenant is None else [tenant]
        for start in range(0, len(tenants), LOADS):
            for found in await gathered(self._find(each, id) for each in tenants[start : start + LOADS]):
                if found is not None:
                    return found
        return None

    async def lists(self, tenant: str, id: str) -> bool:
        """Whether a list has what this record is of."""
        recorded = await self._recorded(tenant, id)
        return recorded is not None and await self._listed(tenant, recorded) is not None

    async def _find(self, tenant: str, id: str) -> Entry | None:
        recorded = await self._recorded(tenant, id)
        if recorded is None:
            return None
        listed = await self._listed(tenant, recorded)
        if listed is None and not await self._is_hidden(tenant, recorded.uid):
            return recorded.entry(tenant)
        return listed

    async def _recorded(self, tenant: str, id: str) -> Recorded | None:
        try:
            return msgspec.json.decode(await self._objects.get(record_path(tenant, id)), type=Recorded)
        except NotFound:
            return None
        except msgspec.DecodeError as error:
            raise LongshoreError(f"the record of {id} is damaged", hint="restore it from a backup") from error

    async def _listed(self, tenant: str, recorded: Recorded) -> Entry | None:
        just_above = (recorded.created, recorded.uid + "\0")
        found = (await self.scan(tenant, Wanted(1, just_above), most=None)).entries
        return found[0] if found and found[0].uid == recorded.uid else None

    async def _is_hidden(self, tenant: str, uid: str) -> bool:
        noted = await self._objects.size(hidden_path(tenant, uid)) is not None
        return noted or uid in await self.marked(tenant)

    async def tenants(self) -> Sequence[str]:
        """Everyone who has history, sorted."""
        return await self._batches.tenants()

    async def compact(self, tenant: str) -> None:
        """Merge small files, apply marks, remove what was replaced a while ago; cheap when there is little to do."""
        # where another compaction is at it too, what both write is deduplicated by the next one
        await relisting(lambda gone: compact(self._batches, tenant, self._limits, self._now(), gone))

    async def marked(self, tenant: str) -> set[str]:
        """The uids of all that is not shown, as far as the index says."""

        async def look(gone: Collection[str]) -> set[str]:
            marked, _ = await self._marked(await self._batches.listing([tenant]), gone)
            return {uid for _, uid in marked}

        return await relisting(look)

    async def _marked(self, files: Sequence[Batch], gone: Collection[str]) -> tuple[set[tuple[str, str]], list[Batch]]:
        """(tenant, uid) of all that is not to be shown, and the marks that cannot be read."""
        marks = [file for file in files if file.sort in ("h0", "h1")]
        rows, damaged = await self._batches.read_readable(marks, Mark, gone)
        marked = {(file.tenant, mark.uid) for file, some in zip(marks, rows, strict=True) for mark in some}
        for tenant in {file.tenant for file in damaged}:  # what was hidden one by one is noted elsewhere too
            marked |= {(tenant, uid) for uid in await self.hidden(tenant)}
        return marked, damaged


def hidden_path(tenant: str, uid: str) -> str:
    """Where it is noted that an entry was hidden; the folder for no uid."""
    return f"hidden/{segment(tenant)}/{uid}"
