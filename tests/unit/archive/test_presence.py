"""Whoever can do without the archive learns quickly that it is away, and only one at a time waits to see it back."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from longshore.archive import presence
from longshore.archive.presence import AGAIN, Presence
from longshore.errors import Unavailable

START = datetime(2026, 11, 28, 12, tzinfo=UTC)


class World:
    def __init__(self) -> None:
        self.seconds = 0.0
        self.asked = 0
        self.away = False
        self.presence = Presence(lambda: START + timedelta(seconds=self.seconds), self.asking, lambda: self.seconds)

    async def asking(self) -> str:
        """Something large or the small question, both of which cost one."""
        self.asked += 1
        if self.away:
            raise Unavailable("away")
        return "here"

    async def ask(self) -> str:
        return await self.presence.ask(self.asking)


async def test_one_that_is_away_is_asked_seldom_and_it_is_told_since_when() -> None:
    world = World()
    assert await world.ask() == "here"
    world.away = True
    for _ in range(5):
        with pytest.raises(Unavailable, match="since 2026-11-28T12:00:00Z"):
            await world.ask()
    assert world.asked == 3  # and whether it is there at all
    world.seconds += AGAIN
    with pytest.raises(Unavailable, match="since 2026-11-28T12:00:00Z"):
        await world.ask()
    assert (world.asked, world.presence.away_since) == (4, START)
    world.away = False
    world.seconds += AGAIN
    assert await world.ask() == "here"
    assert (world.asked, world.presence.away_since) == (6, None)


async def test_one_that_does_not_answer_is_away_and_one_caller_alone_waits_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(presence, "PATIENCE", 0.0)
    monkeypatch.setattr(presence, "AWAY_PATIENCE", 0.0)
    never = asyncio.Event()
    world = World()
    silent = Presence(lambda: START, never.wait, lambda: world.seconds)
    with pytest.raises(Unavailable, match="since"):
        await silent.ask(never.wait)
    world.seconds += AGAIN
    monkeypatch.setattr(presence, "AWAY_PATIENCE", 60.0)
    monkeypatch.setattr(presence, "PATIENCE", 60.0)
    waiting = asyncio.ensure_future(silent.ask(world.asking))
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="since"):
        await silent.ask(world.asking)
    assert world.asked == 0
    never.set()
    assert await waiting == "here"
    assert await silent.ask(world.asking) == "here"


async def test_whose_own_question_takes_too_long_is_refused_and_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    world, never = World(), asyncio.Event()
    monkeypatch.setattr(presence, "PATIENCE", 0.0)
    with pytest.raises(Unavailable, match="took longer") as refused:
        await world.presence.ask(never.wait)
    assert "ask for less" in (refused.value.hint or "")
    assert world.presence.away_since is None
    monkeypatch.setattr(presence, "PATIENCE", 60.0)
    assert await world.ask() == "here"


async def test_who_gives_up_waiting_leaves_the_turn_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "AWAY_PATIENCE", 0.0)
    world, never = World(), asyncio.Event()
    turns = Presence(lambda: START, never.wait, lambda: world.seconds)
    world.away = True
    with pytest.raises(Unavailable):
        await turns.ask(world.asking)
    world.seconds += AGAIN
    monkeypatch.setattr(presence, "AWAY_PATIENCE", 60.0)
    waiting = asyncio.ensure_future(turns.ask(world.asking))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    world.away = False
    never.set()
    assert await turns.ask(world.asking) == "here"
