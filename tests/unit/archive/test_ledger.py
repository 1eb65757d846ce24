from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from longshore.archive.index import Entry, Index
from longshore.archive.ledger import Ledger
from longshore.archive.objects import Objects
from longshore.errors import LongshoreError, Unavailable

CREATED = datetime(2026, 1, 1, tzinfo=UTC)


def entry(number: int, tenant: str = "a") -> Entry:
    created = CREATED + timedelta(seconds=number)
    return Entry(f"u{number}", f"j{number}", "job", tenant, "", created, created, "Succeeded", "")


class Held(Index):
    """An index whose writes wait until they are let go, and that can be away."""

    def __init__(self, objects: Objects) -> None:
        super().__init__(objects)
        self.writes: list[list[str]] = []
        self.go = asyncio.Event()
        self.begun = asyncio.Event()
        self.away: LongshoreError | None = None

    async def add(self, entries: Sequence[Entry]) -> None:
        self.writes.append([each.id for each in entries])
        self.begun.set()
        await self.go.wait()
        if self.away is not None:
            raise self.away
        await super().add(entries)


async def test_entries_that_come_during_a_write_go_together_in_the_next(objects: Objects) -> None:
    index = Held(objects)
    ledger = Ledger(index)
    first = asyncio.create_task(ledger.add(entry(0)))
    await index.begun.wait()
    others = [asyncio.create_task(ledger.add(entry(n, "ab"[n % 2]))) for n in range(1, 9)]
    await asyncio.sleep(0)
    index.go.set()
    await asyncio.gather(first, *others)
    assert [len(write) for write in index.writes] == [1, 8]
    assert [e.id for e in await index.page("a")] == ["j8", "j6", "j4", "j2", "j0"]
    assert [e.id for e in await index.page("b")] == ["j7", "j5", "j3", "j1"]
    assert len([path async for path, _ in objects.list("index/")]) == 3


async def test_a_failure_is_told_to_all_of_its_write_and_they_may_try_again(objects: Objects) -> None:
    index = Held(objects)
    ledger = Ledger(index)
    index.go.set()
    index.away = Unavailable("away")
    answers = await asyncio.gather(*(ledger.add(entry(n)) for n in range(3)), return_exceptions=True)
    assert all(isinstance(answer, Unavailable) for answer in answers)
    index.away = None
    await asyncio.gather(*(ledger.add(entry(n)) for n in range(3)))
    assert len(await index.page("a")) == 3


@pytest.mark.parametrize("cancelled", [0, 1, 2])
async def test_whoever_is_cancelled_takes_nobody_along(objects: Objects, cancelled: int) -> None:
    index = Held(objects)
    ledger = Ledger(index)
    tasks = [asyncio.create_task(ledger.add(entry(n))) for n in range(3)]
    await index.begun.wait()
    tasks[cancelled].cancel()
    await asyncio.sleep(0)
    index.go.set()
    answers = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 30)
    assert [answer is None for answer in answers] == [n != cancelled for n in range(3)]
    shown = {e.id for e in await index.page("a")}
    assert {f"j{n}" for n in range(3) if n != cancelled} <= shown
