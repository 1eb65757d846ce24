"""A reconcile that takes too long is seen and named, and one that never ends takes no worker for good."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import datetime
from typing import ClassVar

import pytest
from structlog.testing import capture_logs

from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.runtime import planner
from longshore.runtime.executor import Executor
from longshore.runtime.plan import Effect, Plan

from .clock import FakeClock, until
from .world import Touch, World, a_job, told, touch, value


class Hang(Effect, frozen=True):
    key: str
    deadline: ClassVar[float] = 0.01


async def test_a_stuck_reconcile_is_counted_and_named_with_what_it_is_doing(clock: FakeClock) -> None:
    world = World(clock, touch)
    gate = world.executor.gates["a"] = asyncio.Event()
    with told("reconcile is stuck") as entries:
        async with world.running(a_job("a"), a_job("b")) as executor:
            await until(lambda: executor.times("b") == 1)
            for _ in range(300 // 15):
                clock.advance(15.0)
                for _ in range(3):
                    await asyncio.sleep(0)
            assert value("longshore_reconciles_stuck") == 1
            gate.set()
            await until(lambda: executor.times("a") == 1)
            clock.advance(15.0)
            await until(lambda: not value("longshore_reconciles_stuck"))
    assert [(e["key"], e["seconds"], e["doing"]) for e in entries] == [
        ("a", 60.0, "Touch"),
        ("a", 120.0, "Touch"),
        ("a", 240.0, "Touch"),
    ]


async def test_actions_that_never_end_are_cut_off_counted_and_tried_again_while_other_keys_have_their_turn(
    clock: FakeClock,
) -> None:
    tried: dict[str, int] = {}
    done: set[str] = set()

    async def hang(effect: Hang) -> None:
        tried[effect.key] = tried.get(effect.key, 0) + 1
        if effect.key.startswith("bad") and tried[effect.key] < 3:
            await asyncio.Event().wait()
        done.add(effect.key)

    executor = Executor(Client(Config("http://nowhere.invalid")), {Hang: hang})
    world = World(clock, lambda key, _: Plan((Hang(key),)), workers=2, executor=executor)
    names = {*(f"bad-{n}" for n in range(4)), "good"}
    before = value("longshore_reconcile_seconds_count", result="overdue")
    with told("reconcile failed") as entries:
        async with world.running(*(a_job(name) for name in sorted(names))):
            while done != names:
                await world.settled()
                clock.advance(1.0)
    assert [tried[f"bad-{n}"] for n in range(4)] == [3] * 4
    assert value("longshore_reconcile_seconds_count", result="overdue") == before + 8
    assert {(entry["doing"], entry["error"]) for entry in entries} == {("Hang", "Hang did not end within 0 s")}


async def test_a_plan_that_holds_up_the_event_loop_is_measured_and_named(clock: FakeClock) -> None:
    def plan(key: str, _: datetime) -> Plan:
        clock.seconds += 0.3 if key == "slow" else 0.05
        return Plan()

    world = World(clock, plan)
    count, seconds = value("longshore_plan_seconds_count"), value("longshore_plan_seconds_sum")
    with told("a plan held up everything else") as entries:
        async with world.running(a_job("slow"), a_job("quick")):
            await world.settled()
    assert [(entry["key"], round(entry["seconds"], 3)) for entry in entries] == [("slow", 0.3)]
    assert value("longshore_plan_seconds_count") == count + 2
    assert round(value("longshore_plan_seconds_sum") - seconds, 3) == 0.35


async def test_a_plan_that_does_not_return_is_named_with_the_line_that_it_is_at_while_it_holds_the_event_loop(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds, deadline = 0.0, time.monotonic() + 60
    monkeypatch.setattr(planner, "BLOCKED_SECONDS", 0.1)
    monkeypatch.setattr(planner, "monotonic", lambda: seconds)

    def hold_up() -> None:
        nonlocal seconds
        seconds += 7.0
        while not entries and time.monotonic() < deadline:
            time.sleep(0.001)  # on purpose: the event loop has no turn meanwhile

    def endless(key: str, _: datetime) -> Plan:
        if key == "bad":
            hold_up()
        return Plan()

    world = World(clock, endless)
    with capture_logs() as entries:
        async with world.running(a_job("bad"), a_job("good")):
            await world.settled()
    told = [(entry["event"], entry["key"], entry["seconds"]) for entry in entries]
    assert told == [("a plan does not return", "bad", 7.0)]
    assert "hold_up()" in entries[0]["where"]
    assert not [thread for thread in threading.enumerate() if thread.name == "test-planner"]


async def test_a_plan_that_has_returned_by_the_time_that_somebody_looks_is_not_named(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who looks is put aside just before he asks what time it is, and goes on when the plan is over."""
    looks, over, ours = threading.Event(), threading.Event(), threading.get_ident()
    monkeypatch.setattr(planner, "BLOCKED_SECONDS", 0.1)

    def late() -> float:
        if threading.get_ident() == ours:
            return 0.0
        looks.set()
        over.wait(60)
        return 100.0

    def plan(key: str, _: datetime) -> Plan:
        looks.wait(60)
        return Plan((Touch(key),))

    monkeypatch.setattr(planner, "monotonic", late)
    world = World(clock, plan)
    world.executor.on = lambda _: over.set()
    with capture_logs() as entries:
        async with world.running(a_job("a")) as executor:
            await until(lambda: executor.times("a") == 1)
    assert entries == []
