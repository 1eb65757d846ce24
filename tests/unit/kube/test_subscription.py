"""A snapshot and all that follows it: no gap, no duplicate, one pending entry per object, bounded."""

import asyncio

import pytest

from longshore.kube.objects import Job
from longshore.kube.store import Delta, Overflowed

from .objects import a_job, a_store


def brief(deltas: list[Delta[Job]]) -> list[tuple[str, str | None, str | None]]:
    """Each delta as name, old version, new version."""
    return [(delta.key[3:], version(delta.old), version(delta.new)) for delta in deltas]


def version(job: Job | None) -> str | None:
    return None if job is None else job.metadata.resource_version


async def test_a_snapshot_is_followed_by_every_later_change() -> None:
    store, writer = a_store(a_job("a", 1))
    async with store.subscribe() as changes:
        assert changes.snapshot == [store.get("a", "ns")]
        assert changes.seq == store.seq
        writer.put(a_job("b", 11))
        writer.put(a_job("a", 12))
        writer.delete("ns/b", 13)
        writer.put(a_job("c", 14))
        deltas = await changes.next()
    assert brief(deltas) == [("a", "1", "12"), ("c", None, "14")]


async def test_a_reader_is_woken_by_a_change() -> None:
    store, writer = a_store()
    async with store.subscribe() as changes:
        waiting = asyncio.create_task(changes.next())
        await asyncio.sleep(0)
        writer.put(a_job("a", 11))
        assert brief(await waiting) == [("a", None, "11")]


async def test_changes_of_one_object_become_one_entry_with_the_newest() -> None:
    store, writer = a_store(a_job("a", 1))
    async with store.subscribe() as changes:
        for version in range(11, 1000):
            writer.put(a_job("a", version))
        assert brief(await changes.next()) == [("a", "1", "999")]


async def test_what_came_and_went_between_two_reads_is_not_told() -> None:
    store, writer = a_store()
    async with store.subscribe() as changes:
        writer.put(a_job("a", 11))
        writer.delete("ns/a", 12)
        writer.put(a_job("b", 13))
        assert brief(await changes.next()) == [("b", None, "13")]


async def test_a_reader_gets_as_far_as_the_store_also_by_what_it_is_not_told() -> None:
    store, writer = a_store(a_job("a", 1))
    async with store.subscribe() as changes:
        writer.delete("ns/a", 11)
        writer.put(a_job("b", 12))
        writer.delete("ns/b", 13)
        assert brief(await changes.next()) == [("a", "1", None)]
        assert changes.seq == store.seq
        waiting = asyncio.create_task(changes.next())
        await asyncio.sleep(0)
        writer.put(a_job("c", 14))
        writer.delete("ns/c", 15)
        async with asyncio.timeout(60):
            assert await waiting == []
        assert changes.seq == store.seq


async def test_a_new_object_of_the_same_name_is_a_deletion_and_then_an_addition() -> None:
    store, writer = a_store(a_job("a", 1, uid="first"))
    async with store.subscribe() as changes:
        writer.delete("ns/a", 11)
        writer.put(a_job("a", 12, uid="second"))
        assert brief(await changes.next()) == [("a", "1", None), ("a", None, "12")]


async def test_how_a_deleted_object_was_at_its_end_is_told_where_the_reader_had_not_seen_it() -> None:
    store, writer = a_store(a_job("a", 1), a_job("b", 2, uid="first"), a_job("c", 3))
    async with store.subscribe() as changes:
        writer.put(a_job("a", 11))
        writer.delete("ns/a", 12)
        writer.put(a_job("b", 13, uid="first"))
        writer.delete("ns/b", 14)
        writer.put(a_job("b", 15, uid="second"))
        writer.put(a_job("b", 16, uid="second"))
        writer.delete("ns/c", 17)
        deltas = await changes.next()
    assert brief(deltas) == [("a", "1", None), ("b", "2", None), ("b", None, "16"), ("c", "3", None)]
    assert [version(delta.last) for delta in deltas] == ["11", "13", None, None]


async def test_sequence_numbers_only_grow() -> None:
    store, writer = a_store()
    async with store.subscribe() as changes:
        writer.put(a_job("a", 11))
        writer.put(a_job("b", 12))
        writer.put(a_job("a", 13))
        numbers = [delta.seq for delta in await changes.next()]
        assert numbers == sorted(set(numbers))
        assert changes.seq == store.seq == numbers[-1]


async def test_a_reader_that_falls_behind_is_told_to_begin_anew() -> None:
    store, writer = a_store()
    async with store.subscribe(bound=3) as changes:
        for version in range(11, 200):
            writer.put(a_job(f"j{version}", version))
        assert store.subscribers == 0  # it costs nothing from then on
        with pytest.raises(Overflowed):
            await changes.next()
    async with store.subscribe(bound=3) as changes:
        assert len(changes.snapshot) == len(store)


async def test_a_waiting_reader_learns_that_a_relist_overflowed_it() -> None:
    store, writer = a_store()
    async with store.subscribe(bound=3) as changes:
        waiting = asyncio.create_task(changes.next())
        await asyncio.sleep(0)
        writer.replace([a_job(f"j{number}", number) for number in range(10)], 20)
        with pytest.raises(Overflowed):
            await waiting


async def test_the_snapshot_is_let_go_when_reading_begins() -> None:
    store, writer = a_store(a_job("a", 1))
    async with store.subscribe() as changes:
        writer.put(a_job("b", 11))
        await changes.next()
        assert changes.snapshot == []


async def test_a_reader_that_leaves_is_forgotten() -> None:
    store, _ = a_store()
    async with store.subscribe():
        assert store.subscribers == 1
    assert store.subscribers == 0


async def test_who_follows_one_value_of_an_index_sees_only_what_is_under_it() -> None:
    store, writer = a_store(a_job("a", 1, tenant="x"), a_job("b", 2, tenant="y"))
    async with store.subscribe(("tenant", "x")) as changes:
        assert [job.metadata.name for job in changes.snapshot] == ["a"]
        writer.put(a_job("b", 11, tenant="y"))
        writer.put(a_job("c", 12, tenant="x"))
        assert [delta.key[3:] for delta in await changes.next()] == ["c"]


async def test_what_moves_under_another_value_goes_here_and_comes_there() -> None:
    store, writer = a_store(a_job("a", 1, tenant="x"))
    async with store.subscribe(("tenant", "x")) as here, store.subscribe(("tenant", "y")) as there:
        writer.put(moved := a_job("a", 11, tenant="y"))
        (gone,), (came,) = await here.next(), await there.next()
        assert (gone.new, came.old, came.new) == (None, None, moved)


async def test_a_slow_reader_of_one_value_overflows_alone_and_is_forgotten() -> None:
    store, writer = a_store()
    async with store.subscribe(("tenant", "x"), bound=1) as slow, store.subscribe(("tenant", "x")) as quick:
        writer.put(a_job("a", 11, tenant="x"))
        writer.put(a_job("b", 12, tenant="x"))
        with pytest.raises(Overflowed):
            await slow.next()
        assert len(await quick.next()) == 2
        assert store.subscribers == 1
    assert store.subscribers == 0
