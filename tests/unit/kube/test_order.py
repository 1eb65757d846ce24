"""Pages of a store: in order, within a group, stable while things come and go, and never a scan."""

import base64
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from structlog.testing import capture_logs

from longshore.errors import UserMistake
from longshore.kube.objects import JOBS, Job
from longshore.kube.store import IndexValues, Listing, Order, Position, Store, Writer, created

from .objects import a_job

DAY = datetime(2026, 1, 1, tzinfo=UTC)


def made(name: str, version: int, minutes: int = 0, tenant: str = "a", uid: str = "") -> Job:
    job = a_job(name, version, uid=uid, tenant=tenant)
    return Job(replace(job.metadata, creation_timestamp=DAY + timedelta(minutes=minutes)))


def a_store(*jobs: Job) -> tuple[Store[Job], Writer[Job]]:
    store: Store[Job] = Store(
        JOBS,
        {"tenant": lambda job: job.metadata.labels.get("tenant")},
        {"created": Order(created, within="tenant"), "name": Order(lambda job: job.metadata.name)},
    )
    writer = Writer(store)
    writer.replace(jobs, 100)
    return store, writer


def names(listing: Listing[Job]) -> list[str]:
    return [job.metadata.name for job in listing.items]


def test_a_page_goes_on_where_the_last_one_ended() -> None:
    store, _ = a_store(*(made(name, 1, minutes) for minutes, name in enumerate("abcde")))
    first = store.page("created", limit=2, descending=True)
    assert names(first) == ["e", "d"]
    second = store.page("created", limit=2, descending=True, after=first.next)
    assert names(second) == ["c", "b"]
    last = store.page("created", limit=2, descending=True, after=second.next)
    assert (names(last), last.next) == (["a"], None)


def test_a_page_holds_the_group_that_it_is_asked_for_and_says_how_new_it_is() -> None:
    store, _ = a_store(made("a", 1, 1, "x"), made("b", 2, 2, "y"), made("c", 3, 3, "x"))
    assert names(store.page("created", "x")) == ["a", "c"]
    assert names(store.page("created", "y")) == ["b"]
    assert names(store.page("created", "none")) == []
    assert store.page("created").version == 100


def test_what_was_inserted_or_deleted_meanwhile_neither_repeats_nor_hides_the_rest() -> None:
    store, writer = a_store(*(made(name, 1, 10 * minutes) for minutes, name in enumerate("abcdef")))
    first = store.page("created", limit=3, descending=True)
    assert names(first) == ["f", "e", "d"]
    writer.put(made("new", 101, 99))
    writer.put(made("between", 102, 25))
    writer.delete("ns/d", 103)  # the very one that the page ended with
    writer.delete("ns/b", 104)
    assert names(store.page("created", descending=True, after=first.next)) == ["between", "c", "a"]


def test_those_of_the_same_second_are_told_apart() -> None:
    store, _ = a_store(*(made(f"j{number}", 1) for number in range(7)))
    seen: list[str] = []
    after: Position | None = None
    while len(seen) < 7:
        listing = store.page("created", "a", limit=2, after=after)
        seen += names(listing)
        after = listing.next
    assert sorted(seen) == [f"j{number}" for number in range(7)]


def test_a_prefix_is_found_without_looking_at_the_rest() -> None:
    store, _ = a_store(*(made(name, 1) for name in ("train-1", "train-2", "trail", "work", "tr")))
    looked_at: list[str] = []

    def where(job: Job) -> bool:
        looked_at.append(job.metadata.name)
        return True

    assert names(store.page("name", prefix="train", where=where)) == ["train-1", "train-2"]
    assert looked_at == ["train-1", "train-2"]
    assert names(store.page("name", prefix="train", descending=True)) == ["train-2", "train-1"]
    first = store.page("name", prefix="tr", limit=2)
    assert names(store.page("name", prefix="tr", after=first.next)) == ["train-1", "train-2"]


def test_words_of_a_name_are_found_through_an_index_that_gives_several() -> None:
    """Full-text search: an index of words, and an order within it."""
    words: dict[str, IndexValues[Job]] = {"word": lambda job: job.metadata.name.lower().split("-")}
    store: Store[Job] = Store(JOBS, words, {"created": Order(created, within="word")})
    Writer(store).replace([made("Nightly-train-eu", 1, 1), made("train-us", 1, 2), made("test-us", 1, 3)], 10)
    assert names(store.page("created", "train", descending=True)) == ["train-us", "Nightly-train-eu"]
    assert names(store.page("created", "nightly")) == ["Nightly-train-eu"]


def test_a_condition_is_looked_at_for_no_more_than_the_page_needs() -> None:
    store, _ = a_store(*(made(f"j{number:02}", 1, number) for number in range(50)))
    looked_at: list[str] = []

    def even(job: Job) -> bool:
        looked_at.append(job.metadata.name)
        return int(job.metadata.name[1:]) % 2 == 0

    listing = store.page("name", limit=3, where=even)
    assert names(listing) == ["j00", "j02", "j04"]
    assert len(looked_at) == 7  # up to the next one, which tells that there is more
    assert names(store.page("name", limit=2, where=even, after=listing.next)) == ["j06", "j08"]


def test_an_object_that_moves_to_another_group_leaves_the_first() -> None:
    store, writer = a_store(made("a", 1, 1, "x"))
    writer.put(made("a", 101, 1, "y"))
    assert names(store.page("created", "x")) == []
    assert names(store.page("created", "y")) == ["a"]
    assert names(store.page("created")) == ["a"]


def test_a_fixed_order_asks_once_for_each_life_of_an_object() -> None:
    asked: list[str] = []

    def text(job: Job) -> str:
        asked.append(job.metadata.uid)
        return created(job)

    orders = {"age": Order(text, within="tenant", fixed=True)}
    store: Store[Job] = Store(JOBS, {"tenant": lambda job: job.metadata.labels.get("tenant")}, orders)
    writer = Writer(store)
    writer.replace([made("a", 1, 5, "x", uid="first")], 100)
    writer.put(made("a", 101, 5, "y", uid="first"))
    assert names(store.page("age", "x")) == []
    assert names(store.page("age", "y")) == ["a"]
    writer.put(made("b", 102, 1, "y"))
    writer.put(made("a", 103, 0, "y", uid="second"))
    assert names(store.page("age", "y")) == ["a", "b"]
    writer.delete("ns/a", 104)
    assert names(store.page("age")) == ["b"]
    assert asked == ["first", "uid-b", "second"]


def test_an_object_that_cannot_be_ordered_is_left_out_counted_and_told() -> None:
    store: Store[Job] = Store(JOBS, orders={"odd": Order(lambda job: job.metadata.labels["must"])})
    writer = Writer(store)
    with capture_logs() as logs:
        writer.replace([a_job("good", 1, must="x"), a_job("odd", 2)], 5)
    assert names(store.page("odd")) == ["good"]
    assert len(store) == 2
    assert store.stats.unindexed == 1
    assert logs[0]["object"] == "ns/odd"


def test_a_cursor_is_text_that_comes_back_as_the_same_position() -> None:
    position = Position("created", "0176", "uid/with?odd&signs")
    assert Position.decode(position.encode()) == position
    assert set(position.encode()) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_a_cursor_that_is_nested_beyond_reading_is_the_callers_mistake() -> None:
    deep = base64.urlsafe_b64encode(b'["o","k","u",' + b"[" * 20_000).decode()
    with pytest.raises(UserMistake, match="not one of ours"):
        Position.decode(deep)


@given(st.text(max_size=60))
def test_what_is_no_cursor_is_the_callers_mistake(text: str) -> None:
    with suppress(UserMistake):  # and nothing else may come out
        assert isinstance(Position.decode(text), Position)


def test_a_cursor_of_another_order_and_a_page_too_large_are_refused() -> None:
    store, _ = a_store(made("a", 1))
    with pytest.raises(UserMistake, match="another order"):
        store.page("name", after=Position("created", "", ""))
    for limit in (0, 501):
        with pytest.raises(UserMistake, match="1 to 500"):
            store.page("name", limit=limit)


def test_an_order_within_an_index_that_is_not_declared_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="tenant"):
        Store(JOBS, orders={"created": Order[Job](created, within="tenant")})
    store, _ = a_store()
    with pytest.raises(ValueError, match="no groups"):
        store.page("name", "a")


@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 3), st.sampled_from("xy"), st.booleans())),
    st.integers(1, 5),
    st.booleans(),
)
def test_pages_are_the_store_in_order_whatever_happened(
    steps: list[tuple[str, int, str, bool]], limit: int, descending: bool
) -> None:
    store, writer = a_store()
    for version, (name, minutes, tenant, gone) in enumerate(steps, 101):
        if gone:
            writer.delete(f"ns/{name}", version)
        else:
            writer.put(made(name, version, minutes, tenant))
    for value in (None, "x", "y"):
        seen: list[Job] = []
        listing = store.page("created", value, limit=limit, descending=descending)
        seen += listing.items
        while listing.next:
            listing = store.page("created", value, limit=limit, descending=descending, after=listing.next)
            seen += listing.items
        wanted = [job for job in store.list() if value in (None, job.metadata.labels["tenant"])]
        assert seen == sorted(wanted, key=lambda job: (created(job), job.metadata.uid), reverse=descending)
