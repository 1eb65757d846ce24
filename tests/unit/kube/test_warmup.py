"""Waiting for caches, and what a full garbage collection has left to do afterwards."""

import asyncio
import gc

import pytest

from longshore.errors import Unavailable
from longshore.kube.objects import JOBS, Job
from longshore.kube.store import Store, Writer
from longshore.kube.warmup import warmed_up

from .objects import a_job


async def test_it_waits_for_every_cache_and_leaves_nothing_of_them_to_the_garbage_collector() -> None:
    stores: list[Store[Job]] = [Store(JOBS), Store(JOBS)]
    waiting = asyncio.create_task(warmed_up(stores, 60))
    Writer(stores[0]).replace([a_job(f"j{number}", 1) for number in range(1000)], 10)
    await asyncio.sleep(0)
    assert not waiting.done()
    Writer(stores[1]).replace([], 10)
    await waiting
    try:
        tracked = {id(one) for one in gc.get_objects()}
        assert id(stores[0]) not in tracked
    finally:
        gc.unfreeze()


async def test_a_cache_that_does_not_get_there_is_told() -> None:
    with pytest.raises(Unavailable, match="jobs"):
        await warmed_up([Store(JOBS)], 0.01)


def test_the_objects_themselves_are_never_tracked() -> None:
    """Frozen and made of text and numbers, they can be in no cycle."""
    assert not gc.is_tracked(a_job("a", 1))
