"""Who has been silent for too long: by a clock that is told, and never by what could not have been heard."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from longshore.kinds.tasks.silence import CHECK_SECONDS, LIMIT_SECONDS, Promise, Verdict, overslept, verdicts

TIMES = st.floats(0, 10_000)


def test_silence_is_judged_at_its_limit_and_not_before() -> None:
    promise = Promise("t", since=100.0, beat=200.0, retries_left=2)
    assert verdicts([promise], 500.0, hears_since=0.0) == []
    assert verdicts([promise], 500.1, hears_since=0.0) == [Verdict("t", 500.1 - 200.0, again=True)]


def test_who_was_stopped_for_long_between_two_looks_has_overslept_and_who_is_a_little_late_has_not() -> None:
    assert not overslept(CHECK_SECONDS + 10, meant=CHECK_SECONDS, limit=LIMIT_SECONDS)
    assert overslept(CHECK_SECONDS + LIMIT_SECONDS, meant=CHECK_SECONDS, limit=LIMIT_SECONDS)


def test_after_the_last_retry_it_is_over() -> None:
    [verdict] = verdicts([Promise("t", 0.0, None, 0)], 301.0, hears_since=0.0)
    assert not verdict.again


@given(since=TIMES, beat=st.none() | TIMES, hears_since=st.none() | TIMES, now=TIMES)
def test_nobody_is_judged_who_may_have_been_unheard(
    since: float, beat: float | None, hears_since: float | None, now: float
) -> None:
    found = verdicts([Promise("t", since, beat, 1)], now, hears_since=hears_since)
    if found:
        assert hears_since is not None
        assert now - hears_since > LIMIT_SECONDS
        assert now - since > LIMIT_SECONDS
        assert beat is None or now - beat > LIMIT_SECONDS
    else:
        assert hears_since is None or now - max(since, hears_since, beat or 0) <= LIMIT_SECONDS


@given(beats=st.lists(st.integers(0, int(LIMIT_SECONDS)), max_size=20))
def test_who_beats_within_the_limit_is_never_judged(beats: list[int]) -> None:
    now, last = 0.0, 0.0
    for pause in beats:
        now += pause
        assert verdicts([Promise("t", 0.0, last, 0)], now, hears_since=0.0) == []
        last = now
