"""Removes what is older than its tenant wants it kept; the leader asks for a round now and then.

A clock that jumped must not cost history. The time of each round is kept in the archive; when it comes after a longer
silence than usual, be it a stop or a wrong clock, nothing is removed until this process has run for a day since.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import msgspec
import structlog

from longshore.archive.index import Entry, Index, Wanted
from longshore.archive.objects import Objects
from longshore.archive.removal import Doomed, Removal
from longshore.errors import NotFound

ROUND = "retention/round.json"
USUAL = timedelta(days=2)
HOLD = timedelta(days=1)
BATCH = 200  # work items of one note
MOST = 5_000  # work items of one tenant in one round; bounds what one round takes
log = structlog.get_logger(__name__)


class Round(msgspec.Struct, frozen=True):
    """When the last round was."""

    at: datetime


class Retention:
    """`clock` counts the seconds that this process can be sure of, whatever happens to the wall clock."""

    def __init__(self, objects: Objects, index: Index, removal: Removal, clock: Callable[[], float]) -> None:
        self._objects = objects
        self._index = index
        self._removal = removal
        self._clock = clock
        self._held_since: float | None = None

    async def round(
        self, kept: Mapping[str, timedelta], now: datetime, in_use: Callable[[Entry], bool]
    ) -> dict[str, int]:
        """How many work items of each tenant were removed. `kept`: how long after its end, by tenant; who is not in it
        keeps all. `in_use` says what the cluster still has, which stays."""
        if await self._held(now):
            return {}
        removed = {}
        for tenant, span in kept.items():
            removed[tenant] = await self._tenant(tenant, now - span, in_use)
        return {tenant: count for tenant, count in removed.items() if count}

    async def _tenant(self, tenant: str, cutoff: datetime, in_use: Callable[[Entry], bool]) -> int:
        tried: set[str] = set()  # what cannot go, because its record is damaged, would come again for ever

        def old(entry: Entry) -> bool:
            return (entry.finished or entry.created) < cutoff and entry.uid not in tried and not in_use(entry)

        count = 0
        while count < MOST:
            # Whatever ended before the cutoff was created before it.
            # what a damaged file lists stays until the list is repaired; that is no reason to keep the rest
            wanted = Wanted(BATCH, (cutoff, ""), keep=old)
            batch = (await self._index.scan(tenant, wanted, most=None)).entries
            if not batch:
                break
            tried.update(entry.uid for entry in batch)
            await self._removal.purge_all(tenant, [Doomed(entry.id, entry.uid) for entry in batch])
            count += len(batch)
        return count

    async def _held(self, now: datetime) -> bool:
        """Whether to wait; otherwise this round is the last one now."""
        last = await self._last()
        if last is None or now - last > USUAL:
            if self._held_since is None:
                self._held_since = self._clock()
                log.warning("retention waits for a day", last_round=last, now=now, why="its last round is long ago")
            if self._clock() - self._held_since < HOLD.total_seconds():
                return True
        self._held_since = None
        if last is None or now > last:
            await self._objects.put(ROUND, msgspec.json.encode(Round(now)))
        return False

    async def _last(self) -> datetime | None:
        try:
            return msgspec.json.decode(await self._objects.get(ROUND), type=Round).at
        except NotFound:
            return None
        except msgspec.DecodeError:
            log.error("the time of retention's last round cannot be read", path=ROUND)
            return None  # as after a long silence: it waits for a day
