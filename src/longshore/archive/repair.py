"""Makes the list of history anew where it does not say what there is; `longshore archive verify --repair` calls it.

Everything that a list shows is in the records too. So each record that no list has is listed again, save what was
hidden or is being purged, and only then the damaged files are set aside (`damaged/index/...`): nobody needs them then.
Each step may be repeated, and others may write meanwhile: entries are deduplicated by uid, and a mark of what is hidden
or purged holds for entries that are added after it. Cut off anywhere, the next run goes on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import suppress

import msgspec

from longshore.archive.batch import Batch, Entry, Replaced
from longshore.archive.batches import LOADS, Batches, gathered, relisting
from longshore.archive.index import Index
from longshore.archive.objects import Objects
from longshore.archive.paths import segment
from longshore.archive.records import Recorded, record_path
from longshore.archive.removal import NOTES, Doomed
from longshore.errors import NotFound, Unavailable

ADDED = 500  # entries of one new file
ASIDE = "damaged/"


class Repaired(msgspec.Struct, frozen=True):
    """What was done for one tenant: how many were `listed` again, of how many it was marked again that they are
    `hidden`, and which files of the index were set `aside`."""

    tenant: str
    listed: int
    hidden: int
    aside: tuple[str, ...]


class Repair:
    """Of one archive."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._index = Index(objects)
        self._batches = Batches(objects)

    async def run(self, tenant: str | None = None) -> AsyncIterator[Repaired]:
        """Repair one tenant's list, or everyone's; says what was done for each where there was something to do."""
        tenants = {*await self._objects.folders("records/"), *await self._objects.folders("index/")}
        for one in [tenant] if tenant else sorted(tenants):
            done = await self._tenant(one)
            if done.listed or done.hidden or done.aside:
                yield done

    async def _tenant(self, tenant: str) -> Repaired:
        damaged = await self._batches.damaged(tenant)
        noted = await self._index.hidden(tenant)
        marked = await self._index.marked(tenant)
        hidden = noted | marked | await self._doomed(tenant)
        # what could not be read a moment ago goes: that it can now is no reason to rely on it
        aside = {batch.path for batch in damaged}
        listed = await relisting(lambda gone: self._listed(tenant, aside, gone))
        recorded = await self._ids(tenant)
        added = await self._list(tenant, sorted(recorded - listed.keys()), hidden)
        marks = noted.intersection(listed.values()) - marked  # whose marks are lost
        if any(batch.sort.startswith("h") for batch in damaged):
            # those of what was purged too, of which nothing is left but its line
            marks |= noted | {uid for id, uid in listed.items() if id not in recorded}
        if marks:
            await self._index.hide_all(tenant, sorted(marks))
        for batch in damaged:
            await self._set_aside(batch)
        return Repaired(tenant, added, len(marks), tuple(batch.path for batch in damaged))

    async def _listed(self, tenant: str, aside: Collection[str], gone: Collection[str]) -> dict[str, str]:
        """The uids of what the list has, by id, without the files that are to be set `aside`. What lies only in files
        that will go, as others were to replace them, may be in one of the damaged: that counts as not listed."""
        files = [file for file in await self._batches.listing([tenant]) if file.path not in aside]
        condemned = [file for file in files if file.sort == "d0"]
        rows, _ = await self._batches.read_readable(condemned, Replaced, gone, cache=False)
        going = {row.path for some in rows for row in some}
        staying = [file for file in files if file.sort.startswith("e") and file.path not in going]
        listed: dict[str, str] = {}
        for start in range(0, len(staying), LOADS):
            found, _ = await self._batches.read_readable(staying[start : start + LOADS], Entry, gone, cache=False)
            listed |= {entry.id: entry.uid for some in found for entry in some}
        return listed

    async def _list(self, tenant: str, ids: Sequence[str], hidden: Collection[str]) -> int:
        """Add those of these whose records can be read and are not hidden."""
        added = 0
        for start in range(0, len(ids), ADDED):
            entries: list[Entry] = []
            for at in range(start, min(start + ADDED, len(ids)), LOADS):
                some = await gathered(self._entry(tenant, id) for id in ids[at : min(at + LOADS, start + ADDED)])
                entries += [entry for entry in some if entry is not None and entry.uid not in hidden]
            await self._index.add(entries)
            added += len(entries)
        return added

    async def _entry(self, tenant: str, id: str) -> Entry | None:
        try:
            return msgspec.json.decode(await self._objects.get(record_path(tenant, id)), type=Recorded).entry(tenant)
        except (NotFound, msgspec.DecodeError):  # purged meanwhile; or damaged, which `verify` says
            return None

    async def _ids(self, tenant: str) -> set[str]:
        prefix = f"records/{segment(tenant)}/"
        return {path.removeprefix(prefix).removesuffix(".json") async for path, _ in self._objects.list(prefix)}

    async def _doomed(self, tenant: str) -> set[str]:
        """The uids of what is being purged."""
        uids: set[str] = set()
        async for path, _ in self._objects.list(f"{NOTES}{segment(tenant)}/"):
            with suppress(NotFound, msgspec.DecodeError):
                uids |= {each.uid for each in msgspec.json.decode(await self._objects.get(path), type=list[Doomed])}
        return uids

    async def _set_aside(self, batch: Batch) -> None:
        with suppress(NotFound, Unavailable):  # nothing of it can be kept
            await self._objects.copy(batch.path, f"{ASIDE}{batch.path}")
        await self._objects.delete(batch.path)
