from __future__ import annotations

import asyncio

from longshore.runtime.bus import Bus


async def test_a_subscriber_gets_the_newest_value_of_each_of_its_topics() -> None:
    bus = Bus()
    async with bus.subscribe(["a", "b"]) as subscription:
        for n in range(1000):
            bus.publish("a", n)
        bus.publish("b", b"bytes")
        bus.publish("c", "not asked for")
        assert await subscription.next() == {"a": 999, "b": b"bytes"}


async def test_next_waits_for_something_to_be_published() -> None:
    bus = Bus()
    async with bus.subscribe(["a"]) as subscription, asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(subscription.next())
        await asyncio.sleep(0)
        assert not waiting.done()
        bus.publish("a", 1)
    assert waiting.result() == {"a": 1}


async def test_nothing_is_kept_for_who_has_left() -> None:
    bus = Bus()
    async with bus.subscribe(["a"]) as gone, bus.subscribe(["a"]) as there:
        await gone.__aexit__(None, None, None)
        bus.publish("a", 1)
        assert await there.next() == {"a": 1}
    assert bus._subscriptions == {}
    assert gone._pending == {}


def test_latest_is_there_for_who_comes_late_until_it_is_forgotten() -> None:
    bus = Bus()
    bus.publish("a", 1)
    bus.publish("a", 2)
    assert bus.latest("a") == 2
    bus.forget("a")
    assert bus.latest("a") is None
    bus.forget("a")


def test_only_the_topics_published_last_are_remembered() -> None:
    bus = Bus(bound=3)
    for topic in ("a", "b", "c", "a", "d"):
        bus.publish(f"of/{topic}", topic)
    assert [bus.latest(f"of/{topic}") for topic in "abcd"] == ["a", None, "c", "d"]


def test_what_comes_in_crowds_pushes_nothing_of_another_folder_out() -> None:
    bus = Bus(bound=3)
    bus.publish("progress/j1", 1)
    for n in range(10):
        bus.publish(f"log-ended/j{n}", n)
    assert bus.latest("progress/j1") == 1
    assert bus.latest("log-ended/j6") is None
    assert dict(bus.own()) == {"progress/j1": 1, "log-ended/j7": 7, "log-ended/j8": 8, "log-ended/j9": 9}
