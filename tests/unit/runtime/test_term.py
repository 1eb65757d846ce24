"""Until when a leader may act, by a clock that a test moves."""

from __future__ import annotations

import time

import pytest

from longshore.runtime.clock import boottime
from longshore.runtime.term import Term, TermOver

from .clock import FakeClock


@pytest.fixture
def term(clock: FakeClock) -> Term:
    return Term(clock.time() + 7.0, clock.time)


def test_a_leader_may_act_until_its_term_is_over(term: Term, clock: FakeClock) -> None:
    clock.advance(6.9)
    term.check()
    clock.advance(0.1)
    with pytest.raises(TermOver, match=r"ran out 0\.0 s ago"):
        term.check()


def test_a_machine_that_slept_for_a_night_finds_its_term_over(term: Term, clock: FakeClock) -> None:
    clock.advance(8 * 3600.0)
    with pytest.raises(TermOver, match=r"ran out 28793\.0 s ago"):
        term.check()


def test_a_renewal_extends_it_also_when_it_was_over_for_nobody_else_can_have_led(term: Term, clock: FakeClock) -> None:
    clock.advance(8.0)
    term.extend(clock.time() + 1.0)
    assert term.left == 1.0
    term.check()


def test_a_late_answer_to_an_early_renewal_does_not_shorten_it(term: Term, clock: FakeClock) -> None:
    term.extend(clock.time() - 100.0)
    assert term.left == 7.0


def test_once_the_leader_has_ended_it_nothing_brings_it_back(term: Term, clock: FakeClock) -> None:
    term.end()
    term.extend(clock.time() + 100.0)
    with pytest.raises(TermOver, match="no longer ours"):
        term.check()


def test_the_clock_of_terms_counts_sleep_as_well() -> None:
    awake, before = time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME)
    assert before <= boottime() <= time.clock_gettime(time.CLOCK_BOOTTIME)
    assert boottime() >= awake - 1.0
