"""Each property of the watch cache that a server's behaviour can put to the test."""

import asyncio
from random import Random

import pytest
from structlog.testing import capture_logs

from longshore.kube.objects import JOBS, Job
from longshore.kube.reflector import Reflector
from longshore.kube.store import Store
from longshore.kube.watch import Pace

from .conftest import Clock, Reflect
from .faulty import (
    CLOSE,
    CUT,
    HANG,
    Answer,
    Faulty,
    Later,
    added,
    bookmark,
    deleted,
    event,
    failure,
    job,
    modified,
    page,
    refuse,
    watch,
)
from .truth import Truth

LONG = Later(250)


def names(store: Store[Job]) -> set[str]:
    return {obj.metadata.name for obj in store.list()}


def versions(store: Store[Job]) -> dict[str, str]:
    return {obj.metadata.name: obj.metadata.resource_version for obj in store.list()}


def uid(job: Job | None) -> str | None:
    return None if job is None else job.metadata.uid


async def test_it_lists_and_then_follows_every_change(server: Faulty, reflect: Reflect) -> None:
    server.script = [
        page(job("a", 3), job("b", 4), version=10),
        watch(added(job("c", 11)), modified(job("a", 12)), deleted(job("b", 13)), HANG),
    ]
    async with reflect() as store:
        await store.wait_for(13)
        assert versions(store) == {"a": "12", "c": "11"}
        assert store.trouble is None


async def test_a_stream_is_resumed_from_the_lists_version_then_events_then_bookmarks(
    server: Faulty, reflect: Reflect
) -> None:
    server.script = [
        page(job("a", 3), version=10),
        watch(LONG, CLOSE),
        watch(added(job("b", 12)), LONG, CLOSE),
        watch(bookmark(40), LONG, CLOSE),
    ]
    async with reflect():
        await server.finished.wait()
        assert [asked.resumed_at for asked in server.watches] == ["10", "10", "12", "40"]
        assert len(server.lists) == 1


async def test_versions_compare_as_integers_and_not_as_text(server: Faulty, reflect: Reflect) -> None:
    server.script = [page(job("a", 9), version=99), watch(modified(job("a", 100)), HANG)]
    async with reflect() as store:
        await store.wait_for(100)
        assert versions(store) == {"a": "100"}


async def test_bookmarks_are_asked_for_and_not_relied_on(server: Faulty, reflect: Reflect) -> None:
    server.script = [page(version=10), watch(added(job("a", 11)), LONG, CLOSE), watch(LONG, CLOSE)]
    async with reflect():
        await server.finished.wait()
        assert {asked.params["allowWatchBookmarks"] for asked in server.watches} == {"true"}
        assert server.watches[-1].resumed_at == "11"


@pytest.mark.parametrize(
    "gone",
    [
        watch(failure(410, "Expired")),
        watch(failure(410, "Gone")),
        watch(failure(410, "")),
        refuse(410, "Expired"),
        refuse(410),
        Answer(b"<html>gone</html>", 410, content_type="text/html"),
    ],
)
async def test_gone_in_any_shape_relists(server: Faulty, reflect: Reflect, gone: Answer) -> None:
    server.script = [page(job("a", 3), version=10), gone, page(job("b", 20), version=30), watch(HANG)]
    async with reflect() as store:
        await server.finished.wait()
        assert names(store) == {"b"}
        assert server.watches[-1].resumed_at == "30"
        assert store.stats.gone == 1
        assert store.stats.relists == 2


async def test_an_expired_continue_token_begins_the_list_anew_in_one_piece(server: Faulty, reflect: Reflect) -> None:
    server.script = [
        page(job("a", 3), version=10, continue_="more"),
        refuse(410, "Expired"),
        page(job("b", 4), job("c", 5), version=20),
        watch(HANG),
    ]
    async with reflect() as store:
        await server.finished.wait()
        assert names(store) == {"b", "c"}
        assert [asked.params.get("continue") for asked in server.lists] == [None, "more", None]
        assert [asked.params.get("limit") for asked in server.lists] == ["500", "500", None]
        assert server.watches[0].resumed_at == "20"


async def test_streams_that_close_at_once_again_and_again_end_in_a_relist(server: Faulty, reflect: Reflect) -> None:
    server.script = [page(version=10), watch(), watch(), watch(), page(job("a", 50), version=60), watch(HANG)]
    async with reflect() as store:
        await server.finished.wait()
        assert names(store) == {"a"}
        assert server.watches[-1].resumed_at == "60"


async def test_gone_again_and_again_backs_off_and_ends_in_the_truth(
    server: Faulty, reflect: Reflect, clock: Clock
) -> None:
    for version in range(10, 20):
        server.script += [page(version=version), watch(failure(410, "Expired"))]
    server.script += [page(job("a", 90), version=99), watch(HANG)]
    async with reflect() as store:
        await server.finished.wait()
        assert names(store) == {"a"}
        assert sum(clock.naps) > 30
        assert all(nap <= 30 for nap in clock.naps)


async def test_a_list_is_consistent_and_paged(server: Faulty, reflect: Reflect) -> None:
    server.script = [
        page(job("a", 3), version=10, continue_="2"),
        page(job("b", 4), version=10, continue_="3"),
        page(job("c", 5), version=10),
        watch(HANG),
    ]
    async with reflect() as store:
        await server.finished.wait()
        assert names(store) == {"a", "b", "c"}
        assert all("resourceVersion" not in asked.params for asked in server.lists)
        assert [asked.params.get("continue") for asked in server.lists] == [None, "2", "3"]


async def test_a_relist_is_swapped_in_at_once(server: Faulty, reflect: Reflect) -> None:
    """Between the pages of a relist, readers still see all of what was there before."""
    server.script = [
        page(job("a", 3), job("b", 4), version=10),
        watch(failure(410, "Expired")),
        page(job("c", 20), version=30, continue_="2"),
        refuse(503),
    ]
    async with reflect() as store:
        await server.finished.wait()
        assert names(store) == {"a", "b"}
        assert store.version == 10


async def test_what_vanished_while_disconnected_is_reported_deleted(server: Faulty, reflect: Reflect) -> None:
    server.script = [page(job("a", 3), job("b", 4), version=10), watch(bookmark(11), CUT)]
    server.script += [refuse(410, "Expired"), page(job("b", 4), version=30), watch(HANG)]
    async with reflect() as store:
        await store.wait_synced(5)
        async with store.subscribe() as changes:
            deltas = await changes.next()
            assert [(delta.key, delta.new) for delta in deltas] == [(("ns", "a"), None)]


async def test_the_same_name_with_a_new_uid_is_a_deletion_and_an_addition(server: Faulty, reflect: Reflect) -> None:
    server.script = [
        page(job("a", 3, uid="first"), version=10),
        watch(modified(job("a", 20, uid="second")), failure(410, "Expired")),
        page(job("a", 30, uid="third"), version=40),
        watch(HANG),
    ]
    async with reflect() as store:
        await store.wait_synced(5)
        seen: list[tuple[str | None, str | None]] = []
        async with store.subscribe() as changes:
            while store.version < 40 or not seen or seen[-1][1] != "third":
                for delta in await changes.next():
                    seen.append((uid(delta.old), uid(delta.new)))
        assert seen[0] == ("first", None)
        assert seen[-1] == (None, "third")
        assert all(None in pair for pair in seen)


async def test_an_object_never_goes_back_to_an_older_version(server: Faulty, reflect: Reflect) -> None:
    server.script = [
        page(job("a", 9), version=10),
        watch(modified(job("a", 15)), modified(job("a", 12)), deleted(job("a", 14)), bookmark(16), HANG),
    ]
    async with reflect() as store:
        await store.wait_for(16)
        assert versions(store) == {"a": "15"}


async def test_a_deleted_object_is_not_brought_back_by_an_echo(server: Faulty, reflect: Reflect) -> None:
    server.script = [
        page(job("a", 9), version=10),
        watch(deleted(job("a", 15)), added(job("a", 12)), bookmark(16), HANG),
    ]
    async with reflect() as store:
        await store.wait_for(16)
        assert len(store) == 0


async def test_a_list_with_an_older_copy_of_an_object_does_not_set_it_back(server: Faulty, reflect: Reflect) -> None:
    server.script = [
        page(version=10),
        watch(added(job("a", 15)), failure(410, "Expired")),
        page(job("a", 12), version=20),
        watch(HANG),
    ]
    async with reflect() as store:
        await server.finished.wait()
        assert versions(store) == {"a": "15"}


async def test_a_list_older_than_the_last_seen_version_is_trusted(server: Faulty, reflect: Reflect) -> None:
    """An etcd that was restored from a backup: its history is the truth now."""
    server.script = [
        page(job("a", 90), job("b", 95), version=100),
        watch(failure(410, "Expired")),
        page(job("a", 40), version=50),
        watch(added(job("c", 51)), HANG),
    ]
    async with reflect() as store:
        await server.finished.wait()
        await store.wait_for(51)
        assert versions(store) == {"a": "40", "c": "51"}
        assert server.watches[-1].resumed_at == "50"


async def test_a_stream_of_another_history_relists(server: Faulty, reflect: Reflect) -> None:
    server.script = [page(job("a", 90), version=100), watch(added(job("b", 7))), page(version=8), watch(HANG)]
    async with reflect() as store:
        await server.finished.wait()
        assert len(store) == 0
        assert store.version == 8


async def test_a_version_in_the_servers_future_relists(server: Faulty, reflect: Reflect) -> None:
    too_large = {"code": 504, "reason": "Timeout", "details": {"causes": [{"reason": "ResourceVersionTooLarge"}]}}
    server.script = [page(version=100), watch(event("ERROR", too_large)), page(version=50), watch(HANG)]
    async with reflect() as store:
        await server.finished.wait()
        assert store.version == 50


async def test_waits_are_random_grow_and_are_capped(server: Faulty, reflect: Reflect, clock: Clock) -> None:
    server.script = [refuse(500) for _ in range(60)]
    async with reflect():
        await server.finished.wait()
    assert all(0 <= nap <= 30 for nap in clock.naps)
    assert max(clock.naps[:3]) <= 4
    assert max(clock.naps) > 20
    assert len(set(clock.naps)) == len(clock.naps)


async def test_retry_after_is_obeyed(server: Faulty, reflect: Reflect, clock: Clock) -> None:
    server.script = [refuse(429, "TooManyRequests", Retry_After="17"), page(version=1), refuse(503, Retry_After="9")]
    async with reflect():
        await server.finished.wait()
    assert clock.naps[0] >= 17
    assert clock.naps[1] >= 9


async def test_a_lying_retry_after_does_not_stop_the_cache_for_good(
    server: Faulty, reflect: Reflect, clock: Clock
) -> None:
    server.script = [refuse(429, "TooManyRequests", Retry_After="999999999")]
    async with reflect():
        await server.finished.wait()
    assert clock.naps[0] < 400


async def test_streams_that_close_cleanly_too_soon_are_backed_off_from(
    server: Faulty, reflect: Reflect, clock: Clock
) -> None:
    server.script = [page(version=10)] + [watch(bookmark(version)) for version in range(11, 51)]
    async with reflect():
        await server.finished.wait()
    assert len(server.asked) / sum(clock.naps) < 1
    assert len(server.lists) == 1


async def test_a_stream_that_lived_long_is_resumed_without_a_wait(
    server: Faulty, reflect: Reflect, clock: Clock
) -> None:
    server.script = [page(version=10), watch(LONG, CLOSE), watch(LONG, CLOSE)]
    async with reflect():
        await server.finished.wait()
    assert clock.naps == []


async def test_forbidden_is_told_and_tried_again(server: Faulty, reflect: Reflect) -> None:
    server.script = [refuse(403, "Forbidden"), refuse(403, "Forbidden"), page(job("a", 3), version=10), watch(HANG)]
    async with reflect() as store:
        with capture_logs() as logs:
            await server.finished.wait()
        assert names(store) == {"a"}
        assert store.stats.failures == 2
        assert any("told to say 403" in log["why"] for log in logs)


async def test_while_it_is_refused_the_store_says_why(server: Faulty, reflect: Reflect) -> None:
    server.script = [page(version=10), refuse(403, "Forbidden")]
    async with reflect() as store:
        await server.finished.wait()
        assert store.trouble is not None
        assert "told to say 403" in store.trouble


@pytest.mark.parametrize("reason", [(401, "Unauthorized"), (404, "NotFound"), (500, ""), (502, ""), (504, "Timeout")])
async def test_nothing_makes_it_give_up(server: Faulty, reflect: Reflect, reason: tuple[int, str]) -> None:
    server.script = [*[refuse(*reason)] * 6, page(job("a", 3), version=10), refuse(*reason)]
    async with reflect() as store:
        await server.finished.wait()
        assert names(store) == {"a"}


async def test_the_server_is_asked_to_end_streams_after_240_to_300_seconds(server: Faulty, reflect: Reflect) -> None:
    server.script = [page(version=10)] + [watch(bookmark(11), LONG, CLOSE) for _ in range(40)]
    async with reflect(rng=Random(7)):
        await server.finished.wait()
    asked = {int(request.params["timeoutSeconds"]) for request in server.watches}
    assert len(asked) > 10
    assert min(asked) >= 240
    assert max(asked) <= 300


async def test_a_silent_stream_is_dead_and_resumed(server: Faulty, reflect: Reflect) -> None:
    server.script = [page(version=10), watch(bookmark(11), HANG), watch(added(job("a", 12)), HANG)]
    async with reflect(pace=Pace(silence=(0.05, 0.1))) as store:
        await store.wait_for(12)
        assert server.watches[1].resumed_at == "11"


async def test_an_undecodable_object_is_counted_told_once_and_skipped(server: Faulty, reflect: Reflect) -> None:
    odd = job("odd", 12, suspend="perhaps")
    server.script = [
        page(job("a", 3), job("odd", 4, suspend="perhaps"), version=10),
        watch(added(odd), modified(job("odd", 13, suspend=7)), added(job("b", 14)), LONG, CLOSE),
    ]
    with capture_logs() as logs:
        async with reflect() as store:
            await server.finished.wait()
            assert names(store) == {"a", "b"}
            assert store.stats.undecodable == 3
    assert [log["object"] for log in logs if log["event"] == "object skipped"] == [("ns", "odd")]


async def test_an_object_that_became_undecodable_keeps_its_last_known_state(server: Faulty, reflect: Reflect) -> None:
    server.script = [
        page(job("a", 3), version=10),
        watch(modified(job("a", 12, suspend="perhaps")), failure(410, "Expired")),
        page(job("a", 12, suspend="perhaps"), version=20),
        watch(HANG),
    ]
    async with reflect() as store:
        await server.finished.wait()
        assert versions(store) == {"a": "3"}


async def test_an_undecodable_object_moves_the_version_on(server: Faulty, reflect: Reflect) -> None:
    server.script = [page(version=10), watch(added(job("odd", 12, suspend="perhaps")), LONG, CLOSE)]
    async with reflect():
        await server.finished.wait()
        assert server.watches[-1].resumed_at == "12"


@pytest.mark.parametrize("rubbish", [b"<html>\n", b'{"type":"ADDED"}\n', b'{"type":"ADDED","object":\n', b"[]\n"])
async def test_a_stream_of_rubbish_is_left_and_resumed(server: Faulty, reflect: Reflect, rubbish: bytes) -> None:
    server.script = [page(version=10), watch(rubbish), watch(added(job("a", 11)), HANG)]
    async with reflect() as store:
        await store.wait_for(11)
        assert names(store) == {"a"}


@pytest.mark.parametrize(
    "rubbish",
    [
        Answer(b"<html>login</html>", content_type="text/html"),
        Answer(b""),
        Answer(b'{"kind":"PodList","metadata":{"resourceVersion":"5"},"items":[]}'),
        Answer(b'{"kind":"JobList","metadata":{"resourceVersion":""},"items":[]}'),
        Answer(b'{"kind":"JobList","metadata":{"resourceVersion":"5"},"items":[{"a":'),
        Answer(b'{"kind":"JobList","metadata":7}'),
    ],
)
async def test_a_list_of_rubbish_is_not_taken(server: Faulty, reflect: Reflect, rubbish: Answer) -> None:
    server.script = [rubbish, page(job("a", 3), version=10), watch(HANG)]
    async with reflect() as store:
        await server.finished.wait()
        assert names(store) == {"a"}
        assert store.stats.relists == 1


async def test_an_event_that_was_cut_off_is_taken_from_the_next_stream(server: Faulty, reflect: Reflect) -> None:
    whole = added(job("a", 11))
    server.script = [page(version=10), watch(bookmark(10), whole[:-20], CUT), watch(whole, HANG)]
    async with reflect() as store:
        await store.wait_for(11)
        assert server.watches[1].resumed_at == "10"
        assert names(store) == {"a"}


async def test_a_list_that_never_ends_is_begun_anew(server: Faulty, reflect: Reflect) -> None:
    server.script = [page(version=10, continue_="x"), page(version=10, continue_="x"), page(version=11), watch(HANG)]
    async with reflect() as store:
        await server.finished.wait()
        assert store.version == 11


async def test_a_page_that_failed_for_a_moment_is_asked_for_again(server: Faulty, reflect: Reflect) -> None:
    server.script = [
        page(job("a", 3), version=10, continue_="2"),
        refuse(503),
        page(job("b", 4), version=10),
        watch(HANG),
    ]
    async with reflect() as store:
        await server.finished.wait()
        assert names(store) == {"a", "b"}


async def test_it_is_not_synced_before_the_first_list_is_complete(server: Faulty, reflect: Reflect) -> None:
    server.script = [page(job("a", 3), version=10, continue_="2")]
    async with reflect() as store:
        await server.finished.wait()
        assert not store.synced
        assert len(store) == 0


async def test_selectors_and_namespace_go_with_every_request(server: Faulty, reflect: Reflect) -> None:
    server.script = [page(version=10), watch(HANG)]
    async with reflect(namespace="ns", label_selector="a=b", field_selector="spec.x=y"):
        await server.finished.wait()
    for asked in server.asked:
        assert asked.path == "/apis/batch/v1/namespaces/ns/jobs"
        assert (asked.params["labelSelector"], asked.params["fieldSelector"]) == ("a=b", "spec.x=y")


async def test_the_loop_gets_its_turn_while_a_big_page_is_decoded() -> None:
    truth, store = Truth(), Store(JOBS)
    for number in range(1000):
        truth.write(f"j{number}")
    task = asyncio.create_task(Reflector(truth, store, pace=Pace(page=1000)).run())
    turns = 0
    while not store.synced and turns < 1000:
        await asyncio.sleep(0)
        turns += 1
    task.cancel()
    assert len(store) == 1000
    assert turns >= 10
