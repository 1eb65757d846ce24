"""Workers that wait, are woken, cancelled and overtaken in any order: no key is lost, none has two at a time."""

from __future__ import annotations

import asyncio

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from longshore.runtime.queue import Queue

from .clock import FakeClock

KEYS = st.sampled_from("abc")


class Workers(RuleBasedStateMachine):
    """Between the rules the event loop stands still, so that several things happen in one turn of it."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = FakeClock()
        self.queue: Queue[str] = Queue(clock=self.clock)
        self.owed: set[str] = set()  # asked for, and not worked on since
        self.dates: dict[str, float] = {}
        self.held: list[str] = []
        self.waiting: list[asyncio.Task[None]] = []

    async def work(self) -> None:
        key, _ = await self.queue.get()
        assert key not in self.held, "two workers on one key"
        assert key in self.owed, "a key that nobody asked for"
        self.owed.remove(key)
        self.dates.pop(key, None)
        self.held.append(key)

    @rule(count=st.integers(1, 3))
    def workers_come(self, count: int) -> None:
        self.waiting += [self.loop.create_task(self.work()) for _ in range(count)]

    @rule(key=KEYS)
    def add(self, key: str) -> None:
        self.queue.add(key)
        self.owed.add(key)

    @rule(key=KEYS, delay=st.sampled_from((1.0, 2.0)))
    def add_after(self, key: str, delay: float) -> None:
        self.queue.add_after(key, delay)
        self.dates[key] = min(self.dates.get(key, float("inf")), self.clock.time() + delay)

    @rule()
    def time_passes(self) -> None:
        self.clock.advance(1.5)
        due = {key for key, date in self.dates.items() if date <= self.clock.time()}
        self.owed |= due
        self.dates = {key: date for key, date in self.dates.items() if key not in due}

    @precondition(lambda self: self.waiting)
    @rule(which=st.integers(0, 9))
    def a_worker_is_cancelled(self, which: int) -> None:
        self.waiting[which % len(self.waiting)].cancel()

    @precondition(lambda self: self.held)
    @rule(which=st.integers(0, 9))
    def a_worker_is_done(self, which: int) -> None:
        self.queue.done(self.held.pop(which % len(self.held)))

    @rule(turns=st.integers(1, 4))
    def the_loop_turns(self, turns: int) -> None:
        for _ in range(turns):
            self.loop.run_until_complete(asyncio.sleep(0))

    @rule()
    def all_comes_to_rest(self) -> None:
        self.the_loop_turns(10)
        for task in [task for task in self.waiting if task.done()]:
            self.waiting.remove(task)
            if not task.cancelled():
                task.result()
        free = self.owed - set(self.held)
        assert not (free and self.waiting), f"{free} wait while {len(self.waiting)} workers sleep"

    def teardown(self) -> None:
        try:
            self.time_passes()
            self.time_passes()
            while self.owed or self.held:
                while self.held:
                    self.a_worker_is_done(0)
                self.workers_come(3)
                self.all_comes_to_rest()
            assert len(self.queue) == self.queue.delayed == 0
        finally:
            for task in self.waiting:
                task.cancel()
            self.the_loop_turns(3)
            self.loop.close()


TestWorkers = Workers.TestCase
TestWorkers.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
