"""What the leader does to the archive now and then: compaction of its index, retention, the end of what was cut off.

Each is a round that may fail as a whole and comes again; none is in a hurry.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import msgspec
import structlog

from longshore.archive.index import Entry
from longshore.errors import LongshoreError
from longshore.kinds.kind import Services
from longshore.runtime.controller import plain
from longshore.runtime.term import Term

log = structlog.get_logger(__name__)

COMPACT_SECONDS = 30.0
TIDY_SECONDS = 600.0


class Housekeeping:
    """Run by the leader for as long as it leads."""

    def __init__(self, parts: Services) -> None:
        self._parts = parts

    async def run(self, term: Term) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_every(COMPACT_SECONDS, self.compact))
            tasks.create_task(_every(TIDY_SECONDS, lambda: self.tidy(term)))

    async def compact(self) -> None:
        """Keep the index in few files, however many jobs pass through."""
        index = self._parts.archive.index
        for tenant in await index.tenants():
            try:
                await index.compact(tenant)
            except LongshoreError as error:  # one damaged index is not the others' trouble
                log.warning("the index was not compacted", tenant=tenant, why=error.message)

    async def tidy(self, term: Term) -> None:
        """Remove what nobody keeps any more."""
        archive, now = self._parts.archive, self._parts.now()
        await archive.removal.finish()
        swept = {"parts": await archive.transfers.sweep(now), "uploads": await archive.uploads.sweep(now)}
        if any(swept.values()):
            log.info("what was sent and never used is removed", **swept)
        await archive.usage.measure_all(tenant.metadata.name for tenant in self._parts.stores.tenants.list())
        term.check()
        removed = await archive.retention.round(self._kept(), now, self._in_use)
        if removed:
            log.info("retention removed work from the archive", removed=removed)

    def _kept(self) -> dict[str, timedelta]:
        tenants = self._parts.stores.tenants.list()
        return {t.metadata.name: timedelta(days=t.spec.retention_days) for t in tenants if t.spec.retention_days}

    def _in_use(self, entry: Entry) -> bool:
        return any(job.metadata.uid == entry.uid for job in self._parts.stores.jobs.by("id", entry.id))


async def _every(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            await work()
        except LongshoreError as error:
            log.warning("the archive was not tidied up", why=error.message)
        except msgspec.DecodeError as error:  # something in it is damaged: no reason to stop leading
            log.error("the archive was not tidied up", why=str(error), traceback=plain(error))
