"""Takes finished work out of the archive for good: its entry, log, files and record, in an order that survives a crash.

The API purges what a person asks it to, the leader what is older than its tenant keeps, and finishes what was cut off.
First a note of what is to go is written (`removals/{tenant}/{unique}.json`), then the entry is hidden, then everything
else goes, the record last: as long as it is there its idempotency key answers it, and after that the key is free. So a
note whose record is gone, or is another's, is done, and is never carried out against new work of the same id.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar
from uuid import uuid4

import msgspec
import structlog

from longshore.archive.batches import LOADS, gathered
from longshore.archive.index import Index, hidden_path
from longshore.archive.objects import Objects
from longshore.archive.paths import segment
from longshore.archive.records import Records
from longshore.errors import LongshoreError, NotFound

log = structlog.get_logger(__name__)
T = TypeVar("T")
NOTES = "removals/"
DAMAGED = ""  # the uid in a record that cannot be read
WORK = ("logs", "artifacts", "staging")  # folders below which {tenant}/{id}/ holds what belongs to one work item


class Doomed(msgspec.Struct, frozen=True, gc=False):
    """One work item that is to go."""

    id: str
    uid: str


class Removal:
    """What belongs to a work item, removed together."""

    def __init__(self, objects: Objects, records: Records, index: Index) -> None:
        self._objects = objects
        self._records = records
        self._index = index

    async def purge(self, tenant: str, id: str) -> None:
        """Remove all of one work item; what is not there is fine. It must not be in the cluster any more."""
        uid = await self._uid(tenant, id)
        if uid == DAMAGED:
            hint = "restore it from a backup of the archive, or remove it there, and purge again"
            raise LongshoreError(f"the record of {id} in the archive is damaged, so it is not purged", hint=hint)
        if uid is None:  # no record, so nothing is listed: what is left of files and logs belongs to nothing
            await self._clear(tenant, id)
        else:
            await self.purge_all(tenant, [Doomed(id, uid)])

    async def purge_all(self, tenant: str, doomed: Sequence[Doomed]) -> None:
        """Remove all of these."""
        note = f"{NOTES}{segment(tenant)}/{uuid4().hex}.json"
        await self._objects.put(note, msgspec.json.encode(doomed))
        await self._carry_out(tenant, note, doomed)

    async def finish(self) -> None:
        """Carry out what was noted and not finished: a process ended, or the store was away. Called by the leader."""
        notes = [path async for path, _ in self._objects.list(NOTES)]
        for note in notes:
            try:
                doomed = msgspec.json.decode(await self._objects.get(note), type=list[Doomed])
            except NotFound:
                continue  # done meanwhile by the one who wrote it
            except msgspec.DecodeError:  # what one note says is not the others' trouble
                log.error("a note of what is to go is damaged", note=note, hint="remove it, then purge again")
                continue
            await self._carry_out(note.split("/")[1], note, doomed)

    async def _carry_out(self, tenant: str, note: str, doomed: Sequence[Doomed]) -> None:
        uids = await _in_turns([self._uid(tenant, each.id) for each in doomed])
        still = [each for each, uid in zip(doomed, uids, strict=True) if uid == each.uid]
        if still:
            await self._index.hide_all(tenant, [each.uid for each in still])
            await _in_turns([self._clear(tenant, each.id) for each in still])
            await _in_turns([self._objects.delete(hidden_path(tenant, each.uid)) for each in still])
            await _in_turns([self._records.delete(tenant, each.id) for each in still])
        await self._objects.delete(note)

    async def _uid(self, tenant: str, id: str) -> str | None:
        record = await self._records.get(tenant, id)
        if record is None:
            return None
        try:
            return msgspec.json.decode(record, type=Doomed).uid
        except msgspec.DecodeError:
            # nobody can say whose it is, so it is nobody's to remove; the others go on
            log.error("a record is damaged and stays", tenant=tenant, id=id, hint="restore it from a backup")
            return DAMAGED

    async def _clear(self, tenant: str, id: str) -> None:
        for folder in WORK:
            await self._objects.clear(f"{folder}/{segment(tenant)}/{segment(id)}/")


async def _in_turns(work: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    done: list[T] = []
    for start in range(0, len(work), LOADS):
        done += await gathered(work[start : start + LOADS])
    return done
