from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from longshore.archive.index import Entry, Index
from longshore.archive.objects import Objects
from longshore.archive.records import Records
from longshore.archive.removal import NOTES, Removal
from longshore.archive.retention import HOLD, USUAL, Retention
from longshore.errors import LongshoreError, Unavailable

CREATED = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@dataclasses.dataclass
class Kept:
    """An archive with a few jobs of tenant `a`: j0 created first; each ended an hour later."""

    objects: Objects
    records: Records
    index: Index
    removal: Removal

    async def add(self, id: str, uid: str, created: datetime = CREATED) -> None:
        record = {"id": id, "uid": uid, "created": created}
        await self.records.put("a", id, msgspec.json.encode(record))
        await self.objects.put(f"logs/a/{id}/s/00000000000000000000.log", b"log")
        await self.objects.put(f"artifacts/a/{id}/outputs/x", b"x")
        entry = Entry(uid, id, "job", "a", "", created, created + timedelta(hours=1), "Succeeded", "")
        await self.index.add([entry])

    async def paths(self) -> list[str]:
        """All that is not the index."""
        return sorted([path async for path, _ in self.objects.list("") if not path.startswith("index/")])

    async def listed(self) -> list[str]:
        return [entry.id for entry in await self.index.page("a")]


@pytest.fixture
def kept(objects: Objects) -> Kept:
    records, index = Records(objects), Index(objects)
    return Kept(objects, records, index, Removal(objects, records, index))


async def test_what_is_purged_leaves_nothing_and_others_stay(kept: Kept) -> None:
    await kept.add("j1", "u1")
    await kept.add("j10", "u10")
    await kept.removal.purge("a", "j1")
    assert await kept.listed() == ["j10"]
    assert all("/j10/" in path or path == "records/a/j10.json" for path in await kept.paths())
    assert await kept.index.find("a", "j1") is None
    await kept.removal.purge("a", "j1")
    await kept.removal.purge("a", "never")


async def test_after_a_purge_the_id_is_free_for_new_work(kept: Kept) -> None:
    await kept.add("j1", "u1")
    await kept.removal.purge("a", "j1")
    await kept.add("j1", "u2", CREATED + DAY)
    assert await kept.listed() == ["j1"]
    found = await kept.index.find("a", "j1")
    assert found is not None
    assert found.uid == "u2"


class Cut(Objects):
    """A store that is away after so many removals and writes."""

    left = 10_000

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Unavailable("away")

    async def put(self, path: str, data: bytes, *, if_absent: bool = False) -> None:
        self._count()
        await super().put(path, data, if_absent=if_absent)

    async def delete(self, path: str) -> None:
        self._count()
        await super().delete(path)

    async def clear(self, prefix: str) -> None:
        self._count()
        await super().clear(prefix)


@pytest.mark.parametrize("steps", range(7))
async def test_a_purge_that_is_cut_off_anywhere_is_finished_later_and_never_half_shown(
    tmp_path_factory: pytest.TempPathFactory, steps: int
) -> None:
    objects = Cut(f"file://{tmp_path_factory.mktemp('cut')}")
    records, index = Records(objects), Index(objects)
    kept = Kept(objects, records, index, Removal(objects, records, index))
    await kept.add("j1", "u1")
    objects.left = steps
    with pytest.raises(Unavailable):
        await kept.removal.purge("a", "j1")
    objects.left = 10_000
    if await kept.listed():  # nothing is lost of what is still shown
        assert len([path for path in await kept.paths() if not path.startswith(NOTES)]) == 3
    await kept.removal.finish()
    assert await kept.listed() == ([] if steps else ["j1"])  # without a note nothing was promised
    if steps:
        assert await kept.paths() == []


async def test_a_note_that_was_left_over_does_nothing_to_new_work_of_the_same_id(kept: Kept) -> None:
    await kept.objects.put(f"{NOTES}a/old.json", b'[{"id": "j1", "uid": "u1"}]')
    await kept.add("j1", "u2")
    await kept.removal.finish()
    assert await kept.listed() == ["j1"]
    assert len(await kept.paths()) == 3
    await kept.objects.delete("records/a/j1.json")  # as for a job that runs: it has a log and no record
    await kept.objects.put(f"{NOTES}a/old.json", b'[{"id": "j1", "uid": "u1"}]')
    await kept.removal.finish()
    assert len(await kept.paths()) == 2


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def retention(kept: Kept) -> Callable[[Clock], Retention]:
    return lambda clock: Retention(kept.objects, kept.index, kept.removal, clock)


async def test_retention_removes_what_ended_long_ago_and_nothing_that_is_in_use(
    kept: Kept, retention: Callable[[Clock], Retention]
) -> None:
    for n in range(4):
        await kept.add(f"j{n}", f"u{n}", CREATED + n * DAY)
    clock = Clock()
    rounds, now = retention(clock), CREATED + timedelta(days=12, hours=2)
    assert await rounds.round({"a": 10 * DAY}, now, lambda _: False) == {}  # the first round is held
    clock.seconds = HOLD.total_seconds()
    assert await rounds.round({}, now, lambda _: False) == {}
    removed = await rounds.round({"a": 10 * DAY}, now, lambda entry: entry.id == "j1")
    assert removed == {"a": 2}
    assert await kept.listed() == ["j3", "j1"]
    assert await rounds.round({"a": 10 * DAY}, now, lambda _: False) == {"a": 1}


async def test_a_clock_that_jumped_ahead_removes_nothing_for_a_day(
    kept: Kept, retention: Callable[[Clock], Retention]
) -> None:
    await kept.add("j0", "u0")
    clock = Clock()
    rounds, now = retention(clock), CREATED + DAY
    await rounds.round({"a": 10 * DAY}, now, lambda _: False)
    clock.seconds = HOLD.total_seconds()
    await rounds.round({"a": 10 * DAY}, now, lambda _: False)
    far = now + 3650 * DAY
    assert await rounds.round({"a": 10 * DAY}, far, lambda _: False) == {}
    clock.seconds += HOLD.total_seconds() - 1
    assert await rounds.round({"a": 10 * DAY}, far, lambda _: False) == {}
    assert await retention(Clock()).round({"a": 10 * DAY}, far, lambda _: False) == {}  # another leader waits too
    assert await rounds.round({"a": 10 * DAY}, now + USUAL, lambda _: False) == {}  # the clock was put right
    assert await kept.listed() == ["j0"]
    assert await rounds.round({"a": 10 * DAY}, now - 100 * DAY, lambda _: False) == {}
    assert await kept.listed() == ["j0"]


async def test_a_damaged_record_stays_and_keeps_neither_retention_nor_other_purges_from_going_on(
    kept: Kept, retention: Callable[[Clock], Retention]
) -> None:
    for n in range(3):
        await kept.add(f"j{n}", f"u{n}", CREATED + n * DAY)
    await kept.objects.put("records/a/j1.json", b"")  # as a folder's file may be after a power cut
    with pytest.raises(LongshoreError, match="damaged") as caught:
        await kept.removal.purge("a", "j1")
    assert caught.value.hint
    await kept.objects.put(f"{NOTES}a/0.json", b"[{")
    await kept.objects.put(f"{NOTES}a/1.json", b'[{"id": "j1", "uid": "u1"}, {"id": "j0", "uid": "u0"}]')
    await kept.removal.finish()
    assert await kept.listed() == ["j2", "j1"]
    await kept.objects.put("retention/round.json", b"")
    clock = Clock()
    rounds, now = retention(clock), CREATED + 100 * DAY
    assert await rounds.round({"a": 10 * DAY}, now, lambda _: False) == {}
    clock.seconds = HOLD.total_seconds()
    await rounds.round({"a": 10 * DAY}, now, lambda _: False)
    assert await kept.listed() == ["j1"]
    assert "records/a/j1.json" in await kept.paths()
