from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from longshore.archive.batch import Batch
from longshore.archive.batches import Batches
from longshore.archive.compaction import Limits
from longshore.archive.index import Entry, Index
from longshore.archive.objects import Objects
from longshore.errors import LongshoreError, Unavailable

START = datetime(2025, 11, 20, 21, 12, tzinfo=UTC)
SMALL = Limits(leaf=8, fold_at=4, round=20, overlapping=4)


def entry(number: int, second: float | None = None) -> Entry:
    created = START + timedelta(seconds=number if second is None else second)
    return Entry(f"u{number:05d}", f"j{number}", "jobs", "acme", "n", created, None, "Succeeded", "Done")


def listed(entries: Sequence[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda each: (each.created, each.uid), reverse=True)


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def index(objects: Objects, clock: Clock) -> Index:
    return Index(objects, limits=SMALL, now=clock)


async def files(objects: Objects, sort: str = "") -> list[Batch]:
    found = await Batches(objects).listing(["acme"])
    return sorted((each for each in found if each.sort.startswith(sort)), key=lambda each: each.first)


async def settle(index: Index, clock: Clock, times: int = 3) -> None:
    for _ in range(times):
        await index.compact("acme")
        clock.now += SMALL.grace


async def test_small_files_become_large_sorted_ones_that_do_not_overlap(
    objects: Objects, index: Index, clock: Clock
) -> None:
    entries = [entry(number) for number in range(100)]
    for each in random.Random(1).sample(entries, 100):
        await index.add([each])
    await settle(index, clock)
    leaves = await files(objects)
    assert {each.sort for each in leaves} == {"e1"}
    assert sum(each.count for each in leaves) == 100
    assert len(leaves) <= 100 / SMALL.leaf * 2
    assert all(one.last <= other.first for one, other in pairwise(leaves))
    assert await index.page("acme", limit=200) == listed(entries)


async def test_history_that_grows_at_its_end_fills_its_files(objects: Objects, index: Index, clock: Clock) -> None:
    for number in range(100):
        await index.add([entry(number)])
        if number % 5 == 0:
            await index.compact("acme")
            clock.now += SMALL.grace
    await settle(index, clock)
    assert [each.count for each in await files(objects, "e1")][:-1] == [SMALL.leaf] * 12


async def test_little_is_left_alone(objects: Objects, index: Index) -> None:
    for number in range(SMALL.fold_at - 1):
        await index.add([entry(number)])
    before = await files(objects)
    await index.compact("acme")
    assert await files(objects) == before


async def test_compacting_again_writes_nothing(objects: Objects, index: Index, clock: Clock) -> None:
    for number in range(50):
        await index.add([entry(number, second=number // 20)])  # more in one second than a file holds
    await settle(index, clock)
    before = await files(objects)
    await settle(index, clock)
    assert await files(objects) == before


async def test_a_long_run_goes_to_its_place_and_disturbs_one_file(objects: Objects, index: Index, clock: Clock) -> None:
    await index.add([entry(number) for number in range(0, 200, 2)])
    for number in range(1000, 1003):
        await index.add([entry(number)])
    await settle(index, clock)
    before = {each.path for each in await files(objects)}
    await index.add([entry(51)])
    for number in range(1003, 1006):
        await index.add([entry(number)])
    await settle(index, clock)
    after = {each.path for each in await files(objects)}
    assert len(before - after) == 2, "its own and the newest"


async def test_replaced_files_stay_for_a_while(objects: Objects, index: Index, clock: Clock) -> None:
    for number in range(10):
        await index.add([entry(number)])
    old = {each.path for each in await files(objects)}
    await index.compact("acme")
    clock.now += SMALL.grace - timedelta(seconds=1)
    await index.compact("acme")
    assert old < {each.path for each in await files(objects)}
    clock.now += timedelta(seconds=1)
    await index.compact("acme")
    assert not old & {each.path for each in await files(objects)}


async def test_a_hidden_entry_leaves_the_files_and_does_not_return_when_added_late(
    objects: Objects, index: Index, clock: Clock
) -> None:
    for number in range(20):
        await index.add([entry(number)])
    await settle(index, clock)
    await index.hide("acme", "u00003")
    assert len(await index.page("acme")) == 19
    clock.now += SMALL.marks_wait
    await settle(index, clock)
    assert sum(each.count for each in await files(objects, "e1")) == 19
    assert [each.sort for each in await files(objects, "h")] == ["h1"]
    await index.add([entry(3)])
    assert len(await index.page("acme")) == 19
    clock.now += SMALL.marks_kept
    await settle(index, clock)
    assert {each.sort for each in await files(objects)} == {"e1"}
    assert await index.page("acme") == listed([entry(number) for number in range(20) if number != 3])


async def test_many_marks_are_applied_at_once(objects: Objects, index: Index, clock: Clock) -> None:
    await index.add([entry(number) for number in range(20)])
    for number in range(20):
        await index.hide("acme", f"u{number:05d}")
    await settle(index, clock)
    assert await files(objects, "e") == []
    assert [each.count for each in await files(objects, "h")] == [20]


async def test_two_compactions_at_once_lose_nothing_and_the_next_one_tidies_up(
    objects: Objects, index: Index, clock: Clock
) -> None:
    entries = [entry(number, second=number // 3) for number in range(60)]
    for each in entries:
        await index.add([each])
    await asyncio.gather(*(Index(objects, limits=SMALL, now=clock).compact("acme") for _ in range(3)))
    assert await index.page("acme", limit=100) == listed(entries)
    await settle(index, clock, times=6)
    assert await index.page("acme", limit=100) == listed(entries)
    leaves = await files(objects)
    assert {each.sort for each in leaves} == {"e1"}
    assert sum(each.count for each in leaves) == 60


class Dying(Objects):
    """Storage that goes away after so many writes and deletions."""

    left = 10_000

    async def put(self, path: str, data: bytes, *, if_absent: bool = False) -> None:
        self._step()
        await super().put(path, data, if_absent=if_absent)

    async def delete(self, path: str) -> None:
        self._step()
        await super().delete(path)

    def _step(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Unavailable("the archive is away")


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5, 8, 12, 18, 25])
async def test_a_compaction_that_dies_anywhere_loses_nothing(
    tmp_path_factory: pytest.TempPathFactory, clock: Clock, steps: int
) -> None:
    objects = Dying(f"file://{tmp_path_factory.mktemp('archive')}")
    index = Index(objects, limits=SMALL, now=clock)
    entries = [entry(number, second=number // 3) for number in range(40)]
    for each in entries:
        await index.add([each])
    for number in range(5):
        await index.hide("acme", f"u{number:05d}")
    objects.left = steps
    with pytest.raises(LongshoreError):
        await settle(index, clock)
    assert await index.page("acme", limit=100) == listed(entries[5:])
    objects.left = 10_000
    await settle(index, clock, times=6)
    assert await index.page("acme", limit=100) == listed(entries[5:])
    left = await files(objects)
    assert {each.sort for each in left} == {"e1", "h1"}
    # What was written twice in the second where two leaves meet stays twice; readers skip it.
    assert 35 <= sum(each.count for each in left if each.sort == "e1") <= 35 + 3


async def test_memory_is_bounded_by_rounds(tmp_path_factory: pytest.TempPathFactory, clock: Clock) -> None:
    """No write holds more than a leaf, no round reads more than its share."""

    class Watched(Objects):
        largest = 0

        async def put(self, path: str, data: bytes, *, if_absent: bool = False) -> None:
            if "/e1-" in path:
                self.largest = max(self.largest, data.count(b"\n"))
            await super().put(path, data, if_absent=if_absent)

    objects = Watched(f"file://{tmp_path_factory.mktemp('archive')}")
    index = Index(objects, limits=SMALL, now=clock)
    for start in range(0, 300, 10):
        await index.add([entry(number) for number in range(start, start + 10)])
    await index.compact("acme")
    condemned = await files(objects, "d0")
    assert objects.largest == SMALL.leaf
    assert len(condemned) >= 300 / SMALL.round


async def test_names_carry_sort_range_and_count(objects: Objects, index: Index) -> None:
    await index.add([entry(1), entry(0, second=0.123456)])
    (path,) = [path async for path, _ in objects.list("index/")]
    name = r"index/acme/e0-20251120T211201000000Z-20251120T211200123456Z-2-[0-9a-f]{32}\.jsonl"
    assert re.fullmatch(name, path)
    (batch,) = await files(objects)
    assert (batch.first, batch.last) == (START + timedelta(seconds=0.123456), START + timedelta(seconds=1))


async def test_files_of_a_later_format_are_left_alone(objects: Objects, index: Index, clock: Clock) -> None:
    await objects.put("index/acme/z9-from-the-future", b"?")
    for number in range(10):
        await index.add([entry(number)])
    await settle(index, clock)
    assert await objects.get("index/acme/z9-from-the-future") == b"?"
    assert len(await index.page("acme")) == 10
