"""The log of an indexed job, line by line with its index: one index after another, or those that run side by side.

`logs` and `follow` use it. Each reading is `jobs.logs(index=)`; who has begun, the job's own record says. No line waits
in a queue: it is shown as it comes, and of each index only the line that is not whole yet is kept.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

from longshore import errors
from longshore.cli.command import Call

if TYPE_CHECKING:
    from longshore.sdk import Indexes, Job

MOST_AT_ONCE: Final = 16
MOST_LINE: Final = 1 << 20  # bytes; a longer line is shown in parts

Show = Callable[[int, bytes], None]
"""Called with an index and one line of its log, without the newline."""


def has_own_logs(job: "Job") -> bool:
    """Whether each of a job's indexes has a log of its own; in jobs of earlier versions none has."""
    return job.indexes is not None and job.indexes.own_logs


def numbers(ranges: str) -> Iterator[int]:
    """The indexes that a record writes as "0-3,7"."""
    for each in filter(None, ranges.split(",")):
        first, _, last = each.partition("-")
        yield from range(int(first), int(last or first) + 1)


def begun(indexes: "Indexes") -> list[int]:
    """Those that have a log as far as the record says: what is over first, then what runs, for that may last."""
    return [*sorted([*numbers(indexes.succeeded), *numbers(indexes.failed)]), *numbers(indexes.running)]


def prefixed(index: int, line: bytes) -> bytes:
    """A line as people read it."""
    return b"[%d] %s\n" % (index, line)


class IndexedLog:
    """One reading of all logs of a job. `part`: which part of each, in the words of `jobs.logs`."""

    def __init__(self, call: Call, job: "Job", part: Mapping[str, Any], show: Show) -> None:
        if job.indexes is None:
            raise ValueError(f"{job.id} runs once")
        self._call, self._job, self._part, self._show = call, job, dict(part), show
        self._all = range(job.indexes.completions)
        self._places = asyncio.Semaphore(MOST_AT_ONCE)
        self._known: set[int] = set()
        self._answered = False
        self._refused: errors.NotFound | None = None
        self._told = False

    async def read(self) -> None:
        """What there is, index after index."""
        for index in self._all:
            await self._read(index, self._part)
        self._conclude()

    async def follow(self) -> None:
        """Until all are over: those that run side by side, others as they begin."""
        if self._job.final:
            await self.read()
            return
        of_old = {**self._part, "follow": True}
        of_new = {**of_old, "tail": None}  # who begins later is read from its first line
        async with asyncio.TaskGroup() as readers:
            part = of_old
            async with aclosing(self._states()) as states:
                async for indexes in states:
                    for index in begun(indexes):
                        self._join(readers, index, part)
                    part = of_new
            for index in self._all:  # of those that were ended with the job the record does not say which had begun
                self._join(readers, index, of_new)
        self._conclude()

    async def _states(self) -> AsyncGenerator["Indexes", None]:
        """The indexes as they are now, and whenever they are others, until the job is over or gone."""
        if self._job.indexes is not None:
            yield self._job.indexes
        async for change in self._call.client.jobs.watch(self._job.id):
            for job in (*change.jobs, *filter(None, (change.job,))):
                if job.indexes is not None:
                    yield job.indexes
            if change.type == "gone":
                return

    def _join(self, readers: asyncio.TaskGroup, index: int, part: Mapping[str, Any]) -> None:
        if index not in self._known:
            self._known.add(index)
            readers.create_task(self._in_turn(index, part))

    async def _in_turn(self, index: int, part: Mapping[str, Any]) -> None:
        if self._places.locked() and not self._told and not self._call.out.json:
            self._told = True
            self._call.out.say(f"{MOST_AT_ONCE} indexes are followed at a time; the others follow as these end")
        async with self._places:
            await self._read(index, part)

    async def _read(self, index: int, part: Mapping[str, Any]) -> None:
        chunks = self._call.client.jobs.logs(self._job.id, index=index, **part)
        partial = b""
        try:
            async with aclosing(chunks):
                async for chunk in chunks:
                    *whole, partial = (partial + chunk).split(b"\n")
                    for line in whole:
                        self._show(index, line)
                    if len(partial) > MOST_LINE:
                        self._show(index, partial)
                        partial = b""
        except errors.NotFound as refused:
            if not self._part.get("previous"):
                raise
            self._refused = refused  # this index had no attempt before; another may have had one
        else:
            self._answered = True
        if partial:
            self._show(index, partial)

    def _conclude(self) -> None:
        """Where no index had what is asked for, that is an error as it is of one."""
        if self._refused is not None and not self._answered:
            raise self._refused
