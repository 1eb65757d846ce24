"""What a damaged index still tells, what it says of the rest, and how it is whole again; harmed as disks do."""

from __future__ import annotations

import random
import tempfile
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longshore.archive.batches import Batches, DamagedBatch
from longshore.archive.index import Entry, Index, Limits, Wanted
from longshore.archive.objects import Objects
from longshore.archive.records import Records
from longshore.archive.removal import Removal
from longshore.archive.repair import Repair, Repaired
from longshore.archive.verification import Verification
from longshore.errors import Unavailable

START = datetime(2026, 1, 1, tzinfo=UTC)
SMALL = Limits(leaf=4, fold_at=3, round=5, overlapping=3, grace=timedelta(0))


def entry(number: int) -> Entry:
    at = START + timedelta(seconds=number // 3)
    return Entry(f"u{number:03}", f"j{number}", "job", "a", f"n{number}", at, at, "Failed", "Error", {"k": "v"})


class Archive:
    """An index and the records it lists."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects
        self.index = Index(objects, limits=SMALL, cached=0)

    async def add(self, *numbers: int) -> None:
        for number in numbers:
            each = entry(number)
            record = {name: getattr(each, name) for name in Entry.__struct_fields__} | {"tenant": "A", "more": 1}
            await Records(self.objects).put("a", each.id, msgspec.json.encode(record))
        await self.index.add([entry(number) for number in numbers])

    async def files(self) -> list[str]:
        return sorted([path async for path, _ in self.objects.list("index/a/")])

    async def harm(self, path: str, how: Callable[[bytes], bytes]) -> None:
        await self.objects.put(path, how(await self.objects.get(path)))

    async def listed(self) -> list[str]:
        return [each.id for each in (await Index(self.objects).scan("a", Wanted(1000), most=None)).entries]

    async def repair(self) -> list[Repaired]:
        return [done async for done in Repair(self.objects).run()]

    async def wrong(self) -> list[str]:
        return [finding.kind async for finding in Verification(self.objects, datetime.now(UTC)).run()]


@pytest.fixture
def archive(objects: Objects) -> Archive:
    return Archive(objects)


def flipped(data: bytes) -> bytes:
    """One bit is another: in text that stays JSON nobody could see that without a sum."""
    at = data.rindex(b"Error")
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def without_a_line(data: bytes) -> bytes:
    return data[: data.rstrip(b"\n").rfind(b"\n") + 1]


HARMS: list[Callable[[bytes], bytes]] = [
    flipped,
    without_a_line,
    lambda data: data[:-9],
    lambda _: b"",
    lambda d: d + d,
]


@pytest.mark.parametrize("harm", HARMS)
async def test_a_damaged_file_costs_its_own_entries_and_is_named(
    archive: Archive, harm: Callable[[bytes], bytes]
) -> None:
    await archive.add(1, 2, 3)
    await archive.add(10)
    await archive.add(20, 21)
    path = next(path for path in await archive.files() if "-3-" in path)
    await archive.harm(path, harm)
    found = await Index(archive.objects).scan("a", Wanted(10))
    assert [each.id for each in found.entries] == ["j21", "j20", "j10"]
    assert [(batch.path, batch.count) for batch in found.damaged] == [(path, 3)]
    assert found.reached is None
    newest = await Index(archive.objects).scan("a", Wanted(2))
    assert newest.damaged == (), "nothing of it belongs on this page"
    oldest = await Index(archive.objects).scan("a", Wanted(1, descending=False))
    assert len(oldest.damaged) == 1
    with pytest.raises(DamagedBatch):
        await Index(archive.objects).page("a")
    assert await archive.index.find("a", "j2") == entry(2), "its record says it all"
    assert await archive.index.find("a", "j4") is None


async def test_of_files_whose_names_tell_no_sum_the_lines_are_counted(archive: Archive) -> None:
    await archive.add(1, 2, 3)
    (path,) = await archive.files()
    data = await archive.objects.get(path)
    await archive.objects.delete(path)
    former = path[: -len(".jsonl") - 32] + uuid4().hex + ".jsonl"
    await archive.objects.put(former, data)
    assert await archive.listed() == ["j3", "j2", "j1"]
    await archive.objects.put(former, without_a_line(data))
    assert await archive.listed() == []
    assert await archive.wrong() == ["damaged", *3 * ["orphaned"]]


async def test_compaction_goes_on_around_what_cannot_be_read(archive: Archive) -> None:
    for start in range(0, 24, 2):
        await archive.add(start, start + 1)
    await archive.index.compact("a")
    await archive.index.compact("a")  # what was merged is gone
    leaf = next(path for path in await archive.files() if "/e1-" in path)
    await archive.harm(leaf, flipped)
    for start in range(30, 40):
        await archive.add(start)
    fresh = next(path for path in await archive.files() if "/e0-" in path and "-1-" in path)
    await archive.harm(fresh, flipped)
    lost = 4 + 1
    for _ in range(3):
        await archive.index.compact("a")
        assert len(await archive.listed()) == 34 - lost
    there = await archive.files()
    assert {leaf, fresh} <= set(there), "it is not thrown away"
    assert [path for path in there if "/e0-" in path] == [fresh]
    await archive.index.compact("a")
    assert await archive.files() == there, "what is done is not done again and again"
    await archive.repair()
    await archive.index.compact("a")
    assert len(await archive.listed()) == 34
    assert await archive.wrong() == []


async def test_what_was_hidden_or_purged_stays_so_where_the_marks_are_damaged(archive: Archive) -> None:
    await archive.add(*range(6))
    await archive.index.hide("a", "u001")
    await Removal(archive.objects, Records(archive.objects), archive.index).purge("a", "j2")
    await archive.index.hide("a", "u003")
    for path in await archive.files():
        if "/h0-" in path:
            await archive.harm(path, lambda _: b"x")
    found = await archive.index.scan("a", Wanted(10))
    assert {batch.sort for batch in found.damaged} == {"h0"}
    assert "j1" not in await archive.listed(), "that is noted elsewhere too"
    assert await archive.index.find("a", "j1") is None
    (done,) = await archive.repair()
    assert (done.listed, len(done.aside)) == (0, 3)
    assert await archive.listed() == ["j5", "j4", "j0"]
    assert await archive.wrong() == []
    assert await archive.repair() == []


async def test_a_damaged_note_of_what_was_replaced_keeps_nothing_from_being_merged(archive: Archive) -> None:
    for number in range(4):
        await archive.add(number)
    await archive.index.compact("a")
    (note,) = [path for path in await archive.files() if "/d0-" in path]
    await archive.harm(note, lambda _: b"{")
    for number in range(10, 14):
        await archive.add(number)
    for _ in range(3):
        await archive.index.compact("a")
    assert len(await archive.listed()) == 8
    assert [done.aside for done in await archive.repair()] == [(note,)]
    assert await archive.wrong() == []


async def test_a_file_that_comes_back_from_a_backup_is_read_again(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("longshore.archive.batches.DAMAGED_SECONDS", 0.0)
    await archive.add(1)
    (path,) = await archive.files()
    data = await archive.objects.get(path)
    await archive.objects.put(path, b"")
    assert (await archive.index.scan("a", Wanted(5))).damaged
    await archive.objects.put(path, data)
    assert (await archive.index.scan("a", Wanted(5))).entries == [entry(1)]


class Stubborn(Objects):
    """A disk of which one file cannot be read."""

    bad = ""
    away = False

    async def get(self, path: str) -> bytes:
        if path == self.bad:
            raise Unavailable("an input/output error")
        return await super().get(path)

    async def answers(self) -> None:
        if self.away:
            raise Unavailable("away")


async def test_one_file_that_is_refused_is_damaged_and_a_store_that_is_away_is_away(tmp_path: Path) -> None:
    objects = Stubborn(f"file://{tmp_path}")
    archive = Archive(objects)
    await archive.add(1)
    await archive.add(2)
    objects.bad = next(path for path in await archive.files())
    found = await Index(objects).scan("a", Wanted(5))
    assert (len(found.entries), len(found.damaged)) == (1, 1)
    objects.away = True
    with pytest.raises(Unavailable):
        await Index(objects).scan("a", Wanted(5))


class Flickering(Objects):
    """A disk of which one file cannot be read at first."""

    bad = ""

    async def get(self, path: str) -> bytes:
        if path == self.bad:
            self.bad = ""
            raise Unavailable("an input/output error")
        return await super().get(path)


async def test_what_could_be_read_again_while_the_list_is_repaired_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("longshore.archive.batches.DAMAGED_SECONDS", 0.0)  # a large index takes longer than that
    objects = Flickering(f"file://{tmp_path}")
    archive = Archive(objects)
    await archive.add(1)
    await archive.add(2)
    objects.bad = (await archive.files())[0]
    (done,) = await archive.repair()
    assert len(done.aside) == done.listed == 1
    assert await archive.listed() == ["j2", "j1"]
    assert await archive.wrong() == []


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.lists(st.integers(0, 40), min_size=1, max_size=5, unique=True)),
        st.tuples(st.just("hide"), st.integers(0, 40)),
        st.tuples(st.just("compact"), st.just(0)),
        st.tuples(st.sampled_from(["flip", "cut", "lose"]), st.integers(0, 99)),
        st.tuples(st.just("repair"), st.just(0)),
    ),
    max_size=14,
)


@settings(max_examples=40, deadline=None)
@given(STEPS)
async def test_nothing_is_missing_without_a_word_and_repair_brings_all_back(steps: list[tuple[str, object]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        archive = Archive(Objects(f"file://{folder}"))
        model, hidden, lost = set[int](), set[int](), False
        for step, what in [*steps, ("repair", 0), ("compact", 0)]:
            if isinstance(what, list):
                new = [number for number in what if number not in hidden | model]
                model.update(new)
                await archive.add(*new)
            elif step == "hide" and what in model:
                await archive.index.hide("a", f"u{what:03}")
                model.discard(int(str(what)))
                hidden.add(int(str(what)))
            elif step == "compact":
                await archive.index.compact("a")
            elif step == "repair":
                await archive.repair()
                lost = False
            elif isinstance(what, int) and (files := await archive.files()) and step in ("flip", "cut", "lose"):
                path = files[what % len(files)]
                if step == "lose":
                    (Path(folder) / path).unlink()
                    lost = True
                else:
                    await archive.harm(path, (lambda d: d[:-1]) if step == "cut" else (lambda d: b"?" + d[1:]))
            # each look is another process: nothing is remembered
            found = await Index(archive.objects).scan("a", Wanted(1000), most=None)
            ids = {int(each.id[1:]) for each in found.entries}
            assert ids <= model or lost, "what was hidden is shown only where the file that says so is gone"
            assert ids >= model or found.damaged or lost
            for number in model:
                assert await archive.index.find("a", f"j{number}") == entry(number)
        assert set(await archive.listed()) >= {f"j{number}" for number in model}
        assert await Batches(archive.objects).damaged("a") == []


class Cut(Objects):
    """A store that goes away after so many writes."""

    left = 10**6

    async def put(self, path: str, data: bytes, *, if_absent: bool = False) -> None:
        self._spend()
        await super().put(path, data, if_absent=if_absent)

    async def copy(self, source: str, target: str) -> None:
        self._spend()
        await super().copy(source, target)

    async def delete(self, path: str) -> None:
        self._spend()
        await super().delete(path)

    def _spend(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Unavailable("away")


@pytest.mark.parametrize("writes", range(11))
async def test_a_repair_that_is_cut_off_anywhere_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    monkeypatch.setattr("longshore.archive.repair.ADDED", 2)
    objects = Cut(f"file://{tmp_path}")
    archive = Archive(objects)
    await archive.add(*range(5))
    await archive.add(7)
    await archive.index.hide("a", "u003")
    for path in await archive.files():
        await archive.harm(path, lambda data: data[:-1])
    objects.left = writes
    try:
        await archive.repair()
    except Unavailable:
        assert writes < 10
    objects.left = 10**6
    await archive.repair()
    assert await archive.listed() == ["j7", "j4", "j2", "j1", "j0"]
    assert await archive.wrong() == []


async def test_others_write_while_the_list_is_repaired(tmp_path: Path) -> None:
    class Busy(Objects):
        """Somebody archives, hides and compacts whenever records are listed."""

        turns = 0

        async def list(self, prefix: str) -> AsyncIterator[tuple[str, int]]:
            if prefix == "records/a/":
                self.turns += 1
                await other.add(100 + self.turns)
                await other.index.hide("a", "u002")
                await other.index.compact("a")
            async for found in super().list(prefix):
                yield found

    other = Archive(Objects(f"file://{tmp_path}"))
    for number in range(5):
        await other.add(number)
    chosen = random.Random(3).choice([path for path in await other.files() if "/e0-" in path])
    await other.harm(chosen, flipped)
    await Archive(Busy(f"file://{tmp_path}")).repair()
    assert sorted(await other.listed()) == ["j0", "j1", "j101", "j3", "j4"]
