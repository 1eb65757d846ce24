"""The bus between replicas over a real Redis, which is stopped and started again; and what may wait to travel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis as AnyRedis
from tests.redis_server import Redis

from longshore.errors import UserMistake
from longshore.runtime.bus import Bus
from longshore.runtime.bus_link import Outbox, decode, encode
from longshore.runtime.bus_redis import CHANNEL, RedisLink

KEY = b"key of the replicas"


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[Redis]:
    server = Redis(tmp_path)
    await server.start()
    yield server
    await server.stop()


@asynccontextmanager
async def linked(redis: Redis, key: bytes = KEY) -> AsyncIterator[Bus]:
    """The bus of one replica."""
    bus = Bus()
    link = RedisLink(bus, f"redis://127.0.0.1:{redis.port}/0", lambda: key)
    running = asyncio.create_task(link.run())
    try:
        yield bus
    finally:
        running.cancel()
        await asyncio.wait([running])


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - the link says nothing of its own accord
            await asyncio.sleep(0.02)


async def test_news_travel_and_redis_may_go_and_come_back(redis: Redis) -> None:
    async with linked(redis) as one, linked(redis) as other:
        await until(lambda: one.hears_since is not None and other.hears_since is not None)
        one.publish("progress/j", {"fraction": 0.5, "message": "half"})
        one.publish("private/j", "stays here")
        async with other.subscribe(["progress/j"]) as subscription, asyncio.timeout(60):
            if other.latest("progress/j") is None:
                await subscription.next()
        assert other.latest("progress/j") == {"fraction": 0.5, "message": "half"}
        await redis.stop()
        await until(lambda: one.hears_since is None and other.hears_since is None)
        for n in range(100):
            one.publish("heartbeat/j", n)
        assert one.latest("heartbeat/j") == 99, "what is published here is heard here, Redis or not"
        other.publish("progress/j", {"fraction": 0.9})
        await redis.start()
        await until(lambda: one.hears_since is not None and other.hears_since is not None)
        await until(lambda: other.latest("heartbeat/j") == 99)
        await until(lambda: one.latest("progress/j") == {"fraction": 0.9})
        async with linked(redis) as late:
            await until(lambda: late.latest("heartbeat/j") == 99)
        assert other.latest("private/j") is None


async def test_what_no_replica_has_signed_is_not_believed_and_is_counted(redis: Redis) -> None:
    """A stranger with another key, and one who writes what he likes, beside two replicas."""
    bus = Bus()
    link = RedisLink(bus, f"redis://127.0.0.1:{redis.port}/0", lambda: KEY)
    running = asyncio.create_task(link.run())
    try:
        async with linked(redis, b"a guess") as stranger, linked(redis) as friend:
            await until(lambda: all(each.hears_since is not None for each in (bus, stranger, friend)))
            greeted = link.dropped
            stranger.publish("progress/j", "forged")
            await until(lambda: link.dropped > greeted)
            async with AnyRedis(port=redis.port) as raw:
                before = link.dropped
                for message in (b"", b"x" * 1000, encode("me", "progress/j", "forged")):
                    await raw.publish(CHANNEL, message)
                await until(lambda: link.dropped >= before + 3)
            friend.publish("progress/k", "true")
            await until(lambda: bus.latest("progress/k") == "true")
            assert bus.latest("progress/j") is None
            assert stranger.latest("progress/k") is None
    finally:
        running.cancel()
        await asyncio.wait([running])


def test_whoever_is_to_be_linked_does_not_hear_the_others_yet() -> None:
    bus = Bus()
    RedisLink(bus, "redis://127.0.0.1:1/0", lambda: KEY)
    assert bus.hears_since is None


def test_a_bad_address_is_refused_without_showing_it() -> None:
    with pytest.raises(UserMistake) as refused:
        RedisLink(Bus(), "http://user:secret@host", lambda: KEY)
    assert "secret" not in f"{refused.value} {refused.value.hint}"


@given(st.lists(st.tuples(st.sampled_from(["progress/a", "task/b", "heartbeat/c", "other/d"]), st.integers())))
async def test_an_outbox_holds_the_newest_of_each_topic_that_travels(offered: list[tuple[str, int]]) -> None:
    outbox = Outbox()
    for topic, value in offered:
        outbox.offer(topic, value)
    newest = {topic: value for topic, value in offered if not topic.startswith("other/")}
    assert len(outbox) == len(newest)
    if newest:
        assert dict(await outbox.take()) == newest
        assert len(outbox) == 0


async def test_an_outbox_that_nobody_empties_drops_the_oldest() -> None:
    outbox = Outbox(most=3)
    for n in range(10):
        outbox.offer(f"task/{n}", n)
    assert [value for _, value in await outbox.take()] == [7, 8, 9]


@given(st.binary(max_size=200))
def test_what_is_no_message_is_dropped(raw: bytes) -> None:
    message: Any = decode(raw)
    assert message is None or len(message) == 3
    assert decode(encode("me", "task/x", {"a": 1})) == ("me", "task/x", {"a": 1})
