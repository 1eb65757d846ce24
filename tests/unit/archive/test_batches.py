from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from longshore.archive.batch import Batch, Mark
from longshore.archive.batches import LOADS, Batches
from longshore.archive.objects import Objects
from longshore.errors import NotFound

NOW = datetime(2025, 11, 20, 21, 12, tzinfo=UTC)


class Slow(Objects):
    """Remembers what was read, and how much of it at once."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.read: list[str] = []
        self.now = self.most = 0

    async def get(self, path: str) -> bytes:
        self.read.append(path)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            return await super().get(path)
        finally:
            self.now -= 1


@pytest.fixture
def slow(tmp_path_factory: pytest.TempPathFactory) -> Slow:
    return Slow(f"file://{tmp_path_factory.mktemp('archive')}")


async def written(batches: Batches, count: int, rows: int = 1) -> list[Batch]:
    return [
        await batches.write("acme", "h0", [Mark(f"u{n}-{row}", NOW) for row in range(rows)], NOW, NOW)
        for n in range(count)
    ]


async def test_what_was_read_last_stays_in_memory_and_the_rest_goes(slow: Slow) -> None:
    batches = Batches(slow, cached=20)
    one, two, three = await written(batches, 3, rows=10)
    for batch in (one, two, one, three, one):
        await batches.read(batch, Mark)
    assert slow.read == [one.path, two.path, three.path]
    await batches.read(two, Mark)
    assert slow.read[3:] == [two.path]


async def test_a_file_larger_than_the_memory_is_read_all_the_same(slow: Slow) -> None:
    batches = Batches(slow, cached=5)
    (large,) = await written(batches, 1, rows=10)
    for _ in range(2):
        assert len(await batches.read(large, Mark)) == 10
    assert len(slow.read) == 2


async def test_many_reads_at_once_are_bounded(slow: Slow) -> None:
    batches = Batches(slow)
    files = await written(batches, 60)
    rows = await batches.read_all(files, Mark)
    assert [each[0].uid for each in rows] == [f"u{n}-0" for n in range(60)]
    assert 1 < slow.most <= LOADS


async def test_many_readers_of_one_file_do_not_all_fetch_it(slow: Slow) -> None:
    batches = Batches(slow, cached=10)
    (file,) = await written(batches, 1, rows=10)
    await asyncio.gather(*(batches.read(file, Mark) for _ in range(200)))
    assert len(slow.read) <= LOADS
    (other,) = await written(batches, 1, rows=10)
    await batches.read(other, Mark)
    assert len(await batches.read(other, Mark)) == 10


async def test_an_error_of_one_of_many_reads_is_raised_bare(slow: Slow) -> None:
    batches = Batches(slow)
    files = await written(batches, 3)
    await batches.delete([files[1].path])
    with pytest.raises(NotFound):
        await batches.read_all(files, Mark)
