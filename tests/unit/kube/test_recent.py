"""A flood of Events does not grow the store of them, and the newest of each kind is always there."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from longshore.kube.objects import Event, EventSeries, ObjectMeta, ObjectReference
from longshore.kube.recent import MAX_MESSAGE, Recent
from longshore.kube.store import Writer

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def event(name: str, version: int, *, about: str = "u", reason: str = "r", second: int = 0, message: str = "") -> Event:
    return Event(
        metadata=ObjectMeta(name=name, namespace="ns", uid=name, resource_version=str(version)),
        involved_object=ObjectReference(uid=about, namespace="ns" if about != "foreign" else "else"),
        reason=reason,
        message=message,
        last_timestamp=T0 + timedelta(seconds=second),
    )


def recent(bound: int = 100) -> tuple[Recent, Writer[Event]]:
    store = Recent(lambda e: e.involved_object.namespace == "ns", bound=bound)
    writer = Writer(store)
    writer.replace([], 1)
    return store, writer


def names(events: Iterable[Event]) -> set[str]:
    return {e.metadata.name for e in events}


def test_only_the_newest_of_an_object_and_reason_is_held() -> None:
    store, writer = recent()
    writer.put(event("a", 2, second=1))
    writer.put(event("b", 3, second=2))
    writer.put(event("late", 4, second=0))
    writer.put(event("other", 5, reason="s"))
    assert names(store.by("object", "u")) == {"b", "other"}


def test_one_that_happens_again_takes_the_place_of_a_newer_one() -> None:
    store, writer = recent()
    writer.put(event("a", 2, second=1))
    writer.put(event("b", 3, second=2))
    writer.put(event("a", 4, second=3))
    assert names(store.list()) == {"a"}
    writer.delete("ns/b", 5)
    assert names(store.list()) == {"a"}
    writer.delete("ns/a", 6)
    assert len(store) == 0


def test_what_is_not_wanted_is_not_held_and_long_messages_are_cut() -> None:
    store, writer = recent()
    writer.put(event("a", 2, about="foreign"))
    writer.put(event("b", 3, message="x" * 100_000))
    (held,) = store.list()
    assert held.message == "x" * MAX_MESSAGE


def test_a_flood_pushes_out_the_oldest() -> None:
    store, writer = recent(bound=3)
    writer.replace([event(f"e{n}", n + 2, about=f"u{n}") for n in range(10)], 50)
    assert (len(store), store.dropped) == (3, 7)
    assert names(store.list()) == {"e7", "e8", "e9"}


def test_a_series_was_last_seen_when_it_says() -> None:
    later = T0 + timedelta(seconds=9)
    one = Event(metadata=ObjectMeta(name="a"), event_time=T0, series=EventSeries(4, later))
    assert (one.first, one.last, one.times) == (T0, later, 4)


CHANGES = st.lists(
    st.tuples(
        st.sampled_from("abcdef"), st.sampled_from(["u", "v", "foreign"]), st.sampled_from("rs"), st.integers(0, 9)
    )
)


@given(CHANGES, st.integers(1, 5))
def test_whatever_comes_and_goes_there_is_one_for_each_object_and_reason_and_never_more_than_the_bound(
    changes: list[tuple[str, str, str, int]], bound: int
) -> None:
    store, writer = recent(bound)
    for version, (name, about, reason, second) in enumerate(changes, 2):
        if second == 9:
            writer.delete(f"ns/{name}", version)
        else:
            writer.put(event(name, version, about=about, reason=reason, second=second))
        held = store.list()
        slots = [(e.involved_object.uid, e.reason) for e in held]
        assert len(slots) == len(set(slots)) <= bound
        assert all(e.involved_object.namespace == "ns" for e in held)
        assert set(store._newest.values()) == {f"ns/{e.metadata.name}" for e in held}
