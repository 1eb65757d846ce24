"""Tickets are good once and for a while, at every replica that knows the key, and nobody else can make or read one."""

import base64

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from longshore.errors import Unauthenticated
from longshore.web.stream import tickets as module
from longshore.web.stream.tickets import SKEW_SECONDS, TICKET_SECONDS, Tickets, shown_by

KEY = bytes(range(32))


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def replica(clock: Clock, key: bytes | None = KEY) -> Tickets:
    return Tickets(lambda: key, clock)


def test_a_ticket_is_good_once_and_for_30_seconds() -> None:
    clock = Clock()
    tickets = replica(clock)
    one, late = tickets.issue("a"), tickets.issue("a")
    assert one != late
    assert tickets.redeem(one) == "a"
    assert tickets.redeem(one) is None
    clock.now += TICKET_SECONDS
    assert tickets.redeem(late) is None


def test_a_ticket_is_good_at_every_replica_that_knows_the_key_and_at_no_other() -> None:
    clock = Clock()
    here, there = replica(clock), replica(clock)
    ticket = here.issue("ls_key")
    assert there.redeem(ticket) == "ls_key"
    assert there.redeem(ticket) is None
    for stranger in (replica(clock, bytes(32)), replica(clock, None)):
        assert stranger.redeem(here.issue("a")) is None
    assert "ls_key" not in ticket
    assert b"ls_key" not in base64.urlsafe_b64decode(f"{ticket}{'=' * (-len(ticket) % 4)}")


def test_before_the_key_is_known_a_ticket_is_good_where_it_was_made_also_afterwards() -> None:
    clock = Clock()
    keys: list[bytes | None] = [None]
    tickets = Tickets(lambda: keys[0], clock)
    early, other = tickets.issue("a"), tickets.issue("b")
    assert tickets.redeem(early) == "a"
    keys[0] = KEY
    assert tickets.redeem(other) == "b"


def test_clocks_that_differ_by_much_are_not_believed() -> None:
    early, late = Clock(), Clock()
    late.now += TICKET_SECONDS + SKEW_SECONDS + 1
    assert replica(early).redeem(replica(late).issue("a")) is None
    assert replica(late).redeem(replica(early).issue("a")) is None


def test_what_is_remembered_of_used_ones_is_bounded_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_USED", 100)
    clock = Clock()
    tickets = replica(clock)
    for _ in range(150):
        assert tickets.redeem(tickets.issue("a")) == "a"
    assert len(tickets._used) == 100
    clock.now += TICKET_SECONDS + SKEW_SECONDS
    last = tickets.issue("a")
    assert tickets.redeem(last) == "a"
    assert tickets.redeem(last) is None
    assert len(tickets._used) == 1


@given(st.one_of(st.text(), st.text(alphabet="abcXYZ019-_", max_size=200)))
@example("\ud800")
@example("A" * 54)
def test_what_is_none_of_ours_opens_nothing(text: str) -> None:
    assert replica(Clock()).redeem(text) is None


@given(st.data())
def test_a_ticket_that_was_changed_opens_nothing(data: st.DataObject) -> None:
    tickets = replica(Clock())
    raw = bytearray(base64.urlsafe_b64decode(tickets.issue("123456")))  # 42 bytes, so that nothing is padded
    place, bit = data.draw(st.integers(0, len(raw) - 1)), data.draw(st.integers(0, 7))
    raw[place] ^= 1 << bit
    assert tickets.redeem(base64.urlsafe_b64encode(raw).decode().rstrip("=")) is None


def test_an_empty_key_is_none() -> None:
    with pytest.raises(Unauthenticated):
        shown_by(Headers(), ["longshore", "bearer."], Tickets())
