"""Looks through a whole archive for what does not fit together; `longshore archive verify` calls it. Changes nothing.

Works on the store alone, beside a longshore that runs: what is written meanwhile may be reported as not there yet, so
a finding counts when it is there again. Memory grows with the jobs of one tenant, by about 150 bytes each.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta

import msgspec

from longshore.archive.artifacts import Artifacts
from longshore.archive.batch import Batch
from longshore.archive.batches import LOADS, REPAIR, Batches, DamagedBatch, gathered
from longshore.archive.index import Entry, Index, Wanted
from longshore.archive.log_reader import LogReader
from longshore.archive.objects import Objects
from longshore.archive.paths import segment
from longshore.archive.transfers import ABANDONED, STAGING
from longshore.errors import LongshoreError, NotFound, Unavailable

# what belongs to no record may be a running job's; none runs for longer
LEFTOVER = timedelta(days=40)
PAGE = 1000


class Finding(msgspec.Struct, frozen=True):
    """One thing that is wrong. `kind`: missing, damaged, orphaned or leftover; `id`: of a job, or `index`."""

    kind: str
    tenant: str
    id: str
    what: str


class Counted(msgspec.Struct):
    """How much was looked at so far."""

    jobs: int = 0
    files: int = 0
    bytes: int = 0


class _Log(msgspec.Struct, frozen=True):
    streams: dict[str, int] = {}


class _File(msgspec.Struct, frozen=True):
    name: str
    size: int
    sha256: str


class _Record(msgspec.Struct, frozen=True):
    """What every record says, whatever its kind, as far as it can be checked."""

    id: str
    uid: str
    created: datetime
    log: _Log | None = None
    artifacts: tuple[_File, ...] = ()


class Verification:
    """One look; `deep` reads every byte of every file and compares hashes, which takes as long as reading takes."""

    def __init__(
        self,
        objects: Objects,
        now: datetime,
        *,
        deep: bool = False,
        tell: Callable[[Counted], None] = lambda _: None,
    ) -> None:
        self._objects = objects
        self._index = Index(objects)
        self._batches = Batches(objects)
        self._logs = LogReader(objects, strict=True)
        self._artifacts = Artifacts(objects)
        self._now = now
        self._deep = deep
        self._tell = tell
        self.counted = Counted()

    async def run(self, tenant: str | None = None) -> AsyncIterator[Finding]:
        """Everything that is wrong, as it is found; of one tenant, or of all."""
        for one in [tenant] if tenant else await self.tenants():
            async for finding in self._of(one):
                yield finding

    async def tenants(self) -> list[str]:
        """Whoever has anything."""
        folders = ("records", "index", "logs", "artifacts")
        return sorted({name for folder in folders for name in await self._objects.folders(f"{folder}/")})

    async def _of(self, tenant: str) -> AsyncIterator[Finding]:
        for batch in await self._batches.damaged(tenant):
            yield Finding("damaged", tenant, "index", _said(batch))
        entries = {entry.id: entry.uid async for entry in entries_of(self._index, tenant)}
        hidden = await self._index.hidden(tenant)
        recorded: set[str] = set()
        group: list[str] = []
        prefix = f"records/{segment(tenant)}/"
        async for path, _ in self._objects.list(prefix):
            group.append(path.removeprefix(prefix).removesuffix(".json"))
            recorded.add(group[-1])
            if len(group) == LOADS:
                for finding in await self._group(tenant, group, entries, hidden):
                    yield finding
                group = []
        for finding in await self._group(tenant, group, entries, hidden):
            yield finding
        for id in entries.keys() - recorded:
            yield Finding("missing", tenant, id, "the list has it, and there is no record of it")
        async for finding in self._leftovers(tenant, recorded):
            yield finding

    async def _group(self, tenant: str, ids: list[str], entries: dict[str, str], hidden: set[str]) -> list[Finding]:
        found = await gathered(self._job(tenant, id, entries.get(id), hidden) for id in ids)
        self._tell(self.counted)
        return [Finding(kind, tenant, id, what) for id, some in zip(ids, found, strict=True) for kind, what in some]

    async def _job(self, tenant: str, id: str, uid: str | None, hidden: set[str]) -> list[tuple[str, str]]:
        self.counted.jobs += 1
        try:
            record = msgspec.json.decode(await self._objects.get(f"records/{segment(tenant)}/{id}.json"), type=_Record)
        except NotFound:
            return []  # purged since it was listed
        except msgspec.DecodeError:
            return [("damaged", "its record cannot be read")]
        wrong: list[tuple[str, str]] = []
        if uid is None and record.uid not in hidden:
            wrong.append(("orphaned", "there is a record of it, and the list has it not"))
        elif uid not in (None, record.uid):
            wrong.append(("damaged", "the list has another job of this id than its record says"))
        return wrong + await self._log(tenant, id, record) + await self._files(tenant, id, record)

    async def _log(self, tenant: str, id: str, record: _Record) -> list[tuple[str, str]]:
        wrong = []
        for stream, size in (record.log.streams if record.log else {}).items():
            try:
                there = await self._whole(tenant, id, stream) if self._deep else await self._ends(tenant, id, stream)
            except Unavailable:
                raise
            except NotFound:
                wrong.append(("missing", f"its log {stream} is not there"))
                continue
            except LongshoreError as error:
                wrong.append(("damaged", error.message))
                continue
            if there < size:
                wrong.append(("missing", f"its log {stream} has {there} bytes, its record says {size}"))
        return wrong

    async def _ends(self, tenant: str, id: str, stream: str) -> int:
        """Where the log ends, by what its chunks say of themselves. Raises LongshoreError for a hole."""
        end = 0
        for kept in await self._logs.chunks(tenant, id, stream):
            if kept.start > end:
                raise LongshoreError(f"its log {stream} has a hole between bytes {end} and {kept.start}")
            end = max(end, kept.start + (await self._logs.about(kept)).size)
        return end

    async def _whole(self, tenant: str, id: str, stream: str) -> int:
        size = 0
        async for chunk in self._logs.read(tenant, id, stream):
            size += len(chunk.text)
        self.counted.bytes += size
        return size

    async def _files(self, tenant: str, id: str, record: _Record) -> list[tuple[str, str]]:
        if not record.artifacts:
            return []
        wrong = []
        kept = {file.name: file for file in await self._artifacts.list(tenant, id, "outputs")}
        for said in record.artifacts:
            self.counted.files += 1
            file = kept.get(said.name)
            if file is None:
                wrong.append(("missing", f"its file {said.name} is not there"))
            elif (file.size, file.sha256) != (said.size, said.sha256):
                wrong.append(("damaged", f"its file {said.name} is another than its record says"))
            elif (fault := await self._bytes(tenant, id, said)) is not None:
                wrong.append(fault)
        return wrong

    async def _bytes(self, tenant: str, id: str, said: _File) -> tuple[str, str] | None:
        """What is wrong with the bytes of a file; their number is looked at always, their hash when it is `deep`."""
        if not self._deep:
            pieces = self._artifacts.pieces(
                tenant, id, "outputs", await self._artifacts.stat(tenant, id, "outputs", said.name)
            )
            sizes = await gathered(self._objects.size(piece.path) for piece in pieces)
            if None in sizes:
                return "missing", f"bytes of its file {said.name} are not there"
            whole = sum(size or 0 for size in sizes) == said.size
            return None if whole else ("damaged", f"its file {said.name} has not the bytes that its record says")
        digest, size = hashlib.sha256(), 0
        try:
            async for data in self._artifacts.stream(tenant, id, "outputs", said.name):
                digest.update(data)
                size += len(data)
        except NotFound:
            return "missing", f"bytes of its file {said.name} are not there"
        self.counted.bytes += size
        if (size, digest.hexdigest()) != (said.size, said.sha256):
            return "damaged", f"its file {said.name} has another sha256 than its record says"
        return None

    async def _leftovers(self, tenant: str, recorded: set[str]) -> AsyncIterator[Finding]:
        """What belongs to no record and was not touched for longer than a job may run."""
        for folder, old in (("logs/", LEFTOVER), ("artifacts/", LEFTOVER), (STAGING, 2 * ABANDONED)):
            newest: dict[str, datetime] = {}
            prefix = f"{folder}{segment(tenant)}/"
            async for path, _, written in self._objects.aged(prefix):
                id = path.removeprefix(prefix).partition("/")[0]
                if folder == STAGING or id not in recorded:
                    newest[id] = max(written, newest.get(id, written))
            for id, written in sorted(newest.items()):
                if self._now - written > old:
                    yield Finding("leftover", tenant, id, f"{prefix}{id}/ belongs to nothing since {written:%Y-%m-%d}")


def _said(batch: Batch) -> str:
    lost = {"e": f"up to {batch.count} jobs are not listed", "h": "what was hidden or purged may be listed"}
    costs = lost.get(batch.sort[0], "a job may be listed in several files")
    return f"{batch.path} cannot be read, so {costs}; {REPAIR}"


async def entries_of(
    index: Index, tenant: str, since: datetime | None = None, *, strict: bool = False
) -> AsyncIterator[Entry]:
    """All that a tenant's list shows, newest first, down to what was created at `since`. What is in damaged files is
    missing; where it is `strict`, that raises DamagedBatch."""
    before = None
    while True:
        scan = await index.scan(tenant, Wanted(PAGE, before, since=since), most=None)
        if strict and scan.damaged:
            raise DamagedBatch(scan.damaged[0])
        for entry in scan.entries:
            yield entry
        if scan.reached is None:
            return
        before = scan.reached
