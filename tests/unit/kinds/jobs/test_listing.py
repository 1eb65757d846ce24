"""A list over what is live and what is archived shows each job once and in order, whatever moves while it is read."""

import asyncio
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.kinds import workloads
from tests.unit.kinds.workloads import T0 as START
from tests.unit.kinds.workloads import at, parts_of

from longshore.archive.index import Entry, Index, Scan
from longshore.errors import LongshoreError, Unavailable, UserMistake
from longshore.kinds.jobs import model
from longshore.kinds.jobs.find import Found, full_record, kept_record
from longshore.kinds.jobs.listing import Filter, page
from longshore.kinds.jobs.request import JobRequest
from longshore.kinds.tenants.model import Tenant
from longshore.kube.objects import Condition, Job, ObjectMeta
from longshore.kube.store import Writer
from longshore.services import empty_stores

MINE = Filter("a")


class World:
    """A store and an archive, and what happens to jobs in them."""

    def __init__(self, folder: str) -> None:
        stores = empty_stores()
        self.writer, self.pods = Writer(stores.jobs), Writer(stores.pods)
        Writer(stores.tenants).replace([Tenant(metadata=ObjectMeta(name="a", uid="t", resource_version="1"))], 1)
        self.parts = parts_of(Path(folder), lambda: START, stores)
        self.version = 1

    def put(self, job: Job) -> Job:
        self.version += 1
        meta = msgspec.structs.replace(job.metadata, resource_version=str(self.version))
        job = msgspec.structs.replace(job, metadata=meta)
        self.writer.put(job)
        return job

    async def archive(self, job: Job) -> None:
        meta, request = job.metadata, model.request_of(job)
        created = meta.creation_timestamp or START
        entry = Entry(meta.uid, meta.name, "job", "a", request.name, created, created, "Succeeded", "", request.tags)
        await self.parts.archive.index.add([entry])

    def drop(self, job: Job) -> None:
        self.version += 1
        self.writer.delete(f"{job.metadata.namespace}/{job.metadata.name}", self.version)

    async def pages(self, wanted: Filter, limit: int, sort: str = "-created") -> list[str]:
        seen, cursor = [], None
        while True:
            found = await page(self.parts, wanted, limit=limit, cursor=cursor, sort=sort)
            seen += [ids(row) for row in found.items]
            cursor = found.cursor
            if cursor is None:
                return seen


def ids(row: Any) -> str:
    return str(row["id"] if isinstance(row, dict) else row.id)


def job(n: int, second: int, *, over: bool = False, foreign: bool = False, **fields: Any) -> Job:
    made = workloads.job(
        *((Condition("Complete", "True"),) if over else ()),
        name=f"j{n:03}",
        uid=f"uid-{n:03}",
        created=at(second),
        request=JobRequest(name=f"name {n}", image="x", **fields),
        finalizers=(),
        suspend=not over,
    )
    if not foreign:
        return made
    return msgspec.structs.replace(made, metadata=msgspec.structs.replace(made.metadata, labels={}, annotations={}))


@settings(max_examples=40, deadline=None)
@given(
    seconds=st.lists(st.integers(0, 3), min_size=1, max_size=9),
    before=st.lists(st.sampled_from(["live", "both", "archived"]), min_size=9, max_size=9),
    moves=st.lists(st.tuples(st.integers(0, 8), st.sampled_from(["archive", "drop", "new"])), max_size=8),
    limit=st.integers(1, 3),
    sort=st.sampled_from(["-created", "created"]),
)
def test_each_job_is_listed_once_and_in_order_while_jobs_move_to_the_archive(
    seconds: list[int], before: list[str], moves: list[tuple[int, str]], limit: int, sort: str
) -> None:
    async def scenario() -> None:
        with tempfile.TemporaryDirectory() as folder:
            world = World(folder)
            jobs = [job(n, second, over=True) for n, second in enumerate(seconds)]
            archived: set[int] = set()
            world.writer.replace([], 1)
            for n, each in enumerate(jobs):
                jobs[n] = world.put(each)
                if before[n] != "live":
                    await world.archive(each)
                    archived.add(n)
                if before[n] == "archived":
                    world.drop(jobs[n])
            seen, cursor, waiting = [], None, list(moves)
            while True:
                found = await page(world.parts, MINE, limit=limit, cursor=cursor, sort=sort)
                seen += [ids(row) for row in found.items]
                cursor = found.cursor
                if cursor is None:
                    break
                if waiting:
                    n, move = waiting.pop()
                    if move == "new" and sort == "-created":
                        world.put(job(100 + len(waiting), 9, over=True))
                    elif n < len(jobs) and n not in archived:
                        await world.archive(jobs[n])
                        archived.add(n)
                    elif n < len(jobs) and move == "drop" and n in archived:
                        world.drop(jobs[n])
            expected = sorted(jobs, key=lambda j: (j.metadata.creation_timestamp, j.metadata.uid))
            expected = expected[::-1] if sort == "-created" else expected
            assert seen == [each.metadata.name for each in expected]

    asyncio.run(scenario())


async def test_filters_narrow_hot_and_archived_alike(tmp_path: Path) -> None:
    world = World(str(tmp_path))
    world.writer.replace([], 1)
    for n in range(4):
        one = world.put(job(n, n, over=True, tags={"team": "a" if n % 2 else "b"}))
        if n >= 2:
            await world.archive(one)
            world.drop(one)
    world.put(job(4, 4, tags={"team": "a", "run": "1"}))

    async def found(**wanted: Any) -> list[str]:
        newest_first = await world.pages(Filter("a", **wanted), 2)
        assert await world.pages(Filter("a", **wanted), 2, "created") == newest_first[::-1]
        return newest_first

    assert await found() == ["j004", "j003", "j002", "j001", "j000"]
    assert await found(tags=(("team", "a"),)) == ["j004", "j003", "j001"]
    assert await found(tags=(("team", "a"), ("run", "1"))) == ["j004"]
    assert await found(status="Succeeded") == ["j003", "j002", "j001", "j000"]
    assert await found(status="Queued") == ["j004"]
    assert await found(name="name 3") == ["j003"]
    assert await found(created_after=START + timedelta(seconds=2)) == ["j004", "j003", "j002"]
    assert await found(created_before=START + timedelta(seconds=2)) == ["j001", "j000"]
    assert await found(created_before=START + timedelta(seconds=1.5)) == ["j001", "j000"]
    assert await found(archived=True) == ["j003", "j002"]
    assert await found(archived=False) == ["j004", "j001", "j000"]
    hot = await page(world.parts, Filter("a", archived=False), limit=9, cursor=None, sort="created")
    assert [ids(row) for row in hot.items] == ["j000", "j001", "j004"]
    with pytest.raises(UserMistake) as refused:
        await page(world.parts, MINE, limit=9, cursor=None, sort="name")
    assert refused.value.field == "sort"


async def test_what_was_deleted_is_not_listed_and_what_others_made_is(tmp_path: Path) -> None:
    world = World(str(tmp_path))
    world.writer.replace([], 1)
    hidden = world.put(job(1, 1, over=True))
    marks = {**hidden.metadata.annotations, model.ANNOTATION_HIDDEN: model.DELETED}
    meta = msgspec.structs.replace(hidden.metadata, annotations=marks)
    world.put(msgspec.structs.replace(hidden, metadata=meta))
    world.put(job(2, 2, foreign=True))
    stray = job(3, 3, foreign=True)
    elsewhere = msgspec.structs.replace(stray.metadata, namespace="tenant-nobody")
    world.put(msgspec.structs.replace(stray, metadata=elsewhere))
    assert await world.pages(MINE, 5) == ["a/job/j002"]
    assert await world.pages(Filter(None), 5) == ["a/job/j002"]


async def test_a_rare_one_is_found_over_pages_that_each_look_at_little(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(Index.scan.__kwdefaults__ or {}, "most", 3)
    world = World(str(tmp_path))
    world.writer.replace([], 1)
    for n in range(30):
        one = world.put(job(n, n, over=True, tags={"rare": "yes"} if n % 10 == 0 else {}))
        if n % 3:
            await world.archive(one)
            world.drop(one)
    rare = Filter("a", tags=(("rare", "yes"),))
    assert await world.pages(rare, 2) == ["j020", "j010", "j000"]
    assert await world.pages(MINE, 7) == [f"j{n:03d}" for n in reversed(range(30))]
    assert await world.pages(rare, 2, "created") == ["j000", "j010", "j020"]
    assert await world.pages(MINE, 7, "created") == [f"j{n:03d}" for n in range(30)]
    first = await page(world.parts, rare, limit=2, cursor=None)
    assert len(first.items) < 2
    assert first.cursor is not None


@pytest.mark.parametrize("sort", ["-created", "created"])
async def test_live_ones_that_fill_a_page_are_not_passed_over_where_the_archive_was_looked_through_further(
    sort: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(Index.scan.__kwdefaults__ or {}, "most", 3)
    world = World(str(tmp_path))
    world.writer.replace([], 1)
    live = range(20, 26) if sort == "-created" else range(6)
    for n in range(26):
        one = world.put(job(n, n, over=True, tags={"rare": "yes"} if n in live else {}))
        if n not in live:
            await world.archive(one)
            world.drop(one)
    rare = Filter("a", tags=(("rare", "yes"),))
    assert await world.pages(rare, 2, sort) == [f"j{n:03d}" for n in (live if sort == "created" else reversed(live))]


@settings(max_examples=40, deadline=None)
@given(
    places=st.lists(st.sampled_from(["live", "both", "archived"]), min_size=1, max_size=9),
    limit=st.integers(1, 3),
    sort=st.sampled_from(["-created", "created"]),
    goes=st.integers(0, 3),
    comes=st.integers(0, 5),
)
def test_while_the_archive_is_away_the_live_ones_are_listed_and_the_rest_follows_when_it_is_back(
    places: list[str], limit: int, sort: str, goes: int, comes: int
) -> None:
    async def scenario() -> None:
        with tempfile.TemporaryDirectory() as folder:
            world = World(folder)
            world.writer.replace([], 1)
            for n, place in enumerate(places):
                one = world.put(job(n, n, over=True))
                if place != "live":
                    await world.archive(one)
                if place == "archived":
                    world.drop(one)
            seen: list[str] = []
            cursor, asked, told = None, 0, False
            scan = world.parts.archive.index.scan

            async def away(*_: Any, **__: Any) -> Scan:
                raise Unavailable("away")

            while asked == 0 or cursor is not None:
                gone = goes <= asked < goes + comes
                world.parts.archive.index.scan = away if gone else scan  # type: ignore[method-assign]
                world.parts.presence.probe = away if gone else world.parts.archive.answers
                world.parts.presence.away_since = world.parts.presence.away_since if gone else None
                asked += 1
                try:
                    found = await page(world.parts, MINE, limit=limit, cursor=cursor, sort=sort)
                except Unavailable:
                    assert gone
                    assert all(f"j{n:03}" in seen for n, place in enumerate(places) if place != "archived")
                    continue
                told = told or found.archive is not None
                if found.archive is not None:
                    assert (gone, found.archive.since, found.archive.available) == (True, START, False)
                seen += [ids(row) for row in found.items]
                cursor = found.cursor
            expected = [f"j{n:03}" for n in range(len(places))]
            assert sorted(seen) == expected  # each once
            if not told:
                assert seen == (expected[::-1] if sort == "-created" else expected)

    asyncio.run(scenario())


async def test_only_what_is_in_the_archive_alone_is_refused_while_it_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(str(tmp_path))
    world.writer.replace([], 1)
    world.put(job(1, 1, over=True))

    async def away(*_: Any, **__: Any) -> Scan:
        raise Unavailable("away")

    monkeypatch.setattr(world.parts.archive.index, "scan", away)
    with pytest.raises(Unavailable, match=r"^away$"):  # it alone: the archive is there
        await page(world.parts, MINE, limit=1, cursor=None)
    monkeypatch.setattr(world.parts.presence, "probe", away)
    found = await page(world.parts, MINE, limit=1, cursor=None)
    assert [ids(row) for row in found.items] == ["j001"]
    assert found.archive is not None
    for cursor, wanted in ((found.cursor, MINE), (None, Filter("a", archived=True))):
        with pytest.raises(Unavailable, match="since 2026-01-01") as refused:
            await page(world.parts, wanted, limit=1, cursor=cursor)
        assert refused.value.retry_after > 0
        assert refused.value.hint
    assert await world.pages(Filter("a", archived=False), 1) == ["j001"]


async def test_a_record_that_cannot_be_read_says_so_with_a_hint(tmp_path: Path) -> None:
    parts = World(str(tmp_path)).parts
    await parts.archive.records.put("a", "j1", b"{")
    with pytest.raises(LongshoreError, match="damaged") as caught:
        await kept_record(parts, "a", "j1")
    assert caught.value.hint


async def test_a_job_in_the_cluster_is_told_of_also_while_the_archive_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(str(tmp_path))

    async def away(*_: Any) -> None:
        raise Unavailable("away")

    monkeypatch.setattr(world.parts.archive.records, "get", away)
    monkeypatch.setattr(world.parts.archive.artifacts, "manifest", away)
    for n, over in enumerate((False, True)):
        there = world.put(job(n, 0, over=over, outputs=("*.csv",)))
        record = await full_record(world.parts, Found(there.metadata.name, "a", there))
        assert (record.status == "Succeeded", record.outputs) == (over, None)


async def test_a_page_on_which_damaged_entries_would_be_says_so_and_the_others_do_not(tmp_path: Path) -> None:
    world = World(str(tmp_path))
    for n in range(6):
        await world.archive(job(n, n, over=True))
    damaged = sorted((tmp_path / "index/a").iterdir())[2]
    damaged.write_bytes(b"{")
    pages = []
    cursor = None
    for _ in range(3):
        found = await page(world.parts, MINE, limit=2, cursor=cursor)
        pages.append(([ids(row) for row in found.items], found.damaged.entries if found.damaged else 0))
        cursor = found.cursor
    assert cursor is None
    assert pages == [(["j005", "j004"], 0), (["j003", "j001"], 1), (["j000"], 0)]
    assert (await page(world.parts, Filter("b"), limit=2, cursor=None)).remarks() == {}, "another's are another's"
