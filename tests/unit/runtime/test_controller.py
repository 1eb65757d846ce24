"""What becomes of a key: when it is planned, and when it comes again. What goes wrong is in test_faults.py."""

from __future__ import annotations

import asyncio
from datetime import datetime

import pytest
from structlog.testing import capture_logs

from longshore.errors import Conflict, LongshoreError, Retry, Terminal, TooManyRequests, Unavailable
from longshore.runtime import controller, feed
from longshore.runtime.executor import Written
from longshore.runtime.plan import Action, Plan

from .clock import FakeClock, until
from .world import Touch, World, a_job, a_pod, told, touch, value


async def test_what_is_there_at_the_start_and_every_change_of_it_is_looked_at(clock: FakeClock) -> None:
    world = World(clock, touch)
    async with world.running(a_job("a"), a_job("b")) as executor:
        await until(lambda: (executor.times("a"), executor.times("b")) == (1, 1))
        world.jobs.put(a_job("a", 11))
        await until(lambda: executor.times("a") == 2)
        world.jobs.replace([a_job("b")], 12)
        await until(lambda: executor.times("a") == 3)
        world.pods.put(a_pod("b-0", "b", 13))
        await until(lambda: executor.times("b") == 2)


async def test_an_object_that_changes_its_owner_has_both_looked_at(clock: FakeClock) -> None:
    world = World(clock, touch)
    async with world.running() as executor:
        world.pods.put(a_pod("p", "a", 11))
        await until(lambda: executor.times("a") == 1)
        world.pods.put(a_pod("p", "b", 12))
        await until(lambda: (executor.times("a"), executor.times("b")) == (2, 1))


async def test_nothing_is_planned_before_every_store_is_synced(clock: FakeClock) -> None:
    world = World(clock, touch)
    task = asyncio.ensure_future(world.controller.run())
    world.jobs.replace([a_job("a")], 10)
    await until(lambda: bool(world.pods.store._waiters))
    assert world.executor.done == []
    world.pods.replace([], 10)
    await until(lambda: world.executor.times("a") == 1)
    task.cancel()
    await asyncio.wait([task])


async def test_a_feed_that_overflows_looks_at_everything_again(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "FEED_BOUND", 2)
    world = World(clock, touch)
    async with world.running(a_job("a")) as executor:
        await until(lambda: executor.times("a") == 1)
        for n in range(3):
            world.pods.put(a_pod(f"p{n}", "b", 11 + n))
        await until(lambda: (executor.times("a"), executor.times("b")) == (2, 1))


async def test_everything_is_looked_at_now_and_then(clock: FakeClock) -> None:
    world = World(clock, touch)
    async with world.running(a_job("a")) as executor:
        await until(lambda: executor.times("a") == 1)
        await world.settled()
        clock.advance(controller.RESYNC_SECONDS)
        await until(lambda: executor.times("a") == 2)


async def test_a_key_is_never_worked_on_twice_at_a_time_and_comes_again_when_it_changed_meanwhile(
    clock: FakeClock,
) -> None:
    world = World(clock, touch, workers=4)
    gate = world.executor.gates["a"] = asyncio.Event()
    async with world.running(a_job("a"), a_job("b")) as executor:
        await until(lambda: executor.times("b") == 1)
        for version in (11, 12, 13):
            world.jobs.put(a_job("a", version))
            await asyncio.sleep(0)
        assert [*world.queue.working()] == ["a"]
        gate.set()
        await until(lambda: executor.times("a") == 2)
        await world.settled()
        assert executor.times("a") == 2


async def test_no_more_keys_are_worked_on_than_there_are_workers(clock: FakeClock) -> None:
    world = World(clock, touch, workers=3)
    for n in range(10):
        world.executor.gates[f"j{n}"] = asyncio.Event()
    async with world.running(*(a_job(f"j{n}") for n in range(10))) as executor:
        await until(lambda: len(world.queue.working()) == 3)
        await asyncio.sleep(0)
        assert (len(world.queue.working()), len(world.queue)) == (3, 7)
        for gate in executor.gates.values():
            gate.set()
        await until(lambda: len(executor.done) == 10)


async def test_the_plan_says_when_to_look_again(clock: FakeClock) -> None:
    world = World(clock, lambda key, now: Plan((Touch(key),), requeue_after=30.0))
    async with world.running(a_job("a")) as executor:
        await world.settled()
        clock.advance(29.0)
        await world.settled()
        assert executor.times("a") == 1
        clock.advance(1.0)
        await until(lambda: executor.times("a") == 2)


async def test_the_first_action_that_fails_ends_the_plan_which_starts_over(clock: FakeClock) -> None:
    world = World(clock, lambda key, now: Plan(tuple(Touch(key, step) for step in range(3))))

    def fail_once(action: Action) -> None:
        if action == Touch("a", 1) and world.executor.done.count(action) == 1:
            raise Conflict("it has changed")

    world.executor.on = fail_once
    async with world.running(a_job("a")) as executor:
        await world.settled()
        clock.advance(0.05)
        await world.settled()
        assert [action.step for action in executor.done if isinstance(action, Touch)] == [0, 1, 0, 1, 2]


@pytest.mark.parametrize(
    ("error", "result", "earliest", "latest"),
    [
        (Conflict("changed"), "conflict", 0.0, 0.05),
        (Unavailable("away", retry_after=7.0), "unavailable", 7.0, 7.05),
        (TooManyRequests("slow down", retry_after=3.0), "unavailable", 3.0, 3.05),
        (LongshoreError("refused"), "error", 0.0, 0.05),
        (ValueError("a bug"), "error", 0.0, 0.05),
        (Retry("not yet", after=20.0), "retry", 20.0, 20.0),
    ],
)
async def test_after_an_error_the_key_comes_again_and_the_error_is_counted(
    clock: FakeClock, error: Exception, result: str, earliest: float, latest: float
) -> None:
    failing = True

    def plan(key: str, now: datetime) -> Plan:
        if failing:
            raise error
        return Plan((Touch(key),))

    world = World(clock, plan)
    before = value("longshore_reconcile_seconds_count", result=result)
    with capture_logs():
        async with world.running(a_job("a")) as executor:
            await world.settled()
            assert value("longshore_reconcile_seconds_count", result=result) == before + 1
            failing = False
            if earliest:
                clock.advance(earliest - 0.01)
                await world.settled()
                assert executor.times("a") == 0
            clock.advance(latest - earliest + 0.02)
            await until(lambda: executor.times("a") == 1)
            assert world.queue.failures("a") == 0


async def test_a_terminal_error_waits_for_the_object_to_change(clock: FakeClock) -> None:
    def plan(key: str, now: datetime) -> Plan:
        job = world.jobs.store.get("a", "ns")
        if job is not None and job.metadata.resource_version == "1":
            raise Terminal("nonsense in its annotation")
        return Plan((Touch(key),))

    world = World(clock, plan)
    with told("reconcile cannot succeed until the object changes") as entries:
        async with world.running(a_job("a")) as executor:
            await world.settled()
            clock.advance(500.0)
            await world.settled()
            assert executor.times("a") == 0
            world.jobs.put(a_job("a", 11))
            await until(lambda: executor.times("a") == 1)
    assert len(entries) == 1


async def test_one_failing_key_does_not_hold_up_the_others(clock: FakeClock) -> None:
    def plan(key: str, now: datetime) -> Plan:
        if key == "bad":
            raise ValueError("a bug")
        return Plan((Touch(key),))

    world = World(clock, plan, workers=1)
    with told("reconcile failed") as entries:
        async with world.running(a_job("bad"), *(a_job(f"j{n}") for n in range(20))) as executor:
            for _ in range(10):
                await world.settled()
                clock.advance(60.0)
            assert len(executor.done) == 20
    assert 6 <= len(entries) <= 11


async def test_a_key_is_not_planned_again_before_the_cache_shows_what_it_wrote(clock: FakeClock) -> None:
    world = World(clock, touch)
    world.executor.on = lambda _: Written("batch", "jobs", 20)
    async with world.running(a_job("a")) as executor:
        await until(lambda: executor.times("a") == 1)
        world.jobs.put(a_job("a", 15))
        await until(lambda: bool(world.jobs.store._waiters))
        assert executor.times("a") == 1
        world.jobs.put(a_job("a", 20))
        await until(lambda: executor.times("a") == 2)


async def test_what_was_written_before_a_failure_is_waited_for_too(clock: FakeClock) -> None:
    def half(action: Action) -> Written:
        if action == Touch("a", 1) and len(world.executor.done) == 2:
            raise Conflict("it has changed")
        return Written("batch", "jobs", 20)

    world = World(clock, lambda key, now: Plan((Touch(key, 0), Touch(key, 1))))
    world.executor.on = half
    async with world.running(a_job("a")) as executor:
        await world.settled()
        clock.advance(1.0)
        await until(lambda: bool(world.jobs.store._waiters))
        assert len(executor.done) == 2
        world.jobs.advance(20)
        await until(lambda: len(executor.done) == 4)


async def test_many_keys_with_nothing_to_do_leave_room_for_other_tasks(clock: FakeClock) -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    world = World(clock, lambda key, now: Plan())
    async with world.running(*(a_job(f"j{n}") for n in range(200))):
        task = asyncio.ensure_future(other())
        await world.settled()
        task.cancel()
    assert turns >= 50
