"""Servers that send rubbish, echoes, other histories, or what cannot be read."""

import pytest
from structlog.testing import capture_logs

from .conftest import Reflect
from .faulty import (
    CLOSE,
    CUT,
    HANG,
    LONG,
    Answer,
    Faulty,
    Later,
    added,
    bookmark,
    deleted,
    event,
    failure,
    initial_end,
    job,
    modified,
    page,
    watch,
)
from .objects import names, versions


async def test_an_object_never_goes_back_to_an_older_version(server: Faulty, reflect: Reflect) -> None:
    server.script = [
        page(job("a", 9), version=10),
        watch(modified(job("a", 15)), modified(job("a", 12)), deleted(job("a", 14)), bookmark(16), HANG),
    ]
    async with reflect() as store:
        await store.wait_for(16, 60)
        assert versions(store) == {"a": "15"}


async def test_a_deleted_object_is_not_brought_back_by_an_echo(server: Faulty, reflect: Reflect) -> None:
    server.script = [
        page(job("a", 9), version=10),
        watch(deleted(job("a", 15)), added(job("a", 12)), bookmark(16), HANG),
    ]
    async with reflect() as store:
        await store.wait_for(16, 60)
        assert len(store) == 0


async def test_a_list_that_shows_an_older_object_is_the_truth_of_another_history(
    server: Faulty, reflect: Reflect
) -> None:
    """In one history a consistent list never does: an etcd was restored, and its versions have overtaken ours."""
    server.script = [
        page(job("same", 9), version=10),
        watch(added(job("a", 15)), failure(410, "Expired")),
        page(job("a", 12), job("same", 9, suspend=True), version=20),
        watch(HANG),
    ]
    async with reflect() as store:
        await server.finished.wait()
        assert versions(store) == {"a": "12", "same": "9"}
        same = store.get("same", "ns")
        assert same is not None
        assert same.spec.suspend


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
        await store.wait_for(51, 60)
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


async def test_a_server_that_is_behind_us_relists(server: Faulty, reflect: Reflect) -> None:
    """It takes a watch from its own future and says nothing on it (kube-apiserver 1.37)."""
    server.script = [
        page(job("a", 90), version=100),
        watch(LONG, CLOSE),
        page(job("a", 40), version=50),
        watch(HANG),
    ]
    server.at = 50
    async with reflect() as store:
        await server.finished.wait()
        assert versions(store) == {"a": "40"}
        assert store.stats.gone == 1


async def test_who_may_only_watch_is_not_stopped_by_a_look_that_is_forbidden(server: Faulty, reflect: Reflect) -> None:
    """A streamed list needs no right to list."""
    server.only_watch = True
    server.script = [watch(initial_end(100), LONG), watch(added(job("a", 101)), bookmark(102), HANG)]
    async with reflect(streamed=True) as store:
        await store.wait_for(102, 60)
        assert names(store) == {"a"}
        assert store.trouble is None


async def test_every_resumed_stream_is_compared_with_the_server_and_a_streamed_list_needs_no_look(
    server: Faulty, reflect: Reflect
) -> None:
    server.script = [watch(initial_end(100), LONG), watch(bookmark(101), LONG), watch(bookmark(102), HANG)]
    async with reflect(streamed=True) as store:
        await store.wait_for(102, 60)
    assert (len(server.watches), server.looks) == (3, 2)


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
    assert [log["object"] for log in logs if log["event"] == "object skipped"] == ["ns/odd"]


@pytest.mark.parametrize("lacking", ["name", "uid", "resourceVersion"])
async def test_what_is_no_whole_object_is_skipped(server: Faulty, reflect: Reflect, lacking: str) -> None:
    odd = job("odd", 12)
    del odd["metadata"][lacking]
    server.script = [page(odd, version=10), watch(added(odd), added(job("b", 14)), HANG)]
    async with reflect() as store:
        await store.wait_for(14, 60)
        assert names(store) == {"b"}
        assert store.stats.undecodable == 2


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
        assert server.watches[-1].resumed_at == "11"


@pytest.mark.parametrize("rubbish", [b"<html>\n", b'{"type":"ADDED"}\n', b'{"type":"ADDED","object":\n', b"[]\n"])
async def test_a_stream_of_rubbish_is_left_and_resumed(server: Faulty, reflect: Reflect, rubbish: bytes) -> None:
    server.script = [page(version=10), watch(rubbish), watch(added(job("a", 11)), HANG)]
    async with reflect() as store:
        await store.wait_for(11, 60)
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
        await store.wait_for(11, 60)
        assert server.watches[1].resumed_at == "10"
        assert names(store) == {"a"}


async def test_a_list_that_never_ends_is_begun_anew(server: Faulty, reflect: Reflect) -> None:
    server.script = [page(version=10, continue_="x"), page(version=10, continue_="x"), page(version=11), watch(HANG)]
    async with reflect() as store:
        await server.finished.wait()
        assert store.version == 11


async def test_objects_of_another_kind_are_no_objects_of_ours(server: Faulty, reflect: Reflect) -> None:
    pod = {**job("pod", 11), "kind": "Pod", "apiVersion": "v1"}
    ours = {"kind": "Job", "apiVersion": "batch/v1", **job("a", 12)}
    custom = {"apiVersion": "batch/v1", "kind": "Job", **job("b", 13)}
    server.script = [page(version=10), watch(added(pod), added(ours), added(custom), bookmark(14), HANG)]
    async with reflect() as store:
        await store.wait_for(14, 60)
        assert names(store) == {"a", "b"}
        assert store.stats.undecodable == 1


async def test_an_object_with_an_annotation_of_five_megabytes_is_an_object_like_any(
    server: Faulty, reflect: Reflect
) -> None:
    def big(name: str, version: int) -> dict[str, object]:
        made = job(name, version)
        made["metadata"]["annotations"] = {"big": "x" * 5_000_000}
        return made

    server.script = [page(big("a", 3), version=10), watch(added(big("b", 11)), HANG)]
    async with reflect() as store:
        await store.wait_for(11, 60)
        assert names(store) == {"a", "b"}
        assert store.bytes > 10_000_000


@pytest.mark.parametrize("jump", [-1e9, 1e9])
async def test_a_clock_that_jumps_does_no_harm(server: Faulty, reflect: Reflect, jump: float) -> None:
    """A suspended machine, a broken hypervisor: a stream seems to have lived for ages, or less than no time."""
    server.script = [page(version=10), watch(Later(jump), bookmark(11), CLOSE), watch(added(job("a", 12)), HANG)]
    async with reflect() as store:
        await store.wait_for(12, 60)
        assert names(store) == {"a"}
        assert server.watches[1].resumed_at == "11"


async def test_deletions_that_share_a_version_are_all_taken(server: Faulty, reflect: Reflect) -> None:
    """Events that expire with their lease: etcd deletes all its keys in one revision (kubernetes#110210)."""
    gone = [deleted(job(name, 20)) for name in "abc"]
    server.script = [
        page(*(job(name, 5) for name in "abcd"), version=10),
        watch(gone[0], CUT),
        watch(*gone, bookmark(21), HANG),
    ]
    async with reflect() as store:
        await store.wait_for(21, 60)
        assert names(store) == {"d"}


async def test_a_deletion_does_not_take_what_was_made_anew_at_that_version(server: Faulty, reflect: Reflect) -> None:
    server.script = [
        page(job("a", 5), version=10),
        watch(added(job("a", 20, uid="second")), deleted(job("a", 20)), bookmark(21), HANG),
    ]
    async with reflect() as store:
        await store.wait_for(21, 60)
        assert versions(store) == {"a": "20"}


@pytest.mark.parametrize("streamed", [True, False])
async def test_what_is_nested_beyond_reading_is_skipped_like_anything_unreadable(
    server: Faulty, reflect: Reflect, streamed: bool
) -> None:
    """A custom resource with unknown fields may be nested as deep as its author likes."""
    nested = b'{"a":' * 20_000 + b"1" + b"}" * 20_000
    deep = b'{"type":"ADDED","object":{"metadata":{"name":"x"},"spec":' + nested + b"}}\n"
    if streamed:
        server.script = [watch(deep, initial_end(10), deep, added(job("a", 12)), HANG)]
    else:
        server.script = [page(version=10), watch(deep, added(job("a", 12)), HANG)]
    async with reflect(streamed=streamed) as store:
        await store.wait_for(12, 60)
        assert names(store) == {"a"}
        assert store.stats.undecodable == (2 if streamed else 1)


async def test_another_object_of_the_name_of_one_that_cannot_be_read_is_not_kept_for_it(
    server: Faulty, reflect: Reflect
) -> None:
    server.script = [
        page(job("a", 3, uid="first"), job("b", 4), version=10),
        watch(failure(410, "Expired")),
        page(job("a", 12, uid="second", suspend="perhaps"), job("b", 13, suspend="perhaps"), version=20),
        watch(HANG),
    ]
    async with reflect() as store:
        await server.finished.wait()
        assert versions(store) == {"b": "4"}
