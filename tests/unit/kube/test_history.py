"""Whatever the history and however the server fails, the store ends equal to the truth and so does every reader.

hypothesis drives a model of the API server (`truth`) through random histories and faults, and shrinks one that goes
wrong to the fewest steps. Most of its time goes into choosing, so many more histories are chosen by dice; these are
others in each run, and one that goes wrong is named by its seed. Each step is followed by a few turns of the event
loop, so that writes fall between the pages of a list and between the pieces of a stream. After each the store must
equal the truth as of the store's own version.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from random import Random
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from longshore.errors import Forbidden, TooManyRequests, Unavailable
from longshore.kube.objects import JOBS, Job
from longshore.kube.reflector import Reflector
from longshore.kube.store import Delta, Order, Overflowed, Store
from longshore.kube.watch import Pace

from .conftest import Clock
from .truth import State, Streaming, Truth

R = TypeVar("R")
STEPS = 40
MOST_TURNS = 12
NAMES = "abcde"
OF_ONE = (Truth.write, Truth.delete, Truth.recreate, Truth.spoil)
OF_ALL = (Truth.elsewhere, Truth.expire, Truth.compact, Truth.bookmark, Truth.echo)
OF_STREAMS = (Truth.end_streams, Truth.cut_streams, Truth.expire_streams, Truth.restore)
REFUSALS = (Forbidden, TooManyRequests, Unavailable)
turns_taken = st.integers(0, MOST_TURNS)


def state_of(objects: list[Job]) -> State:
    return {obj.metadata.name: (int(obj.metadata.resource_version), obj.metadata.uid) for obj in objects}


def parity(obj: Job) -> str:
    """An index whose value changes with almost every write."""
    return str(int(obj.metadata.resource_version) % 2)


def by_version(obj: Job) -> str:
    return obj.metadata.resource_version.zfill(12)


def in_order(objects: list[Job]) -> list[Job]:
    """By version, and by uid where a history that was replaced had the same version."""
    return sorted(objects, key=lambda obj: (by_version(obj), obj.metadata.uid))


class Follower:
    """A reader that keeps its own copy from the deltas alone, and is strict about them."""

    def __init__(self, store: Store[Job], bound: int, under: str | None = None) -> None:
        self._store = store
        self._bound = bound
        self._under = under and ("parity", under)
        self.may_go_back = False
        self._begin()

    def _begin(self) -> None:
        self._changes = self._store.subscribe(self._under or None, bound=self._bound)
        self.copy = {f"ns/{obj.metadata.name}": obj for obj in self._changes.snapshot}
        self._seq = self._changes.seq

    async def catch_up(self) -> None:
        while self._changes.seq < self._store.seq:
            try:
                async with asyncio.timeout(0):
                    deltas = await self._changes.next()
            except Overflowed:
                self._begin()
            except TimeoutError:
                return  # what is left came and went, or is of another group
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
            newer = int(delta.old.metadata.resource_version) < int(delta.new.metadata.resource_version)
            assert newer or self.may_go_back
        self.copy[delta.key] = delta.new


class History(RuleBasedStateMachine):
    """One server, one reflector, and readers of its store that are quick, slow, or want a part of it."""

    loop: asyncio.AbstractEventLoop

    def __init__(self) -> None:
        super().__init__()
        self.truth = Truth()

    @initialize(
        seed=st.integers(0, 2**16), streaming=st.sampled_from(Streaming), paged=st.booleans(), slow=st.booleans()
    )
    def begin(self, seed: int, streaming: Streaming, paged: bool, slow: bool) -> None:
        self.truth.rng.seed(seed)
        self.truth.streaming, self.truth.hesitant = streaming, slow
        self.do(self.start(Random(seed), Pace(page=2, initial=0 if paged else 60)))

    async def start(self, rng: Random, pace: Pace) -> None:
        clock = Clock()
        self.store: Store[Job] = Store(JOBS, {"parity": parity}, {"version": Order(by_version, within="parity")})
        self.followers = [Follower(self.store, bound=100), Follower(self.store, bound=2)]
        self.followers += [Follower(self.store, bound=100, under="0"), Follower(self.store, bound=2, under="1")]
        reflector = Reflector(self.truth, self.store, clock=clock, sleep=clock.sleep, rng=rng, pace=pace)
        self.task = asyncio.create_task(reflector.run())

    def do(self, coroutine: Coroutine[Any, Any, R]) -> R:
        return self.loop.run_until_complete(coroutine)  # a Runner would handle signals, each time

    @rule(name=st.sampled_from(NAMES), turns=turns_taken, how=st.sampled_from(OF_ONE))
    def change(self, name: str, turns: int, how: Any) -> None:
        how(self.truth, name)
        self.do(turn(turns))

    @rule(turns=turns_taken, what=st.sampled_from(OF_ALL))
    def go_on(self, turns: int, what: Any) -> None:
        what(self.truth)
        self.do(turn(turns))

    @rule(turns=turns_taken, how=st.sampled_from(OF_STREAMS))
    def break_off(self, turns: int, how: Any) -> None:
        if how is Truth.restore:
            for follower in self.followers:
                follower.may_go_back = True
        how(self.truth)
        self.do(turn(turns))

    @rule(turns=turns_taken, kind=st.sampled_from(REFUSALS))
    def refuse(self, turns: int, kind: type[Forbidden]) -> None:
        self.truth.refusals.append(kind("told so"))
        self.do(turn(turns))

    @rule(stalled=st.booleans(), hesitant=st.booleans())
    def turn_slow(self, stalled: bool, hesitant: bool) -> None:
        self.truth.stalled, self.truth.hesitant = stalled, hesitant

    @rule()
    def the_quick_catch_up(self) -> None:
        for follower in self.followers[::2]:
            self.do(follower.catch_up())

    @invariant()
    def the_store_is_the_truth_of_its_version(self) -> None:
        if hasattr(self, "store") and self.store.synced:
            seen = state_of(self.store.list())
            assert any(moment.shows(seen) for moment in self.truth.at[self.store.version])

    @invariant()
    def pages_and_groups_are_the_store_in_order(self) -> None:
        if not hasattr(self, "store"):
            return
        everything = in_order(self.store.list())
        assert self.walk(None) == everything
        for value in "01":
            assert self.walk(value) == [obj for obj in everything if parity(obj) == value]
            assert in_order(self.store.by("parity", value)) == self.walk(value)

    def walk(self, value: str | None) -> list[Job]:
        found, listing = [], self.store.page("version", value, limit=2)
        while True:
            found += listing.items
            if listing.next is None:
                return found
            listing = self.store.page("version", value, limit=2, after=listing.next)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            try:
                self.do(self.end())
            finally:
                self.task.cancel()
                self.do(asyncio.wait([self.task]))

    async def end(self) -> None:
        self.truth.stalled = self.truth.hesitant = False
        self.truth.refusals.clear()
        await self.settle()
        for follower in self.followers:
            await follower.catch_up()
        whole = {f"ns/{obj.metadata.name}": obj for obj in self.store.list()}
        parts = [whole, whole, *({k: obj for k, obj in whole.items() if parity(obj) == value} for value in "01")]
        assert [follower.copy for follower in self.followers] == parts

    async def settle(self) -> None:
        """The server is well again and, now and then, says how far it is; a list that never ends is given up."""
        for round_ in range(1000):
            if self.store.version == self.truth.version and self.truth.now.shows(state_of(self.store.list())):
                return
            assert not self.task.done(), self.task.exception()
            if round_ % 40 == 39:
                self.truth.bookmark()
            if round_ % 200 == 199:
                self.truth.end_streams()
            await asyncio.sleep(0)
        raise AssertionError(f"the store stays at {self.store.version}, the truth is at {self.truth.version}")


async def turn(times: int) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


Move = Callable[[History, Random], object]


def moves(rng: Random) -> list[Move]:
    """What a history by dice is made of: some of all there is, for what happens all the time hides what is rare."""

    def turns(rng: Random) -> int:
        return rng.randint(0, MOST_TURNS)

    some: list[Move] = [
        lambda history, rng: history.change(rng.choice(NAMES), turns(rng), rng.choice(OF_ONE)),
        lambda history, rng: history.go_on(turns(rng), rng.choice(OF_ALL)),
        lambda history, rng: history.break_off(turns(rng), rng.choice(OF_STREAMS)),
        lambda history, rng: history.refuse(turns(rng), rng.choice(REFUSALS)),
        lambda history, rng: history.turn_slow(rng.random() < 0.5, rng.random() < 0.5),
        lambda history, _: history.the_quick_catch_up(),
    ]
    return [some[0], *rng.sample(some[1:], rng.randint(1, len(some) - 1))]


def live(history: History, rng: Random) -> None:
    chosen = moves(rng)
    try:
        history.begin(rng.randrange(2**16), rng.choice(list(Streaming)), rng.random() < 0.5, rng.random() < 0.5)
        for _ in range(rng.randint(1, STEPS)):
            rng.choice(chosen)(history, rng)
            history.the_store_is_the_truth_of_its_version()
            history.pages_and_groups_are_the_store_in_order()
    finally:
        history.teardown()


@pytest.fixture(autouse=True)
def _a_loop_of_its_own() -> Iterator[None]:
    with asyncio.Runner() as runner:
        History.loop = runner.get_loop()
        yield


def test_any_history_ends_in_the_truth() -> None:
    many = settings(max_examples=300, stateful_step_count=STEPS, deadline=None)
    run_state_machine_as_test(History, settings=many)  # type: ignore[no-untyped-call]


def test_two_thousand_histories_by_dice_end_in_the_truth() -> None:
    first = Random().randrange(2**32)
    for seed in range(first, first + 2000):
        try:
            live(History(), Random(seed))
        except Exception as error:
            error.add_note(f"by the seed {seed}")
            raise
