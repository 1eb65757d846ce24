"""The queue against a model of it, and what an asyncio worker sees of it."""

from __future__ import annotations

import asyncio
import math
import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from longshore.runtime.queue import Queue

from .clock import FakeClock, until


class Highest(random.Random):
    """Always draws the upper end."""

    def uniform(self, a: float, b: float) -> float:
        return b


KEYS = st.sampled_from("abcde")
BACKOFF, CAP = 0.05, 60.0


def take(queue: Queue[str]) -> str:
    """A key that is ready now: `get` does not wait for it, so no event loop is needed."""
    with pytest.raises(StopIteration) as taken:
        queue.get().send(None)
    key: str = taken.value.value[0]
    return key


class QueueModel(RuleBasedStateMachine):
    """Whatever is done in whatever order: no key twice at a time, none lost, none early, first come first served."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.queue: Queue[str] = Queue(clock=self.clock, backoff=BACKOFF, backoff_cap=CAP, rng=random.Random(1))
        self.ready: list[str] = []
        self.working: list[str] = []
        self.again: set[str] = set()
        self.dates: dict[str, tuple[float, int]] = {}
        self.failures: dict[str, int] = {}
        self.dated = 0

    def model_add(self, key: str) -> None:
        if key in self.working:
            self.again.add(key)
        elif key not in self.ready:
            self.ready.append(key)

    def model_date(self, key: str, delay: float) -> None:
        due = self.clock.time() + delay
        if key not in self.dates or due < self.dates[key][0]:
            self.dated += 1
            self.dates[key] = (due, self.dated)

    @rule(key=KEYS)
    def add(self, key: str) -> None:
        self.queue.add(key)
        self.model_add(key)

    @rule(key=KEYS, delay=st.sampled_from((0.0, 0.25, 1.0, 3.0)))
    def add_after(self, key: str, delay: float) -> None:
        self.queue.add_after(key, delay)
        if delay:
            self.model_date(key, delay)
        else:
            self.model_add(key)

    @rule(seconds=st.sampled_from((0.125, 0.5, 2.0, 100.0)))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)
        due = sorted((date, key) for key, date in self.dates.items() if date[0] <= self.clock.time())
        for _, key in due:
            del self.dates[key]
            self.model_add(key)

    @precondition(lambda self: self.ready)
    @rule()
    def get(self) -> None:
        key = take(self.queue)
        assert key == self.ready.pop(0)
        assert key not in self.working
        self.working.append(key)
        self.dates.pop(key, None)

    @precondition(lambda self: self.working)
    @rule(
        which=st.integers(0, 10), ending=st.sampled_from(("forget", "retry", "nothing")), after=st.sampled_from((0, 9))
    )
    def done(self, which: int, ending: str, after: float) -> None:
        key = self.working[which % len(self.working)]
        if ending == "forget":
            self.queue.forget(key)
            self.failures.pop(key, None)
        if ending == "retry":
            failures = self.failures[key] = self.failures.get(key, 0) + 1
            delay = self.queue.retry(key, after)
            assert after <= delay <= after + min(CAP, BACKOFF * 2 ** (failures - 1))
            self.model_date(key, delay)
        self.queue.done(key)
        self.working.remove(key)
        if key in self.again:
            self.again.remove(key)
            self.model_add(key)

    @invariant()
    def agrees_with_the_model(self) -> None:
        assert len(self.queue) == len(self.ready) + len(self.again)
        assert [*self.queue.working()] == self.working
        assert all(self.queue.failures(key) == self.failures.get(key, 0) for key in "abcde")

    def teardown(self) -> None:
        """Every key that was asked for comes, however it was asked for."""
        self.time_passes(1000.0)
        while self.ready or self.working:
            while self.ready:
                self.get()
            self.done(0, "nothing", 0)
        assert len(self.queue) == 0


TestQueueModel = QueueModel.TestCase
TestQueueModel.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


async def test_a_worker_that_waits_is_woken_by_an_added_key(clock: FakeClock) -> None:
    queue: Queue[str] = Queue(clock=clock)
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(queue.get())
        await asyncio.sleep(0)
        queue.add("a")
    assert waiting.result() == ("a", 0.0)


async def test_a_worker_that_waits_is_woken_when_a_date_comes(clock: FakeClock) -> None:
    queue: Queue[str] = Queue(clock=clock)
    queue.add_after("late", 20.0)
    queue.add_after("soon", 5.0)
    async with asyncio.TaskGroup() as tasks:
        first, second = tasks.create_task(queue.get()), tasks.create_task(queue.get())
        await asyncio.sleep(0)
        clock.advance(5.0)
        await until(first.done)
        assert first.result()[0] == "soon"
        assert not second.done()
        clock.advance(15.0)
    assert second.result()[0] == "late"


async def test_a_wake_up_is_not_lost_with_the_worker_that_is_cancelled_in_the_same_turn(clock: FakeClock) -> None:
    queue: Queue[str] = Queue(clock=clock)
    first, second = asyncio.ensure_future(queue.get()), asyncio.ensure_future(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    first.cancel()
    assert (await asyncio.wait_for(second, 60))[0] == "a"
    assert first.cancelled()


async def test_get_tells_how_long_the_key_has_waited(clock: FakeClock) -> None:
    queue: Queue[str] = Queue(clock=clock)
    queue.add("a")
    clock.advance(3.0)
    queue.add("a")
    assert await queue.get() == ("a", 3.0)
    clock.advance(2.0)
    assert queue.working() == {"a": 2.0}


def test_taking_a_key_forgets_its_date(clock: FakeClock) -> None:
    queue: Queue[str] = Queue(clock=clock)
    queue.add_after("a", 5.0)
    queue.add("a")
    assert take(queue) == "a"
    queue.done("a")
    clock.advance(100.0)
    assert len(queue) == 0


def test_backoff_grows_to_its_cap_however_often_a_key_fails(clock: FakeClock) -> None:
    queue: Queue[str] = Queue(clock=clock, backoff=1.0, backoff_cap=60.0, rng=Highest())
    delays = [queue.retry("a") for _ in range(2000)]
    assert delays[:7] == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0]
    assert set(delays[7:]) == {60.0}
    queue.forget("a")
    assert queue.retry("a", after=5.0) == 6.0


def test_dates_that_keep_moving_forward_take_no_more_memory(clock: FakeClock) -> None:
    queue: Queue[int] = Queue(clock=clock)
    for n in range(10_000):
        queue.add_after(n % 10, 20_000.0 - n)
    assert len(queue._heap) < 100


def test_a_key_that_comes_again_at_once_keeps_no_other_waiting(clock: FakeClock) -> None:
    queue: Queue[str] = Queue(clock=clock)
    for key in ("busy", "a", "b", "c"):
        queue.add(key)
    turns = []
    for _ in range(8):
        turns.append(take(queue))
        queue.add("busy")
        queue.done(turns[-1])
    assert turns == ["busy", "a", "b", "c", "busy", "busy", "busy", "busy"]


@pytest.mark.parametrize("after", [math.nan, -5.0, math.inf])
def test_a_wait_that_is_no_number_of_seconds_does_not_lose_the_key(clock: FakeClock, after: float) -> None:
    queue: Queue[str] = Queue(clock=clock, backoff=1.0)
    assert 0.0 <= queue.retry("a", after) <= 1.0
    clock.advance(1.0)
    assert take(queue) == "a"


def test_a_date_that_is_no_number_is_refused_and_leaves_the_others_in_order(clock: FakeClock) -> None:
    queue: Queue[str] = Queue(clock=clock)
    queue.add_after("late", 2.0)
    with pytest.raises(ValueError, match="number of seconds"):
        queue.add_after("never", math.nan)
    queue.add_after("soon", 1.0)
    clock.advance(1.0)
    assert take(queue) == "soon"


def test_a_cleared_queue_holds_nothing_and_works_on(clock: FakeClock) -> None:
    queue: Queue[str] = Queue(clock=clock)
    queue.add("a")
    queue.add("b")
    queue.retry("c")
    assert take(queue) == "a"
    queue.clear()
    queue.done("a")
    clock.advance(1000.0)
    assert (len(queue), queue.delayed, queue.working(), queue.failures("c")) == (0, 0, {}, 0)
    queue.add_after("d", 1.0)
    clock.advance(1.0)
    assert take(queue) == "d"


def test_of_two_keys_due_at_once_the_one_that_was_dated_first_comes_first(clock: FakeClock) -> None:
    queue: Queue[str] = Queue(clock=clock)
    queue.add_after("before", 0.5)
    queue.add_after("a", 1.0)
    queue.add("a")
    assert take(queue) == "a"  # which forgets its date
    queue.add_after("b", 1.0)
    queue.add_after("a", 1.0)
    queue.done("a")
    clock.advance(1.0)
    assert [take(queue) for _ in range(3)] == ["before", "b", "a"]


def test_a_key_that_is_added_often_counts_once_and_waits_since_the_first_time(clock: FakeClock) -> None:
    queue: Queue[str] = Queue(clock=clock)
    queue.add("a")
    take(queue)
    for _ in range(3):
        queue.add("a")
        clock.advance(1.0)
    assert (queue.adds, queue.oldest) == (2, 3.0)
    queue.done("a")
    queue.add("a")
    assert (queue.adds, queue.oldest) == (2, 3.0)
