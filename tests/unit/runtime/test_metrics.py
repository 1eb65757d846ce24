"""Every metric of a controller is there and moves with what it counts, and its gauges go when it ends."""

from __future__ import annotations

import asyncio
import gc
import re
import weakref
from datetime import datetime
from pathlib import Path

from prometheus_client import REGISTRY, generate_latest
from prometheus_client.metrics import MetricWrapperBase

from longshore.errors import Conflict, Retry, Terminal, Unavailable
from longshore.runtime import metrics, outcome
from longshore.runtime.plan import Plan

from .clock import FakeClock, until
from .world import Touch, World, a_job, told, touch, value

DOCUMENT = Path(__file__).parents[3] / "docs/runtime.md"
LIVE = (*metrics._GAUGES, *(f"{name}_total" for name in metrics._COUNTERS))


async def test_gauges_show_what_waits_and_what_is_under_way(clock: FakeClock) -> None:
    world = World(clock, touch, workers=2)
    gates = [world.executor.gates.setdefault(f"j{n}", asyncio.Event()) for n in range(5)]
    with told("reconcile is stuck"):
        async with world.running(*(a_job(f"j{n}") for n in range(5))):
            await until(lambda: len(world.queue.working()) == 2)
            world.queue.add_after("later", 1000.0)
            clock.advance(70.0)
            seen = {name: value(f"longshore_{name}") for name in ("workers", "workers_busy", "reconciles_stuck")}
            assert seen == {"workers": 2, "workers_busy": 2, "reconciles_stuck": 2}
            assert value("longshore_reconcile_longest_seconds") == 70.0
            assert (value("longshore_queue_depth"), value("longshore_queue_oldest_seconds")) == (3, 70.0)
            assert (value("longshore_queue_delayed"), value("longshore_queue_delays_total")) == (1, 1)
            assert value("longshore_queue_adds_total") == 5
            for gate in gates:
                gate.set()
            await world.settled()
            assert [value(name) for name in ("longshore_workers_busy", "longshore_queue_depth")] == [0, 0]
            assert value("longshore_queue_oldest_seconds") == value("longshore_reconcile_longest_seconds") == 0.0


async def test_what_happens_is_counted_by_its_result(clock: FakeClock) -> None:
    errors = [Conflict("changed"), Unavailable("away"), Retry("later", after=1.0), Terminal("never"), ValueError("bug")]
    results = ["conflict", "unavailable", "retry", "terminal", "error", "done"]
    script = iter(errors)

    def plan(key: str, _: datetime) -> Plan:
        return Plan((Touch(key),), requeue_after=1.0)

    def fail(_: object) -> None:
        if (error := next(script, None)) is not None:
            raise error

    def counted(metric: str, **labels: str) -> list[float]:
        return [value(metric, result=result, **labels) for result in results]

    world = World(clock, plan)
    world.executor.on = fail
    reconciles = counted("longshore_reconcile_seconds_count")
    actions = counted("longshore_action_seconds_count", action="Touch")
    waited = value("longshore_queue_wait_seconds_count")
    with told("reconcile failed"):
        async with world.running(a_job("a")):
            for _ in range(5):
                await world.settled()
                clock.advance(1.0)
                world.queue.add("a")
            await world.settled()
            assert value("longshore_queue_retries_total") == 3
    assert counted("longshore_reconcile_seconds_count") == [count + 1 for count in reconciles]
    assert counted("longshore_action_seconds_count", action="Touch") == [count + 1 for count in actions]
    assert value("longshore_queue_wait_seconds_count") == waited + 6


async def test_gauges_end_with_the_controller_and_nothing_keeps_it_alive(clock: FakeClock) -> None:
    world = World(clock, touch)
    async with world.running(a_job("a")):
        await world.settled()
        assert all(REGISTRY.get_sample_value(name, {"controller": "test"}) is not None for name in LIVE)
        world.queue.add_after("a", 1e9)
    queue = weakref.ref(world.queue)
    del world
    await asyncio.sleep(0)  # the event loop lets go of the task that has ended
    assert all(REGISTRY.get_sample_value(name, {"controller": "test"}) is None for name in LIVE)
    gc.collect()
    assert queue() is None


async def test_of_two_controllers_of_one_name_the_later_is_shown(clock: FakeClock) -> None:
    earlier, later = World(clock, touch, workers=3), World(clock, touch, workers=5)
    async with later.running():
        await later.settled()
        async with asyncio.TaskGroup() as tasks:
            earlier.jobs.replace([], 1)
            earlier.pods.replace([], 1)
            running = tasks.create_task(earlier.controller.run())
            await until(lambda: value("longshore_workers") == 3)
            assert generate_latest().count(b'longshore_workers{controller="test"}') == 1
            running.cancel()
        assert REGISTRY.get_sample_value("longshore_workers", {"controller": "test"}) is None


def documented() -> dict[str, tuple[str, str]]:
    """Labels and text of each metric in the table of docs/runtime.md."""
    rows = re.findall(r"^\| `(longshore_\w+)` \| ([^|]+) \| ([^|]+) \|$", DOCUMENT.read_text(), re.MULTILINE)
    return {name: (labels, text) for name, labels, text in rows}


def told_to_prometheus() -> dict[str, tuple[str, str]]:
    lasting = [metric for metric in vars(metrics).values() if isinstance(metric, MetricWrapperBase)]
    families = [(next(iter(metric.collect())), metric._labelnames) for metric in lasting]
    families += [(family, ("controller",)) for family in metrics.RUNNING.collect()]
    return {
        family.name + ("_total" if family.type == "counter" else ""): (", ".join(labels), family.documentation)
        for family, labels in families
    }


def test_every_metric_is_in_the_documentation_and_every_documented_one_exists() -> None:
    assert documented() == told_to_prometheus()
    assert len(documented()) > 20


def test_every_result_is_in_the_documentation() -> None:
    said = re.search(r"`result` is (.+?)\.\n", DOCUMENT.read_text(), re.DOTALL)
    assert said is not None
    named = set(re.findall(r"`(\w+)`", said.group(1)))
    assert named == {"done", "behind", "error", *(result for _, result in outcome._RESULTS)}


def test_names_follow_the_conventions_of_prometheus() -> None:
    for name, (_, text) in told_to_prometheus().items():
        assert re.fullmatch(r"longshore(_[a-z]+)+", name)
        assert text.endswith(".")
        assert ("time" in text.lower() or "how long" in text.lower()) == name.endswith("_seconds") or name.endswith(
            "_total"
        )
