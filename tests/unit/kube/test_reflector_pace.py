"""How hard a reflector tries, how long it waits, and that it never gives up."""

from random import Random

import msgspec
import pytest
from structlog.testing import capture_logs

from longshore.kube.watch import Pace

from .conftest import Clock, Reflect, time_passes
from .faulty import (
    CLOSE,
    HANG,
    LONG,
    Answer,
    Faulty,
    Later,
    Until,
    added,
    bookmark,
    failure,
    initial_end,
    job,
    page,
    refuse,
    status,
    watch,
)
from .objects import names


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


async def test_trouble_is_over_when_the_server_streams_again(server: Faulty, reflect: Reflect) -> None:
    server.script = [page(version=10), refuse(503), watch(bookmark(11), HANG)]
    async with reflect() as store:
        await store.wait_for(11, 60)
        assert store.trouble is None


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


@pytest.mark.usefixtures("loops_clock")
@pytest.mark.parametrize("last_words", [(), (bookmark(10),)])
async def test_a_silent_stream_is_dead_and_resumed(
    server: Faulty, reflect: Reflect, clock: Clock, last_words: tuple[bytes, ...]
) -> None:
    server.script = [page(version=10), watch(*last_words, HANG), watch(added(job("a", 12)), HANG)]
    async with reflect(pace=Pace(silence=(0.05, 0.1))) as store:
        await time_passes(clock, lambda: len(server.watches) == 2)
        await store.wait_for(12, 60)
        assert server.watches[1].resumed_at == "10"


@pytest.mark.usefixtures("loops_clock")
async def test_a_stream_that_goes_on_talking_is_alive(server: Faulty, reflect: Reflect) -> None:
    async with reflect(pace=Pace(silence=(0.6, 0.6))) as store:
        heard = Until(lambda: store.age == 0)
        slowly = [move for version in range(11, 21) for move in (Later(0.5), bookmark(version), heard)]
        server.script = [page(version=10), watch(*slowly, HANG)]
        await store.wait_for(20, 60)
        assert len(server.watches) == 1


async def test_a_retry_after_of_less_than_nothing_is_nothing(server: Faulty, reflect: Reflect, clock: Clock) -> None:
    body = status(429, "TooManyRequests") | {"details": {"retryAfterSeconds": -100}}
    server.script = [Answer(msgspec.json.encode(body), 429) for _ in range(20)]
    async with reflect():
        await server.finished.wait()
    assert all(nap >= 0 for nap in clock.naps)
    assert sum(clock.naps) > 20


async def test_while_it_relists_by_stream_it_says_that_it_is_behind(server: Faulty, reflect: Reflect) -> None:
    server.script = [
        watch(added(job("a", 3)), initial_end(10), failure(410, "Expired")),
        watch(added(job("a", 3)), HANG),
    ]
    async with reflect(streamed=True) as store:
        await server.finished.wait()
        assert store.trouble is not None
        assert "told to say 410" in store.trouble


@pytest.mark.usefixtures("loops_clock")
async def test_a_streamed_list_may_take_long_as_long_as_it_grows(server: Faulty, reflect: Reflect) -> None:
    async with reflect(streamed=True, pace=Pace(initial=0.4)) as store:
        heard = Until(lambda: store.age == 0)
        slowly = [move for n in range(8) for move in (Later(0.3), added(job(f"j{n}", n + 1)), heard)]
        server.script = [watch(*slowly, initial_end(10), HANG)]
        await store.wait_synced(60)
        assert len(store) == 8
        assert store.stats.failures == 0
