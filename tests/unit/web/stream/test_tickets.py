"""Tickets are good once and for a while, and those of one caller never push out another's."""

import pytest
from starlette.datastructures import Headers

from longshore.errors import TooManyRequests, Unauthenticated
from longshore.web.stream.tickets import MOST_EACH, TICKET_SECONDS, Tickets, shown_by


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_ticket_is_good_once_and_for_30_seconds() -> None:
    clock = Clock()
    tickets = Tickets(clock)
    one, late = tickets.issue("a"), tickets.issue("a")
    assert tickets.redeem(one) == "a"
    assert tickets.redeem(one) is None
    clock.now = TICKET_SECONDS
    assert tickets.redeem(late) is None


def test_who_asks_for_too_many_is_refused_and_others_keep_theirs() -> None:
    clock = Clock()
    tickets = Tickets(clock)
    others = tickets.issue("b")
    for _ in range(MOST_EACH - 1):
        tickets.issue("a")
    used = tickets.issue("a")
    with pytest.raises(TooManyRequests):
        tickets.issue("a")
    assert tickets.redeem(used) == "a"
    tickets.issue("a")
    assert tickets.redeem(others) == "b"
    clock.now = TICKET_SECONDS
    for _ in range(MOST_EACH):
        tickets.issue("a")


def test_an_empty_key_is_none() -> None:
    with pytest.raises(Unauthenticated):
        shown_by(Headers(), ["longshore", "bearer."], Tickets())
