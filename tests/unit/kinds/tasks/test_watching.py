"""Listeners hear of the newest status of their own Job, of trouble, and nothing else; all from one subscription."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.kinds.tasks.cluster import World

from longshore.kinds.tasks.view import TaskStatus, Word
from longshore.kinds.tasks.watching import PATIENCE_SECONDS, Watching, status_in


class Listener:
    def __init__(self) -> None:
        self.words: list[Word | None] = []
        self.troubles: list[str | None] = []

    def status(self, status: TaskStatus | None) -> None:
        self.words.append(status.status if status else None)

    def trouble(self, why: str | None) -> None:
        self.troubles.append(why)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def watching(world: World) -> AsyncIterator[Watching]:
    watching = Watching(world.stores, asyncio.get_running_loop().time)
    running = asyncio.ensure_future(watching.run())
    await turns()
    yield watching
    running.cancel()
    await asyncio.wait([running])


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_listener_hears_of_its_job_through_job_and_pods(world: World, watching: Watching) -> None:
    mine, other = Listener(), Listener()
    watching.add("tenant-a/t1", mine)
    watching.add("tenant-a/t2", other)
    world.job("t1", suspend=True)
    await turns()
    world.job("t1")
    world.pod("t1", "Running")
    await turns()
    world.job("t1", failed=1)
    await turns()
    world.job("t1", "Complete")
    await turns()
    world.gone("t1")
    await turns()
    heard = [word for n, word in enumerate(mine.words) if n == 0 or word is not mine.words[n - 1]]
    assert heard == [Word.PENDING, Word.RUNNING, Word.SUCCEEDED, None]
    assert other.words == []
    watching.remove("tenant-a/t1", mine)
    watching.remove("tenant-a/t2", other)
    assert len(watching) == 0


async def test_ten_thousand_listeners_cost_one_subscription_to_each_store(world: World, watching: Watching) -> None:
    crowd = [Listener() for _ in range(10_000)]
    for number, one in enumerate(crowd):
        watching.add(f"tenant-a/t{number % 10}", one)
    assert (world.stores.jobs.subscribers, world.stores.pods.subscribers) == (1, 1)
    world.job("t3")
    await turns()
    assert sum(one.words == [Word.PENDING] for one in crowd) == 1000


def test_trouble_is_told_once_it_lasts_and_once_it_is_over() -> None:
    world, now = World(), 0.0
    watching = Watching(world.stores, lambda: now)
    one = Listener()
    watching.add("tenant-a/t1", one)
    for step, trouble in enumerate(("away", None, "away", "still away", "still away", None)):
        now = step * PATIENCE_SECONDS
        world.jobs.trouble(trouble)
        watching.look()
    assert one.troubles == ["still away", None]


def test_a_pod_counts_only_in_the_namespace_of_its_job() -> None:
    world = World()
    world.job("theirs", tenant="")
    world.pod("theirs", "Running", tenant="", namespace="elsewhere")
    status = status_in(world.stores, "default", "theirs")
    assert status is not None
    assert (status.status, status.pods) == (Word.PENDING, ())
    world.pod("theirs", "Running", tenant="")
    status = status_in(world.stores, "default", "theirs")
    assert status is not None
    assert (status.status, len(status.pods)) == (Word.RUNNING, 1)


@given(failed=st.integers(0, 5), condition=st.sampled_from(["", "Failed", "Complete", "FailureTarget", "Suspended"]))
def test_only_conditions_end_a_task_however_many_pods_failed(failed: int, condition: str) -> None:
    world = World()
    world.job("t", *([condition] if condition else []), failed=failed)
    status = status_in(world.stores, "tenant-a", "t")
    assert status is not None
    assert (status.status is Word.FAILED) == (condition == "Failed")
    assert (status.status is Word.SUCCEEDED) == (condition == "Complete")
