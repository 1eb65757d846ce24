"""What goes wrong in a plan, an action or a feed is that key's trouble alone: counted, logged, tried again."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from longshore.errors import LongshoreError, Retry
from longshore.kube.objects import Job
from longshore.runtime.executor import Written
from longshore.runtime.outcome import must_end
from longshore.runtime.plan import Action, Plan
from longshore.runtime.term import Term, TermOver

from .clock import FakeClock, until
from .world import Touch, World, a_job, told, touch, value

ODD: list[Callable[[], BaseException]] = [
    lambda: ValueError("a bug"),
    lambda: RecursionError("too deep"),
    lambda: MemoryError(),
    lambda: StopIteration(),
    lambda: ExceptionGroup("several", [ValueError("a"), LongshoreError("b")]),
    lambda: BaseExceptionGroup("of a task group", [asyncio.CancelledError()]),
    lambda: asyncio.CancelledError(),
    lambda: Retry("when?", after=math.nan),
]


def raising(error: BaseException) -> Any:
    raise error


@pytest.mark.parametrize("where", ["plan", "action"])
@pytest.mark.parametrize("odd", ODD)
async def test_whatever_is_raised_for_one_key_the_workers_live_and_it_comes_again(
    clock: FakeClock, where: str, odd: Callable[[], BaseException]
) -> None:
    failures = 0

    def fail(key: str) -> None:
        nonlocal failures
        if key == "bad" and failures < 5:
            failures += 1
            raising(odd())

    def plan(key: str, _: datetime) -> Plan:
        if where == "plan":
            fail(key)
        return Plan((Touch(key),))

    def on(action: Action) -> Written | None:
        if where == "action":
            assert isinstance(action, Touch)
            fail(action.key)
        return None

    world = World(clock, plan, workers=2)
    world.executor.on = on
    with told("reconcile failed") as entries:
        async with world.running(a_job("bad"), a_job("good")) as executor:
            for _ in range(6):
                await world.settled()
                clock.advance(60.0)
            await world.settled()
            assert executor.times("good") == 1
            assert executor.times("bad") == (1 if where == "plan" else 6)
            assert world.queue.failures("bad") == 0
    assert [entry["key"] for entry in entries] == ["bad"] * 5


@pytest.mark.parametrize(
    "nonsense",
    [None, Plan((Touch("bad"),), requeue_after=math.nan), Plan((), requeue_after="soon"), Plan(7)],  # type: ignore[arg-type]
)
async def test_a_plan_that_is_nonsense_is_an_error_of_its_key(clock: FakeClock, nonsense: Any) -> None:
    def plan(key: str, _: datetime) -> Plan:
        return nonsense if key == "bad" else Plan((Touch(key),))

    world = World(clock, plan, workers=1)
    before = value("longshore_reconcile_seconds_count", result="error")
    with told("reconcile failed") as entries:
        async with world.running(a_job("bad"), a_job("good")) as executor:
            await until(lambda: executor.times("good") == 1)
            await world.settled()
            assert world.queue.failures("bad") == 1
    assert [entry["key"] for entry in entries] == ["bad"]
    assert value("longshore_reconcile_seconds_count", result="error") == before + 1


@pytest.mark.parametrize("broken", [lambda _: raising(KeyError("owner")), lambda _: [["unhashable"]], lambda _: None])
async def test_an_object_of_which_no_key_can_be_told_does_not_end_the_feed(
    clock: FakeClock, broken: Callable[[Job], Any]
) -> None:
    world = World(clock, touch)
    world.key_of = lambda job: broken(job) if job.metadata.name == "odd" else [job.metadata.name]
    before = value("longshore_feed_failures_total", resource="jobs")
    with told("no key could be told of an object") as entries:
        async with world.running(a_job("odd"), a_job("a")) as executor:
            await until(lambda: executor.times("a") == 1)
            world.jobs.put(a_job("odd", 11))
            world.jobs.put(a_job("b", 12))
            await until(lambda: executor.times("b") == 1)
    assert {entry["object"] for entry in entries} == {("ns", "odd")}
    assert value("longshore_feed_failures_total", resource="jobs") == before + len(entries) == before + 3


async def test_a_controller_that_ends_in_the_middle_of_an_action_leaves_nothing_behind(clock: FakeClock) -> None:
    world = World(clock, touch)
    world.executor.gates["a"] = asyncio.Event()
    before = value("longshore_action_seconds_count", action="Touch", result="cancelled")
    async with world.running(a_job("a"), a_job("b")) as executor:
        await until(lambda: executor.times("b") == 1)
        world.queue.add_after("b", 1000.0)
    assert executor.times("a") == 0
    assert (len(world.queue), world.queue.working(), world.queue.delayed) == (0, {}, 0)
    assert value("longshore_action_seconds_count", action="Touch", result="cancelled") == before + 1


@pytest.mark.parametrize("kept", [None, LongshoreError("cut off")])
async def test_a_handler_that_keeps_the_cancellation_to_itself_does_not_keep_the_controller_alive(
    clock: FakeClock, kept: Exception | None
) -> None:
    world = World(clock, touch)
    began = asyncio.Event()

    class Deaf(asyncio.Event):
        async def wait(self) -> Any:
            began.set()
            try:
                return await super().wait()
            except asyncio.CancelledError:
                if kept is not None:
                    raise kept from None

    world.executor.gates["a"] = Deaf()
    with told("reconcile failed"):
        async with asyncio.timeout(60), world.running(a_job("a")):
            await began.wait()


async def test_no_action_begins_when_the_term_is_over_and_the_controller_ends(clock: FakeClock) -> None:
    term = Term(until=clock.time() + 7.0, clock=clock.time)
    world = World(clock, lambda key, _: Plan((Touch(key, 0), Touch(key, 1), Touch(key, 2))), workers=1)

    def stall(action: Action) -> None:
        if action == Touch("a", 1):
            clock.seconds += 7.0  # as after SIGSTOP: no timer has had its turn

    world.executor.on = stall
    world.jobs.replace([a_job("a"), a_job("b")], 10)
    world.pods.replace([], 10)
    before = value("longshore_action_seconds_count", action="Touch", result="refused")
    async with asyncio.timeout(60):
        with pytest.raises(ExceptionGroup) as raised:
            await world.controller.run(term)
    assert raised.group_contains(TermOver, match="the lease ran out 0.0 s ago")
    assert world.executor.done == [Touch("a", 0), Touch("a", 1)]
    assert value("longshore_action_seconds_count", action="Touch", result="refused") == before + 1


@pytest.mark.parametrize(
    ("error", "ends"),
    [
        (ValueError(), False),
        (asyncio.CancelledError(), False),
        (BaseExceptionGroup("", [asyncio.CancelledError()]), False),
        (TermOver(), True),
        (ExceptionGroup("", [ExceptionGroup("", [TermOver()])]), True),
        (BaseExceptionGroup("", [SystemExit(), ValueError()]), True),
        (KeyboardInterrupt(), True),
    ],
)
async def test_only_the_end_of_the_term_or_of_the_process_ends_a_worker(error: BaseException, ends: bool) -> None:
    assert must_end(error) is ends


async def test_our_own_cancellation_ends_a_worker() -> None:
    async def be_cancelled() -> bool:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            return must_end(error)
        return False

    task = asyncio.ensure_future(be_cancelled())
    await asyncio.sleep(0)
    task.cancel()
    assert await task
