"""Listing, following, resuming, relisting: what a reflector does with a server that is well, or only forgets."""

import asyncio

import msgspec
import pytest

from longshore.kube.objects import JOBS, Job
from longshore.kube.reflector import Reflector
from longshore.kube.store import Store
from longshore.kube.watch import Pace

from .conftest import Reflect
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
    job,
    modified,
    page,
    refuse,
    watch,
)
from .objects import names, versions
from .truth import Truth


def uid(job: Job | None) -> str | None:
    return None if job is None else job.metadata.uid


async def test_it_lists_and_then_follows_every_change(server: Faulty, reflect: Reflect) -> None:
    server.script = [
        page(job("a", 3), job("b", 4), version=10),
        watch(added(job("c", 11)), modified(job("a", 12)), deleted(job("b", 13)), HANG),
    ]
    async with reflect() as store:
        await store.wait_for(13, 60)
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
    # after an event from just before it: more may have happened at its version, such as a lease that took several
    async with reflect():
        await server.finished.wait()
        assert [asked.resumed_at for asked in server.watches] == ["10", "10", "11", "40"]
        assert len(server.lists) == 1


async def test_versions_compare_as_integers_and_not_as_text(server: Faulty, reflect: Reflect) -> None:
    server.script = [page(job("a", 9), version=99), watch(modified(job("a", 100)), HANG)]
    async with reflect() as store:
        await store.wait_for(100, 60)
        assert versions(store) == {"a": "100"}


async def test_bookmarks_are_asked_for_and_not_relied_on(server: Faulty, reflect: Reflect) -> None:
    server.script = [page(version=10), watch(added(job("a", 11)), LONG, CLOSE), watch(LONG, CLOSE)]
    async with reflect():
        await server.finished.wait()
        assert {asked.params["allowWatchBookmarks"] for asked in server.watches} == {"true"}
        assert server.watches[-1].resumed_at == "10"


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


async def test_a_paged_list_is_as_of_its_first_page(server: Faulty, reflect: Reflect) -> None:
    """A server that says a later version with a later page must not make us miss what happened in between."""
    server.script = [page(job("a", 3), version=10, continue_="2"), page(job("b", 4), version=12), watch(HANG)]
    async with reflect():
        await server.finished.wait()
        assert server.watches[0].resumed_at == "10"


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
        await store.wait_synced(60)
        async with store.subscribe() as changes:
            deltas = await changes.next()
            assert [(delta.key, delta.new) for delta in deltas] == [("ns/a", None)]


async def test_the_same_name_with_a_new_uid_is_a_deletion_and_an_addition(server: Faulty, reflect: Reflect) -> None:
    server.script = [
        page(job("a", 3, uid="first"), version=10),
        watch(modified(job("a", 20, uid="second")), failure(410, "Expired")),
        page(job("a", 30, uid="third"), version=40),
        watch(HANG),
    ]
    async with reflect() as store:
        await store.wait_synced(60)
        seen: list[tuple[str | None, str | None]] = []
        async with store.subscribe() as changes:
            while store.version < 40 or not seen or seen[-1][1] != "third":
                for delta in await changes.next():
                    seen.append((uid(delta.old), uid(delta.new)))
        assert seen[0] == ("first", None)
        assert seen[-1] == (None, "third")
        assert all(None in pair for pair in seen)


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


async def test_only_the_fields_that_are_read_are_kept(server: Faulty, reflect: Reflect) -> None:
    """managedFields and pod templates are most of what a server sends."""
    full = job("a", 3, template={"spec": {"containers": []}})
    full["metadata"]["managedFields"] = [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}]
    server.script = [page(full, version=10), watch(HANG)]
    async with reflect() as store:
        await server.finished.wait()
        kept = msgspec.json.encode(store.get("a", "ns"))
        assert b'"uid-a"' in kept
        assert b"template" not in kept
        assert b"managed" not in kept.lower()


async def test_the_loop_gets_its_turn_while_a_big_page_is_decoded() -> None:
    truth, store = Truth(), Store(JOBS)
    for number in range(1000):
        truth.write(f"j{number}")
    task = asyncio.create_task(Reflector(truth, store, pace=Pace(page=1000, initial=0)).run())
    turns = 0
    while not store.synced and turns < 1000:
        await asyncio.sleep(0)
        turns += 1
    task.cancel()
    await asyncio.wait([task])
    assert len(store) == 1000
    assert turns >= 10
