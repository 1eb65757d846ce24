"""Takes history from one archive into another: `longshore archive export` and `import` are the same, either way round.

What the lists of the one show, the other's show then, with record, log and files. A job's record goes last, so that
where it is all else is; the entries of a batch go when all of its jobs are there; then the place where it stands is
noted (`copying/{tenant}.json`), and a copy that was cut off goes on from it. What is there already is not sent again.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

import msgspec

from longshore.archive.batches import gathered
from longshore.archive.index import Entry, Index
from longshore.archive.objects import PIECE, Objects
from longshore.archive.paths import segment
from longshore.archive.records import record_path
from longshore.archive.verification import entries_of
from longshore.errors import AlreadyExists, Conflict, NotFound, Unavailable

BATCH = 200
ATTEMPTS = 3
AT_ONCE = 16  # jobs; each holds one object of at most 4 MiB at a time


class Progress(msgspec.Struct):
    """How much was done so far; `skipped` jobs were there already."""

    copied: int = 0
    skipped: int = 0
    bytes: int = 0


class _Place(msgspec.Struct, frozen=True):
    """Everything at and above the place of this entry is done; nothing yet at the start."""

    created: datetime | None = None
    uid: str = ""


class Copying:
    """From `source` to `target`; `tell` is called after each batch."""

    def __init__(self, source: Objects, target: Objects, tell: Callable[[Progress], None]) -> None:
        self._source = source
        self._target = target
        self._from = Index(source)
        self._to = Index(target)
        self._tell = tell
        self.progress = Progress()

    async def run(self, tenant: str | None = None, since: datetime | None = None) -> Progress:
        """Copy what one tenant's list shows, or everyone's, from what was created at `since` on."""
        for one in [tenant] if tenant else await self._from.tenants():
            await self._tenant(one, since)
        return self.progress

    async def _tenant(self, tenant: str, since: datetime | None) -> None:
        note = f"copying/{segment(tenant)}.json"
        place = await self._place(note)
        resumed = place is not None
        if place is None:
            await self._target.put(note, msgspec.json.encode(_Place()))
        batch: list[Entry] = []
        async for entry in entries_of(self._from, tenant, since, strict=True):
            if place is not None and place.created is not None and entry.position >= (place.created, place.uid):
                continue
            batch.append(entry)
            if len(batch) == BATCH:
                await self._batch(tenant, batch, everything=resumed)
                last, resumed = batch[-1], False
                await self._target.put(note, msgspec.json.encode(_Place(last.created, last.uid)))
                batch = []
        await self._batch(tenant, batch, everything=resumed)
        await self._target.delete(note)

    async def _place(self, note: str) -> _Place | None:
        try:
            return msgspec.json.decode(await self._target.get(note), type=_Place)
        except NotFound:
            return None

    async def _batch(self, tenant: str, batch: list[Entry], *, everything: bool) -> None:
        """`everything`: an earlier run may have been cut off between the jobs of this batch and their entries."""
        new: list[Entry] = []
        for start in range(0, len(batch), AT_ONCE):
            some = batch[start : start + AT_ONCE]
            copied = await gathered(self._job(tenant, entry.id) for entry in some)
            new += [entry for entry, was_new in zip(some, copied, strict=True) if was_new or everything]
        if new:
            listed = {entry.id for entry in new if await self._to.lists(tenant, entry.id)} if everything else set()
            await self._to.add([entry for entry in new if entry.id not in listed])
        self._tell(self.progress)

    async def _job(self, tenant: str, id: str) -> bool:
        """Whether anything was to be copied. Raises Conflict when the target has another job of this id."""
        path = record_path(tenant, id)
        try:
            record = await self._source.get(path)
        except NotFound:
            return False  # purged since it was listed
        with suppress(NotFound):
            if await self._target.get(path) != record:
                raise Conflict(f"the target has another record of {id} of tenant {tenant}", hint="it stays as it is")
            self.progress.skipped += 1
            return False
        for _ in range(ATTEMPTS):
            try:
                await self._work(tenant, id)
                break
            except NotFound:
                continue  # chunks of a log were joined since they were listed
        else:
            raise Unavailable(f"log or files of {id} change while they are copied", hint="copy again in a minute")
        with suppress(AlreadyExists):
            await self._target.put(path, record, if_absent=True)
        self.progress.copied += 1
        self.progress.bytes += len(record)
        return True

    async def _work(self, tenant: str, id: str) -> None:
        for folder in ("logs", "artifacts"):
            prefix = f"{folder}/{segment(tenant)}/{segment(id)}/"
            async for each, size in self._source.list(prefix):
                await self._object(each, size)

    async def _object(self, path: str, size: int) -> None:
        if size and await self._target.size(path) == size:
            return
        if size <= PIECE:
            await self._target.put(path, await self._source.get(path))
        else:
            await self._target.put_stream(path, self._source.stream(path))
        self.progress.bytes += size
