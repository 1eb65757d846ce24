"""Whatever the history and however the server fails, the store ends equal to the truth and so does every reader.

Each step of a history is followed by a few turns of the event loop, so that writes fall between the pages of a list
and between the events of a stream. At every pause the store must equal the truth as of the store's own version.
"""

import asyncio
from collections.abc import Callable
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from longshore.errors import Forbidden, TooManyRequests, Unavailable
from longshore.kube.objects import JOBS, Job
from longshore.kube.reflector import Reflector
from longshore.kube.store import Delta, Overflowed, Store
from longshore.kube.watch import Pace

from .conftest import Clock
from .truth import State, Truth

ON_OBJECTS = {"write": Truth.write, "delete": Truth.delete, "recreate": Truth.recreate}
ON_SERVER: dict[str, Callable[[Truth], None]] = {
    "elsewhere": Truth.elsewhere,
    "compact": Truth.compact,
    "bookmark": Truth.bookmark,
    "echo": Truth.echo,
    "close": Truth.end_streams,
    "cut": lambda truth: truth.end_streams(Unavailable("cut")),
    "expire": Truth.expire_streams,
    "forbid": lambda truth: truth.refusals.append(Forbidden("told so")),
    "throttle": lambda truth: truth.refusals.append(TooManyRequests("told so", retry_after=7)),
    "refuse": lambda truth: truth.refusals.append(Unavailable("told so")),
    "stall": lambda truth: setattr(truth, "stalled", True),
    "go on": lambda truth: setattr(truth, "stalled", False),
}
steps = st.tuples(
    st.tuples(st.sampled_from(sorted(ON_OBJECTS)), st.sampled_from("abcde"))
    | st.tuples(st.sampled_from(sorted(ON_SERVER)), st.none()),
    st.integers(0, 6),
)


def state_of(objects: list[Job]) -> State:
    return {obj.metadata.name: (int(obj.metadata.resource_version), obj.metadata.uid) for obj in objects}


class Follower:
    """A reader that keeps its own copy from the deltas alone, and is strict about them."""

    def __init__(self, store: Store[Job], bound: int) -> None:
        self._store = store
        self._bound = bound
        self._begin()

    def _begin(self) -> None:
        self._changes = self._store.subscribe(bound=self._bound)
        self.copy = {("ns", obj.metadata.name): obj for obj in self._changes.snapshot}
        self._seq = self._changes.seq

    async def catch_up(self) -> None:
        while self._changes.seq < self._store.seq:
            try:
                async with asyncio.timeout(0):
                    deltas = await self._changes.next()
            except Overflowed:
                self._begin()
            except TimeoutError:
                return  # what is left came and went
            else:
                for delta in deltas:
                    self._take(delta)

    def _take(self, delta: Delta[Job]) -> None:
        assert delta.seq >= self._seq
        assert self.copy.get(delta.key) == delta.old
        self._seq = delta.seq
        if delta.new is None:
            del self.copy[delta.key]
            return
        if delta.old is not None:
            assert delta.old.metadata.uid == delta.new.metadata.uid
            assert int(delta.old.metadata.resource_version) < int(delta.new.metadata.resource_version)
        self.copy[delta.key] = delta.new


async def live(history: list[tuple[tuple[str, str | None], int]], seed: int) -> None:
    truth, clock, store = Truth(), Clock(), Store(JOBS)
    eager, slow = Follower(store, bound=100), Follower(store, bound=2)
    reflector = Reflector(truth, store, clock=clock, sleep=clock.sleep, rng=Random(seed), pace=Pace(page=2))
    task = asyncio.create_task(reflector.run())
    for (word, name), turns in history:
        if name is None:
            ON_SERVER[word](truth)
        else:
            ON_OBJECTS[word](truth, name)
        for _ in range(turns):
            await asyncio.sleep(0)
        if store.synced:
            assert state_of(store.list()) == truth.at[store.version]
        await eager.catch_up()
    truth.stalled = False
    truth.refusals.clear()
    truth.bookmark()
    await settle(truth, store, task)
    assert state_of(store.list()) == truth.state
    for follower in (eager, slow):
        await follower.catch_up()
        assert state_of(list(follower.copy.values())) == truth.state
    task.cancel()
    await asyncio.wait([task])


async def settle(truth: Truth, store: Store[Job], task: asyncio.Task[None]) -> None:
    for turn in range(500):
        if store.synced and store.version == truth.version:
            return
        assert not task.done(), task.exception()
        if turn % 50 == 49:
            truth.bookmark()
        await asyncio.sleep(0)
    raise AssertionError(f"the store stays at {store.version}, the truth is at {truth.version}")


def test_any_history_ends_in_the_truth() -> None:
    with asyncio.Runner() as runner:

        @settings(max_examples=1500, deadline=None)
        @given(st.lists(steps, max_size=40), st.integers(0, 2**32))
        def check(history: list[tuple[tuple[str, str | None], int]], seed: int) -> None:
            runner.run(live(history, seed))

        check()
