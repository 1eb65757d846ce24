"""When a key may be planned again after its plan has written something."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from longshore.kube.objects import JOBS, PODS, Job, Pod
from longshore.kube.store import Store, Writer
from longshore.runtime.executor import Written
from longshore.runtime.expectations import Expectations

from .clock import FakeClock

Caches = tuple[Expectations[str], Writer[Job], Writer[Pod]]


@pytest.fixture
def caches(clock: FakeClock) -> Caches:
    """Both at version 10."""
    jobs, pods = Writer(Store(JOBS)), Writer(Store(PODS))
    jobs.replace([], 10)
    pods.replace([], 10)
    expectations: Expectations[str] = Expectations(clock, patience=30.0)
    expectations.reads(jobs.store)
    expectations.reads(pods.store)
    return expectations, jobs, pods


async def test_a_key_waits_for_each_cache_to_show_the_newest_that_it_wrote_there(caches: Caches) -> None:
    expectations, jobs, pods = caches
    for written in (Written("batch", "jobs", 12), Written("batch", "jobs", 11), Written("", "pods", 13)):
        expectations.expect("a", written)
    async with asyncio.TaskGroup() as tasks:
        met = tasks.create_task(expectations.met("a", 5.0))
        for cache, version in ((jobs, 11), (jobs, 12), (pods, 12)):
            cache.advance(version)
            await asyncio.sleep(0)
            assert not met.done()
        pods.advance(13)
    assert met.result()
    assert len(expectations) == 0


async def test_a_key_is_not_planned_from_a_cache_that_stays_behind(caches: Caches) -> None:
    expectations, *_ = caches
    expectations.expect("a", Written("batch", "jobs", 11))
    assert not await expectations.met("a", 0.01)
    assert await expectations.met("another", 0.0)


async def test_patience_ends_for_a_write_that_no_cache_ever_shows(caches: Caches, clock: FakeClock) -> None:
    expectations, *_ = caches
    expectations.expect("a", Written("batch", "jobs", 11))
    clock.advance(31.0)
    with capture_logs() as logs:
        assert await expectations.met("a", 0.0)
    assert [(entry["event"], entry["version"]) for entry in logs] == [("write not seen in the cache", 11)]


def test_what_no_cache_holds_or_already_shows_is_not_waited_for(caches: Caches) -> None:
    expectations, *_ = caches
    expectations.expect("a", Written("", "secrets", 99))
    expectations.expect("a", Written("batch", "jobs", 10))
    assert len(expectations) == 0


def test_keys_that_never_come_again_are_not_remembered_for_ever(caches: Caches, clock: FakeClock) -> None:
    expectations, jobs, _ = caches
    expectations.expect("seen", Written("batch", "jobs", 11))
    expectations.expect("unseen", Written("batch", "jobs", 99))
    expectations.sweep()
    assert len(expectations) == 2
    jobs.advance(11)
    expectations.sweep()
    assert len(expectations) == 1
    clock.advance(31.0)
    expectations.sweep()
    assert len(expectations) == 0
