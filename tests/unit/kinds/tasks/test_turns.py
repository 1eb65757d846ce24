"""Places in the service are shared in turns: nobody waits behind another tenant's queue, and no place is lost."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longshore.errors import TooManyRequests
from longshore.kinds.tasks.turns import Turns


async def settle() -> None:
    """Until everything that can go on has."""
    for _ in range(6):
        await asyncio.sleep(0)


class Desk:
    """Tasks of tenants, each in its place until it is told to end."""

    def __init__(self, places: int, each: int = 100, most: int = 1000) -> None:
        self.turns = Turns(places, each=each, most=most)
        self.order: list[str] = []
        self.running: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def come(self, name: str) -> None:
        """A task of the tenant that its first letter says."""
        self.turns.enter(name[0])
        self.tasks[name] = asyncio.ensure_future(self._live(name))
        self.tasks[name].add_done_callback(lambda _: self.turns.leave(name[0]))

    async def _live(self, name: str) -> None:
        async with self.turns.place(name[0]):
            self.order.append(name)
            self.running[name] = asyncio.Event()
            try:
                await self.running[name].wait()
            finally:
                del self.running[name]

    async def end(self, name: str) -> None:
        self.running[name].set()
        await settle()

    async def close(self) -> None:
        for task in self.tasks.values():
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)
        await settle()


async def test_tenants_take_turns_however_long_the_queue_of_one_is() -> None:
    desk = Desk(1)
    for name in ("a0", "a1", "a2", "a3", "b0", "b1", "c0"):
        desk.come(name)
    await settle()
    while desk.running:
        await desk.end(next(iter(desk.running)))
    assert desk.order == ["a0", "a1", "b0", "c0", "a2", "b1", "a3"]
    await desk.close()


async def test_each_tenant_has_its_own_bound_and_all_have_one() -> None:
    desk = Desk(1, each=2, most=4)
    for name in ("a0", "a1", "a2"):
        desk.come(name)
    with pytest.raises(TooManyRequests, match="your tasks"):
        desk.come("a3")
    for name in ("b0", "c0"):
        desk.come(name)
    await settle()
    with pytest.raises(TooManyRequests, match="too many tasks"):
        desk.come("d0")
    await desk.end("a0")
    desk.come("d0")
    await desk.close()


async def test_without_a_queue_there_is_room_only_while_a_place_is_free() -> None:
    desk = Desk(1, each=0, most=0)
    desk.come("a0")
    await settle()
    with pytest.raises(TooManyRequests):
        desk.come("b0")
    await desk.end("a0")
    desk.come("b0")
    await desk.close()


@settings(max_examples=100)
@given(st.integers(1, 3), st.lists(st.tuples(st.sampled_from(["come", "end", "cancel"]), st.integers(0, 30))))
async def test_no_place_is_lost_or_given_twice_and_none_is_empty_while_somebody_waits(
    places: int, steps: list[tuple[str, int]]
) -> None:
    desk, made = Desk(places), 0
    for step, number in steps:
        if step == "come":
            desk.come(f"{'abc'[number % 3]}{made}")
            made += 1
        elif step == "end" and desk.running:
            desk.running[sorted(desk.running)[number % len(desk.running)]].set()
        elif step == "cancel" and desk.tasks:
            sorted_names = sorted(desk.tasks)
            desk.tasks[sorted_names[number % len(sorted_names)]].cancel()
        if number % 2:
            await settle()
        assert len(desk.running) <= places
    await settle()
    there = [name for name, task in desk.tasks.items() if not task.done()]
    assert len(desk.running) == min(places, len(there))
    await desk.close()
    assert desk.turns._here == Counter()
    assert desk.turns._taken == 0
    assert not desk.turns._waiting
