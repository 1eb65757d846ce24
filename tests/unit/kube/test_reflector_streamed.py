"""Lists that come as a stream: taken when they are complete, left for pages where the server does not know them."""

import pytest

from longshore.kube.watch import Pace

from .conftest import Clock, Reflect, time_passes
from .faulty import (
    CLOSE,
    CUT,
    HANG,
    LONG,
    Answer,
    Faulty,
    added,
    bookmark,
    deleted,
    failure,
    initial_end,
    job,
    modified,
    page,
    refuse,
    watch,
)
from .objects import names, versions


async def test_a_streamed_list_is_asked_for_and_followed_on_the_same_stream(server: Faulty, reflect: Reflect) -> None:
    server.script = [watch(added(job("a", 3)), initial_end(10), modified(job("a", 11)), HANG)]
    async with reflect(streamed=True) as store:
        await store.wait_for(11, 60)
        assert versions(store) == {"a": "11"}
        assert store.stats.relists == 1
    (asked,) = server.asked
    assert asked.params["sendInitialEvents"] == "true"
    assert asked.params["resourceVersionMatch"] == "NotOlderThan"
    assert asked.params["allowWatchBookmarks"] == "true"
    assert "resourceVersion" not in asked.params


async def test_a_streamed_list_is_swapped_in_when_its_end_is_told_and_not_before(
    server: Faulty, reflect: Reflect
) -> None:
    """A bookmark without the annotation, before the end, says nothing about the list."""
    server.script = [watch(added(job("a", 3)), bookmark(9), HANG)]
    async with reflect(streamed=True) as store:
        await server.finished.wait()
        assert not store.synced
        assert len(store) == 0
        assert store.trouble is not None


async def test_changes_that_come_between_the_initial_events_are_part_of_the_list(
    server: Faulty, reflect: Reflect
) -> None:
    server.script = [
        watch(
            added(job("a", 3)),
            added(job("b", 4)),
            modified(job("a", 11)),
            deleted(job("b", 12)),
            added(job("c", 13)),
            modified(job("a", 7)),
            initial_end(13),
            HANG,
        )
    ]
    async with reflect(streamed=True) as store:
        await store.wait_synced(60)
        assert versions(store) == {"a": "11", "c": "13"}
        assert store.version == 13


async def test_a_relist_by_stream_reports_what_vanished_and_keeps_the_rest_until_its_end(
    server: Faulty, reflect: Reflect
) -> None:
    server.script = [
        watch(added(job("a", 3)), added(job("b", 4)), initial_end(10), failure(410, "Expired")),
        watch(added(job("b", 4)), initial_end(30), HANG),
    ]
    async with reflect(streamed=True) as store:
        await store.wait_synced(60)
        async with store.subscribe() as changes:
            deltas = await changes.next()
            assert [(delta.key, delta.new) for delta in deltas] == [("ns/a", None)]
        assert "resourceVersion" not in server.watches[1].params


async def test_a_resumed_stream_is_no_list(server: Faulty, reflect: Reflect) -> None:
    server.script = [watch(added(job("a", 3)), initial_end(10), LONG, CLOSE), watch(added(job("b", 11)), HANG)]
    async with reflect(streamed=True) as store:
        await store.wait_for(11, 60)
        assert "sendInitialEvents" not in server.watches[1].params
        assert server.watches[1].resumed_at == "10"


@pytest.mark.parametrize("refusal", [refuse(422, "Invalid"), refuse(400, "BadRequest"), refuse(405)])
async def test_a_server_that_refuses_streamed_lists_is_asked_for_pages_from_then_on(
    server: Faulty, reflect: Reflect, refusal: Answer
) -> None:
    server.script = [refusal, page(job("a", 3), version=10), watch(failure(410, "Expired")), page(version=20)]
    async with reflect(streamed=True) as store:
        await server.finished.wait()
        assert store.version == 20
        assert ["sendInitialEvents" in asked.params for asked in server.asked] == [True, False, False, False, False]


async def test_a_server_that_never_ends_the_list_is_asked_for_pages_after_the_deadline(
    server: Faulty, reflect: Reflect
) -> None:
    """An API server that does not know the parameter sends what there is and then changes, like to any watch."""
    server.script = [watch(added(job("a", 3)), bookmark(5), HANG), page(job("a", 3), version=10), watch(HANG)]
    async with reflect(streamed=True, pace=Pace(initial=0.1)) as store:
        await store.wait_synced(60)
        assert names(store) == {"a"}
        assert "limit" in server.asked[1].params


@pytest.mark.parametrize("end", [CUT, CLOSE])
async def test_a_streamed_list_that_breaks_off_is_begun_anew_and_after_that_paged(
    server: Faulty, reflect: Reflect, clock: Clock, end: object
) -> None:
    broken = watch(added(job("x", 3)), end)  # type: ignore[arg-type]
    server.script = [broken, broken, page(job("a", 3), version=10), watch(failure(410, "Expired")), watch(HANG)]
    async with reflect(streamed=True) as store:
        await server.finished.wait()
        assert names(store) == {"a"}
        assert ["sendInitialEvents" in asked.params for asked in server.asked] == [True, True, False, False, True]
        assert len(clock.naps) == 3


async def test_a_lists_version_that_is_older_than_the_store_is_trusted_by_stream_too(
    server: Faulty, reflect: Reflect
) -> None:
    server.script = [
        watch(added(job("a", 90)), added(job("b", 95)), initial_end(100), failure(410, "Expired")),
        watch(added(job("a", 40)), initial_end(50), added(job("c", 51)), HANG),
    ]
    async with reflect(streamed=True) as store:
        async with store.subscribe() as changes:
            while "c" not in names(store):
                await changes.next()
        assert versions(store) == {"a": "40", "c": "51"}


async def test_an_undecodable_object_of_a_streamed_list_is_skipped_and_what_was_known_of_it_stays(
    server: Faulty, reflect: Reflect
) -> None:
    odd = added(job("odd", 12, suspend="perhaps"))
    server.script = [
        watch(added(job("odd", 4)), initial_end(10), failure(410, "Expired")),
        watch(odd, added(job("a", 13)), initial_end(20), HANG),
    ]
    async with reflect(streamed=True) as store:
        await server.finished.wait()
        await store.wait_for(20, 60)
        assert versions(store) == {"odd": "4", "a": "13"}
        assert store.stats.undecodable == 1


@pytest.mark.usefixtures("loops_clock")
async def test_a_silent_streamed_list_is_dead_like_any_stream(server: Faulty, reflect: Reflect, clock: Clock) -> None:
    server.script = [watch(added(job("a", 3)), HANG), watch(added(job("a", 3)), initial_end(10), HANG)]
    async with reflect(streamed=True, pace=Pace(silence=(0.05, 0.1))) as store:
        await time_passes(clock, lambda: len(server.watches) == 2)
        await store.wait_synced(60)
        assert "sendInitialEvents" in server.asked[1].params
