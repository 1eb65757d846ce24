"""The wall clock may say what it likes: `plan` is told, and nothing else depends on it."""

from __future__ import annotations

import ast
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from longshore import runtime
from longshore.errors import LongshoreError
from longshore.runtime.plan import Plan

from .clock import FakeClock, until
from .world import NOW, Touch, World, a_job, told

JUMPS = [timedelta(days=-1), timedelta(days=365), timedelta(seconds=-1), timedelta(0)]


@pytest.mark.parametrize("jump", JUMPS)
async def test_a_wall_clock_that_jumps_is_what_plan_is_told_and_moves_no_date(
    clock: FakeClock, jump: timedelta
) -> None:
    wall, seen = [NOW], []

    def plan(key: str, now: datetime) -> Plan:
        seen.append(now)
        return Plan((Touch(key),), requeue_after=30.0)

    world = World(clock, plan, now=lambda: wall[0])
    async with world.running(a_job("a")) as executor:
        await world.settled()
        wall[0] = NOW + jump
        clock.advance(29.9)
        await world.settled()
        assert executor.times("a") == 1
        clock.advance(0.1)
        await until(lambda: executor.times("a") == 2)
    assert seen == [NOW, NOW + jump]


@pytest.mark.parametrize("jump", JUMPS)
async def test_backoff_and_stuck_reconciles_are_timed_by_no_wall_clock(clock: FakeClock, jump: timedelta) -> None:
    wall = [NOW]

    def plan(key: str, now: datetime) -> Plan:
        wall[0] += jump
        raise LongshoreError("refused")

    world = World(clock, plan, now=lambda: wall[0])
    with told("reconcile failed") as logs:
        async with world.running(a_job("a")):
            for _ in range(8):
                await world.settled()
                clock.advance(60.0)
            await world.settled()
    assert len(logs) == 9
    assert all(0.0 <= entry["again_in"] <= min(60.0, 0.05 * 2**n) for n, entry in enumerate(logs))


def test_no_module_of_the_runtime_reads_the_wall_clock_but_as_a_default_that_tests_replace() -> None:
    for path in Path(str(runtime.__file__)).parent.glob("*.py"):
        tree = ast.parse(path.read_text())
        defaults = [
            d for f in ast.walk(tree) if isinstance(f, ast.arguments) for d in (*f.defaults, *f.kw_defaults) if d
        ]
        handed_down = {id(node) for default in defaults for node in ast.walk(default)}
        read = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and id(node) not in handed_down]
        assert not [call for call in read if ast.unparse(call.func) in WALL], path.name


WALL = {"datetime.now", "datetime.utcnow", "datetime.today", "time.time", "time.time_ns", "date.today"}
