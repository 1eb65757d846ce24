"""Waits between attempts."""

from random import Random

from longshore.kube.backoff import Backoff


def test_waits_are_uniform_below_a_ceiling_that_doubles_up_to_the_cap() -> None:
    rng = Random(1)
    ceilings = [1, 2, 4, 8, 16, 30, 30, 30]
    for _ in range(200):
        backoff = Backoff(1, 30, rng)
        assert all(0 <= backoff.next() <= ceiling for ceiling in ceilings)


def test_they_use_the_whole_range() -> None:
    backoff = Backoff(1, 30, Random(1))
    waits = sorted(backoff.next() for _ in range(1000))
    assert waits[100] < 5
    assert waits[900] > 25


def test_what_the_server_asked_for_is_the_least() -> None:
    assert all(Backoff(1, 30, Random(seed)).next(17) >= 17 for seed in range(50))


def test_after_a_success_they_begin_small_again() -> None:
    backoff = Backoff(1, 30, Random(1))
    for _ in range(2000):
        backoff.next()
    backoff.reset()
    assert backoff.next() <= 1
