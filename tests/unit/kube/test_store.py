"""Reading, indexes, and waiting for a version."""

import asyncio
import math
from typing import Any

import pytest
from structlog.testing import capture_logs

from longshore.errors import Unavailable, UserMistake
from longshore.kube import versioned
from longshore.kube.objects import JOBS, Job
from longshore.kube.store import Order, Store, Writer, created

from .conftest import Clock
from .objects import a_job, a_store


def test_objects_are_found_by_name_by_namespace_and_by_index() -> None:
    a, b = a_job("a", 1, tenant="blue"), a_job("b", 2, namespace="other", tenant="red")
    store, _ = a_store(a, b)
    assert store.get("a", "ns") is a
    assert store.get("a") is None
    assert len(store) == 2
    assert store.list("other") == [b]
    assert store.by("tenant", "blue") == [a]
    assert store.by("tenant", "green") == []


def test_an_index_follows_changes_and_deletions() -> None:
    store, writer = a_store(a_job("a", 1, tenant="blue"))
    writer.put(a_job("a", 11, tenant="red"))
    assert (len(store.by("tenant", "blue")), len(store.by("tenant", "red"))) == (0, 1)
    writer.delete("ns/a", 12)
    assert store.by("tenant", "red") == []
    assert store.list("ns") == []


def test_an_index_may_put_an_object_under_several_values_or_none() -> None:
    store: Store[Job] = Store(JOBS, {"label": lambda job: job.metadata.labels})
    Writer(store).replace([a_job("a", 1, x="1", y="2"), a_job("b", 2)], 5)
    assert [job.metadata.name for job in store.by("label", "x")] == ["a"]
    assert [job.metadata.name for job in store.by("label", "y")] == ["a"]


def test_an_object_on_which_an_index_fails_is_kept_counted_and_told() -> None:
    store: Store[Job] = Store(JOBS, {"tenant": lambda job: job.metadata.labels["tenant"]})
    with capture_logs() as logs:
        Writer(store).replace([a_job("a", 1), a_job("b", 2, tenant="blue")], 5)
    assert len(store) == 2
    assert len(store.by("tenant", "blue")) == 1
    assert store.stats.unindexed == 1
    assert logs[0]["object"] == "ns/a"


def test_what_a_reader_was_handed_does_not_change() -> None:
    store, writer = a_store(a_job("a", 1))
    before = store.list()
    writer.put(a_job("b", 11))
    assert [job.metadata.name for job in before] == ["a"]


def test_a_store_has_one_writer() -> None:
    store, _ = a_store()
    with pytest.raises(RuntimeError, match="has a writer already"):
        Writer(store)


def test_an_unchanged_object_survives_a_relist_as_it_is() -> None:
    a = a_job("a", 1)
    store, writer = a_store(a)
    seq = store.seq
    writer.replace([a_job("a", 1)], 20)
    assert store.get("a", "ns") is a
    assert store.seq == seq


@pytest.mark.parametrize(("version", "kept"), [(20, True), (6, False)])
def test_what_cannot_be_decoded_is_kept_unless_it_is_of_a_history_that_was_replaced(version: int, kept: bool) -> None:
    """Else nothing would ever end it: its deletion at version 7 is older than what is known of it."""
    known = a_job("a", 8)
    store, writer = a_store(known)
    writer.replace([], version, keep={"ns/a": known.metadata.uid})
    assert store.list() == [known] * kept


def test_its_size_is_known_in_bytes() -> None:
    store, writer = a_store()
    writer.put(a_job("a", 11), size=500)
    writer.put(a_job("b", 12), size=70)
    writer.put(a_job("a", 13), size=600)
    assert store.bytes == 670
    writer.delete("ns/a", 14)
    writer.replace([a_job("c", 15)], 20, sizes={"ns/c": 9})
    assert store.bytes == 9


def test_its_age_is_the_time_since_the_server_was_heard_of(clock: Clock) -> None:
    store: Store[Job] = Store(JOBS, clock=clock)
    assert store.age == math.inf
    Writer(store).heard()
    clock.elapse(7)
    assert store.age == 7


async def test_a_reader_waits_for_its_own_write() -> None:
    store, writer = a_store()
    waiting = asyncio.create_task(store.wait_for("12", 60))
    await asyncio.sleep(0)
    writer.put(a_job("a", 11))
    await asyncio.sleep(0)
    assert not waiting.done()
    writer.put(a_job("b", 12))
    await waiting
    assert (store.stats.waits, store.stats.late) == (1, 0)


async def test_a_version_that_is_there_is_not_waited_for() -> None:
    store, _ = a_store(version=10)
    await store.wait_for(10)
    assert store.stats.waits == 0


async def test_waiting_for_a_version_ends_at_the_deadline() -> None:
    store, writer = a_store()
    writer.trouble("told to say 403")
    with pytest.raises(Unavailable, match="told to say 403"):
        await store.wait_for(11, deadline=0.01)
    assert store.stats.late == 1
    assert store._waiters == {}


async def test_a_version_that_comes_in_the_turn_of_the_deadline_has_come() -> None:
    """As after a pause of the whole process."""
    store, writer = a_store()
    waiting = asyncio.create_task(store.wait_for(11, deadline=0.0))
    await asyncio.sleep(0)
    writer.put(a_job("a", 11))
    await waiting
    assert store.stats.late == 0


async def test_who_has_written_goes_on_when_it_is_known_here_or_without_that_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store, writer = a_store()
    waiting = asyncio.create_task(store.has_seen("11"))
    await asyncio.sleep(0)
    assert not waiting.done()
    writer.put(a_job("a", 11))
    await waiting
    monkeypatch.setattr(versioned, "OWN_SECONDS", 0.01)
    await store.has_seen("12")
    assert store.stats.late == 1


async def test_waiting_for_nonsense_is_the_callers_mistake() -> None:
    store, _ = a_store()
    with pytest.raises(UserMistake, match="not a resource version"):
        await store.wait_for("yesterday")


async def test_a_store_is_synced_with_its_first_list_and_not_before() -> None:
    store: Store[Job] = Store(JOBS)
    with pytest.raises(Unavailable, match="not synced yet"):
        await store.wait_synced(0.01)
    waiting = asyncio.create_task(store.wait_synced(60))
    await asyncio.sleep(0)
    Writer(store).replace([], 7)
    await waiting
    assert store.synced


@pytest.mark.parametrize("odd", [[{"a": 1}], 5, {"a": 1, 2: {}}], ids=["unhashable", "number", "mixed"])
def test_an_index_or_order_that_gives_something_odd_leaves_the_object_out_and_goes_on(odd: Any) -> None:
    def declared(_: Job) -> Any:
        return odd

    store: Store[Job] = Store(JOBS, {"odd": declared}, {"odd": Order(declared)})
    Writer(store).replace([a_job("a", 1), a_job("b", 2)], 5)
    assert len(store) == 2
    assert store.page("odd").items == []
    assert store.by("odd", "a") == []
    assert store.stats.unindexed == 4


def test_a_value_that_an_index_gives_twice_counts_once() -> None:
    store: Store[Job] = Store(
        JOBS, {"word": lambda job: [job.metadata.name] * 2}, {"age": Order(created, within="word")}
    )
    writer = Writer(store)
    writer.replace([a_job("a", 1)], 5)
    assert [job.metadata.name for job in store.page("age", "a").items] == ["a"]
    writer.delete("ns/a", 6)
    assert store.page("age", "a").items == []
