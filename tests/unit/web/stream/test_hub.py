"""Whatever happens in whatever order, a client ends up with what is so, and numbers only grow."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.web.stream.board import All, Board, Rows

from longshore.web.stream import follow as follows
from longshore.web.stream.follow import Follow
from longshore.web.stream.messages import parse_position, position
from longshore.web.stream.outbox import Change, Outbox
from longshore.web.stream.reader import Reader
from longshore.web.stream.ring import Mark, Ring

KEYS = st.sampled_from(["a1", "a2", "a3", "b1", "b2"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), KEYS, st.integers(0, 9)),
        st.tuples(st.just("drop"), KEYS),
        st.sampled_from([("block",), ("unblock",), ("leave",), ("come",)]),
    ),
    max_size=60,
)


class Client:
    """What one reader makes of what it is sent, over several connections."""

    def __init__(self, board: Board, scope: str | None) -> None:
        self.board = board
        self.scope = scope
        self.known: dict[str, int] = {}
        self.position: str | None = None
        self.cut = 0
        self._open = True
        self._seq = 0
        self._follow: Follow | None = None
        self._reader: Reader | None = None

    async def come(self) -> None:
        """As `socket` does it: join, then what was missed or a snapshot, then what came meanwhile."""
        if self._follow is not None:
            return
        hub = self.board.hub
        self._seq, self._open = 0, True
        self._reader = reader = Reader(self._offer, self._let_go, patience=60)
        self._follow = Follow(hub, reader, "s", All(self.board, self.scope), lambda: None)
        with reader.hold():
            self._follow.begin()
            here, after = hub.seq, parse_position(self.position)
            missed = hub.missed(after, self._follow)
            if missed is not None:
                assert after is not None
                for change in missed:
                    self._take(change)
            else:
                before = hub.seq
                self.known = dict((await self._follow.interest.snapshot())["things"])
                assert before >= here
            self._seq = here
            self.position = position(hub.epoch, here)

    def leave(self) -> None:
        if self._follow is not None and self._reader is not None:
            self._reader.end()
            self._follow.end()
            self._follow = self._reader = None

    def open(self, yes: bool) -> None:
        self._open = yes
        if yes and self._reader is not None:
            self._reader.drained()

    def _offer(self, change: Change) -> bool:
        if self._open:
            self._take(change)
            assert change.seq > self._seq, "numbers only grow"
            self._seq = change.seq
            self.position = position(self.board.hub.epoch, change.seq)
        return self._open

    def _take(self, change: Change) -> None:
        said: dict[str, Any] = msgspec.json.decode(change.text)
        assert self.scope in (None, said["key"][0]), "what is another's is never sent"
        if said["value"] == "gone":
            self.known.pop(said["key"], None)
        else:
            self.known[said["key"]] = said["value"]

    def _let_go(self) -> None:
        self.cut += 1


@given(STEPS, st.sampled_from(["a", None]), st.sampled_from([2, 20_000]))
def test_a_client_ends_up_with_what_is_so(steps: list[Any], scope: str | None, bound: int) -> None:
    async def play() -> None:
        board = Board(bound=bound)
        client = Client(board, scope)
        await client.come()
        for what, *how in steps:
            if what in ("put", "drop"):
                getattr(board, what)(*how)
            elif what == "come":
                await client.come()
            elif what == "leave":
                client.leave()
            else:
                client.open(what == "unblock")
        await client.come()
        client.open(True)
        assert client.known == board.of(scope)
        client.leave()
        assert client.cut == 0

    asyncio.run(play())


@given(st.lists(KEYS, max_size=40), st.integers(0, 40), st.integers(1, 6))
def test_the_ring_knows_exactly_what_changed_since_or_says_that_it_does_not(
    keys: list[str], since: int, bound: int
) -> None:
    ring = Ring(bound)
    for seq, key in enumerate(keys, 1):
        ring.add(Mark(seq, key, key[0], (), None))
    newest = {key: seq for seq, key in enumerate(keys, 1)}
    truth = sorted((seq, key) for key, seq in newest.items() if seq > since)
    missed = ring.since(since)
    if missed is None:
        assert since < len(keys)
        assert len(truth) > len(ring) or since < ring.floor
    else:
        assert [(mark.seq, mark.key) for mark in missed] == truth
    assert len(ring) <= bound
    if len(newest) <= bound:
        assert missed is not None


async def test_a_change_is_made_into_a_message_once_for_all_and_not_at_all_for_nobody() -> None:
    board = Board()
    board.put("a1", 1)
    assert board.views == 0
    got: list[Change] = []

    def offer(change: Change) -> bool:
        got.append(change)
        return True

    readers = [Reader(offer, lambda: None) for _ in range(100)]
    follows = [Follow(board.hub, reader, "s", All(board, "a"), lambda: None) for reader in readers]
    twice = Follow(board.hub, readers[0], "t", All(board, None), lambda: None)
    for follow in (*follows, twice):
        follow.begin()
    board.put("a1", 2)
    assert board.views == 1
    assert len(got) == 100  # once for each reader, also where two of its subscriptions want it
    assert len({id(change) for change in got}) == 1


async def test_who_takes_nothing_for_too_long_or_leaves_too_much_is_let_go_once() -> None:
    board = Board()
    gone = [asyncio.Event(), asyncio.Event()]
    slow = Reader(lambda _: False, gone[0].set, patience=0.05)
    full = Reader(lambda _: False, gone[1].set, patience=600)
    for reader in (slow, full):
        Follow(board.hub, reader, "s", All(board, "a"), lambda: None).begin()
    board.put("a1", 1)
    async with asyncio.timeout(30):
        await gone[0].wait()
    assert not gone[1].is_set()
    for number in range(3_000):
        board.put(f"a{number}", 1)
    assert gone[1].is_set()


def test_of_each_thing_only_the_newest_waits() -> None:
    outbox = Outbox(bound=2)
    for seq, key in enumerate(["x", "y", "x"], 1):
        assert outbox.put(Change(seq, key, b""))
    assert not outbox.put(Change(4, "z", b""))
    assert [change.seq for change in iter(outbox.pop, None)] == [2, 3, 4]


async def test_rows_are_news_and_what_is_not_among_them_is_one_hint_in_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    board = Board()
    board.put("a1", 1)
    monkeypatch.setattr(follows, "HINT_SECONDS", 0.05)
    got: list[Change] = []
    hinted = asyncio.Event()

    def offer(change: Change) -> bool:
        got.append(change)
        if change.seq == 0:
            hinted.set()
        return True

    follow = Follow(board.hub, Reader(offer, lambda: None), "list", Rows(board, "a"), lambda: None)
    follow.begin()
    await follow.interest.snapshot()
    board.put("a1", 2)
    for number in range(2, 50):
        board.put(f"a{number}", 1)
    async with asyncio.timeout(30):
        await hinted.wait()
    assert [msgspec.json.decode(change.text)["type"] for change in got] == ["thing", "changed"]
    follow.end()
