"""Puts the index entries of jobs that end at the same time into one file, as a database commits in groups.

The archiver's many workers each wait here until their own entry is written and read back; whoever comes first writes
for all who came meanwhile. Nothing waits for company: alone, an entry goes at once.
"""

from __future__ import annotations

import asyncio

from longshore.archive.batch import Entry
from longshore.archive.index import Index
from longshore.errors import LongshoreError

MOST = 500  # entries of one write; bounds what one failure makes many try again

Waiting = tuple[Entry, "asyncio.Future[LongshoreError | None]"]


class Ledger:
    """One for each process that archives."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._waiting: list[Waiting] = []
        self._writing = asyncio.Lock()

    async def add(self, entry: Entry) -> None:
        """Returns once `entry` is in the index for good; raises what kept it from that, when it may be in or not."""
        done: asyncio.Future[LongshoreError | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, done))
        async with self._writing:
            if not done.done():
                await self._write()
        error = await done
        if error is not None:
            raise error

    async def _write(self) -> None:
        """For all who wait, oldest first. A writer that is cancelled leaves them to the next one."""
        while batch := self._waiting[:MOST]:
            error: LongshoreError | None = None
            try:
                await self._index.add([entry for entry, done in batch if not done.cancelled()])
            except LongshoreError as away:
                error = away
            del self._waiting[: len(batch)]
            for _, done in batch:
                if not done.done():
                    done.set_result(error)
