from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longshore.archive.index import Entry, Index, Limits, Wanted
from longshore.archive.objects import Objects
from longshore.archive.records import Records
from longshore.errors import LongshoreError, NotFound, UserMistake

START = datetime(2025, 11, 20, 21, 12, tzinfo=UTC)
SMALL = Limits(leaf=4, fold_at=3, round=5, overlapping=3)


def entry(number: int, tenant: str = "acme", second: float | None = None) -> Entry:
    created = START + timedelta(seconds=number if second is None else second)
    finished = created + timedelta(minutes=1)
    return Entry(f"u{number:05d}", f"j{number}", "jobs", tenant, f"n{number}", created, finished, "Succeeded", "Done")


def listed(entries: list[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda each: (each.created, each.uid), reverse=True)


async def all_pages(index: Index, tenant: str | None, limit: int) -> list[Entry]:
    found: list[Entry] = []
    while True:
        page = await index.page(tenant, before=found[-1].position if found else None, limit=limit)
        found += page
        assert len(found) < 200
        if len(page) < limit:
            return found


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


# Few seconds for many entries: bursts share one. A few are old: long runs end late.
ENTRIES = st.builds(
    lambda number, tenant: entry(number, tenant, second=(number * 7919 % 31) // 2),
    st.integers(0, 60),
    st.just("acme"),
)
STEPS = st.one_of(
    st.tuples(st.just("add"), st.lists(ENTRIES, max_size=6)),
    st.tuples(st.just("hide"), st.integers(0, 60)),
    st.tuples(st.just("compact"), st.sampled_from([0, 30, 61, 90_000])),
    st.tuples(st.just("page"), st.integers(1, 9)),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=25))
async def test_pages_are_those_of_a_sorted_list(steps: list[tuple[str, object]]) -> None:
    clock, model, hidden = Clock(), dict[str, Entry](), set[str]()
    with tempfile.TemporaryDirectory() as folder:
        index = Index(Objects(f"file://{folder}"), limits=SMALL, now=clock, cached=10)
        for step, what in [*steps, ("compact", 61), ("page", 3)]:
            if isinstance(what, list):
                added = [each for each in what if each.uid not in hidden]
                await index.add(added)
                model.update({each.uid: each for each in added})
            elif isinstance(what, int) and step == "hide" and f"u{what:05d}" in model:
                await index.hide("acme", f"u{what:05d}")
                hidden.add(f"u{what:05d}")
                del model[f"u{what:05d}"]
            elif isinstance(what, int) and step == "compact":
                clock.now += timedelta(seconds=what)
                await index.compact("acme")
            elif isinstance(what, int) and step == "page":
                assert await all_pages(index, "acme", what) == listed(list(model.values()))
                assert await all_pages(index, None, what) == listed(list(model.values()))


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(30)), st.integers(1, 12), st.booleans())
async def test_later_pages_do_not_move_when_newer_entries_come(order: list[int], limit: int, compacted: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        index = Index(Objects(f"file://{folder}"), limits=SMALL)
        old = [entry(number, second=number // 4) for number in order]
        for each in old:
            await index.add([each])
        first = await index.page("acme", limit=limit)
        await index.add([entry(number, second=100) for number in range(100, 110)])
        if compacted:
            await index.compact("acme")
        rest = await index.page("acme", before=first[-1].position, limit=100)
        assert first + rest == listed(old)


async def test_all_tenants_are_one_list_and_each_sees_its_own(objects: Objects) -> None:
    index = Index(objects)
    entries = [entry(number, tenant) for number, tenant in enumerate(["acme", "other", "third"] * 7)]
    await index.add(entries)
    await index.hide("acme", entries[0].uid)
    await index.hide("acme", entries[1].uid)  # other's: not acme's to hide
    assert await all_pages(index, None, 4) == listed(entries[1:])
    assert await all_pages(index, "other", 4) == listed(entries[1::3])
    assert await index.page("nobody") == []
    assert list(await index.tenants()) == ["acme", "other", "third"]


async def test_keep_chooses_and_the_page_is_still_full(objects: Objects) -> None:
    index = Index(objects, limits=SMALL)
    entries = [entry(number) for number in range(40)]
    for each in entries:
        await index.add([each])
    await index.compact("acme")
    page = await index.page("acme", limit=5, keep=lambda each: each.created.second % 7 == 0)
    assert [each.uid for each in page] == ["u00035", "u00028", "u00021", "u00014", "u00007"]
    assert await index.page("acme", limit=0) == []


async def test_an_entry_added_again_with_a_later_end_shows_that(objects: Objects) -> None:
    index = Index(objects, limits=SMALL)
    first = entry(1)
    later = msgspec.structs.replace(first, finished=START + timedelta(days=1), status="Failed")
    for each in (later, first, later, first):
        await index.add([each])
    assert await index.page("acme") == [later]
    await index.compact("acme")
    assert await index.page("acme") == [later]


class Counting(Objects):
    """Remembers what was read."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.read: list[str] = []

    async def get(self, path: str) -> bytes:
        self.read.append(path)
        return await super().get(path)


async def test_find_goes_straight_to_the_entry_by_its_record(tmp_path_factory: pytest.TempPathFactory) -> None:
    objects = Counting(f"file://{tmp_path_factory.mktemp('archive')}")
    clock = Clock()
    index, records = Index(objects, limits=SMALL, now=clock, cached=1), Records(objects)
    entries = [entry(number, second=number // 3) for number in range(60)]
    for each in entries:
        await records.put("acme", each.id, msgspec.json.encode({"uid": each.uid, "created": each.created, "more": 1}))
        await index.add([each])
    await index.add([entry(100, "other")])
    await index.compact("acme")
    clock.now += SMALL.grace
    await index.compact("acme")
    for wanted in (entries[0], entries[17], entries[59]):
        objects.read.clear()
        assert await index.find("acme", wanted.id) == wanted
        assert await index.find(None, wanted.id) == wanted
        assert len(objects.read) <= 8
    await index.hide("acme", entries[17].uid)
    assert await index.find("acme", entries[17].id) is None
    assert await index.find("other", entries[0].id) is None
    assert await index.find(None, "j999") is None


async def test_a_page_reads_only_the_files_that_can_hold_it(tmp_path_factory: pytest.TempPathFactory) -> None:
    objects = Counting(f"file://{tmp_path_factory.mktemp('archive')}")
    clock, limits = Clock(), Limits(leaf=100)
    index = Index(objects, limits=limits, now=clock, cached=300)
    for start in range(0, 4000, 100):
        await index.add([entry(number) for number in range(start, start + 100)])
    await index.compact("acme")
    clock.now += limits.grace
    await index.compact("acme")
    objects.read.clear()
    middle = await index.page("acme", before=entry(2050).position)
    assert middle[0] == entry(2049)
    assert len(objects.read) <= 2
    await index.page("acme", before=entry(2050).position)
    assert len(objects.read) <= 2, "a file that never changes is read once"
    objects.read.clear()
    upwards = await index.scan("acme", Wanted(50, entry(1250).position, descending=False))
    assert [each.id for each in upwards.entries] == [f"j{number}" for number in range(1251, 1301)]
    oldest = await index.scan("acme", Wanted(50, descending=False, since=entry(300).created))
    assert oldest.entries[0] == entry(300)
    assert len(objects.read) <= 4


class Vanishing(Objects):
    """Storage where compaction has removed files between a listing and the reads after it, a few times."""

    def __init__(self, url: str, times: int) -> None:
        super().__init__(url)
        self.times = times

    async def get(self, path: str) -> bytes:
        if self.times:
            self.times -= 1
            raise NotFound("gone")
        return await super().get(path)


async def test_a_file_that_vanishes_under_a_read_is_looked_for_again(tmp_path_factory: pytest.TempPathFactory) -> None:
    url = f"file://{tmp_path_factory.mktemp('archive')}"
    await Index(Objects(url)).add([entry(1)])
    assert await Index(Vanishing(url, times=2)).page("acme") == [entry(1)]
    with pytest.raises(LongshoreError, match="damaged"):
        await Index(Vanishing(url, times=100)).page("acme")
    found = await Index(Vanishing(url, times=100)).scan("acme", Wanted(5))
    assert (found.entries, [file.count for file in found.damaged]) == ([], [1])


async def test_a_page_while_compaction_removes_files_is_whole(tmp_path_factory: pytest.TempPathFactory) -> None:
    url = f"file://{tmp_path_factory.mktemp('archive')}"
    other = Index(Objects(url), limits=Limits(leaf=4, fold_at=3, grace=timedelta(0)))

    class Interrupted(Objects):
        listings = 0

        async def list(self, prefix: str) -> AsyncIterator[tuple[str, int]]:
            async for found in super().list(prefix):
                yield found
            self.listings += 1
            if self.listings == 1:
                await other.compact("acme")  # writes the new
                await other.compact("acme")  # removes the old

    entries = [entry(number) for number in range(30)]
    for each in entries:
        await other.add([each])
    objects = Interrupted(url)
    assert await Index(objects).page("acme", limit=100) == listed(entries)
    assert objects.listings == 2


async def test_a_damaged_file_is_named(objects: Objects) -> None:
    index = Index(objects)
    await index.add([entry(1)])
    (path,) = [path async for path, _ in objects.list("index/")]
    await objects.put(path, b'{"uid": "half a li')
    with pytest.raises(LongshoreError, match="damaged") as caught:
        await index.page("acme")
    assert path in caught.value.message
    assert caught.value.hint


async def test_a_tenant_that_is_a_path_and_a_time_without_a_zone_are_refused(objects: Objects) -> None:
    index = Index(objects)
    with pytest.raises(UserMistake):
        await index.page("../records")
    with pytest.raises(ValueError, match="zone"):
        await index.add([msgspec.structs.replace(entry(1), created=datetime(2025, 1, 1))])  # noqa: DTZ001
    await index.add([])
    assert await index.page(None) == []


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=40, unique=True),
    st.sampled_from([1, 2, 5]),
    st.sampled_from([1, 3, 120, 1000]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
async def test_scans_that_go_on_where_the_last_one_got_find_what_a_whole_page_finds(
    numbers: list[int], limit: int, most: int, compacted: bool, with_words: bool, descending: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        index = Index(Objects(f"file://{folder}"), limits=SMALL, cached=0)
        for number in numbers:
            await index.add([entry(number, second=number // 3)])
        if compacted:
            await index.compact("acme")
        await index.hide("acme", f"u{numbers[0]:05d}")
        words = [b'"name":"n1'] if with_words else []
        found: list[Entry] = []
        at = None
        for _ in range(300):
            wanted = Wanted(limit, at, descending, keep=lambda e: e.name.startswith("n1"), words=words)
            scan = await index.scan("acme", wanted, most=most)
            found += scan.entries
            if scan.reached is None:
                break
            assert at is None or (scan.reached < at if descending else scan.reached > at)
            at = scan.reached
        else:
            pytest.fail("it never ends")
        there = listed([entry(n, second=n // 3) for n in numbers[1:] if str(n).startswith("1")])
        assert found == (there if descending else there[::-1])


async def test_a_search_does_not_take_apart_the_files_that_cannot_hold_it(objects: Objects) -> None:
    index = Index(objects)
    for start in range(0, 2000, 100):
        await index.add([entry(number) for number in range(start, start + 100)])
    wanted = Wanted(5, keep=lambda e: e.name == "n3", words=[b'"name":"n3"'])
    scan = await index.scan("acme", wanted, most=3000)
    assert ([e.id for e in scan.entries], scan.reached) == (["j3"], None)
    scan = await index.scan("acme", wanted, most=500)
    assert scan.entries == []
    assert scan.reached is not None
