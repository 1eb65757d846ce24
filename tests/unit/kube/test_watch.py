"""The state machine, with plain values: what it asks for next, and how long it waits before that."""

from random import Random

import pytest

from longshore.errors import Forbidden, Gone, LongshoreError, NotFound, TooManyRequests, Unavailable, UserMistake
from longshore.kube.watch import ListPage, NeverComplete, Pace, Stream, Watch

PAGED = Pace(initial=0)


def listed(seed: int = 1) -> Watch:
    """One that has listed and is about to watch."""
    watch = Watch(PAGED, Random(seed))
    watch.listed("")
    return watch


def test_it_begins_with_a_streamed_list_at_once() -> None:
    step = Watch(Pace(), Random(1)).step
    assert isinstance(step, Stream)
    assert (step.wait, step.initial) == (0, 60)


def test_a_streamed_list_that_is_complete_goes_on_as_a_stream() -> None:
    watch = Watch(Pace(), Random(1))
    watch.opened()
    watch.bore()
    watch.completed()
    watch.ended(250, None)
    assert isinstance(watch.step, Stream)
    assert (watch.step.wait, watch.step.initial) == (0, 0)


@pytest.mark.parametrize("error", [NeverComplete(""), UserMistake(""), NotFound("")])
def test_a_server_without_streamed_lists_is_asked_for_pages_for_good(error: LongshoreError) -> None:
    watch = Watch(Pace(), Random(1))
    watch.ended(60, error)
    for _ in range(3):
        assert isinstance(watch.step, ListPage)
        watch.listed("")
        watch.ended(0, Gone(""))


@pytest.mark.parametrize("error", [Gone(""), Unavailable(""), TooManyRequests(""), Forbidden(""), None])
def test_streamed_lists_that_break_off_twice_are_paged_once(error: LongshoreError | None) -> None:
    watch = Watch(Pace(), Random(1))
    steps = []
    for _ in range(3):
        steps.append(type(watch.step))
        if isinstance(watch.step, Stream):
            watch.ended(20, error)
    assert steps == [Stream, Stream, ListPage]
    watch.listed("")
    watch.ended(0, Gone(""))
    assert isinstance(watch.step, Stream)
    assert watch.step.initial


def test_without_streamed_lists_it_begins_with_the_first_page_at_once() -> None:
    assert Watch(PAGED, Random(1)).step == ListPage(0, None, 500)


def test_a_page_that_continues_leads_to_the_next_one() -> None:
    watch = Watch(PAGED, Random(1))
    assert not watch.listed("more")
    assert watch.step == ListPage(0, "more", 500)
    assert watch.listed("")
    assert isinstance(watch.step, Stream)


@pytest.mark.parametrize("error", [Gone(""), UserMistake(""), NotFound("")])
def test_a_stream_that_is_refused_for_good_leads_to_a_list(error: LongshoreError) -> None:
    watch = listed()
    watch.ended(0, error)
    assert isinstance(watch.step, ListPage)
    assert watch.step.continue_ is None


@pytest.mark.parametrize("error", [Unavailable(""), Forbidden("")])
def test_a_stream_that_fails_for_now_is_resumed_however_often(error: LongshoreError) -> None:
    watch = listed()
    for _ in range(20):
        watch.ended(0, error)
    assert isinstance(watch.step, Stream)


def test_three_streams_that_bore_nothing_lead_to_a_list() -> None:
    watch = listed()
    steps = []
    for _ in range(3):
        watch.opened()
        watch.ended(250, None)
        steps.append(type(watch.step))
    assert steps == [Stream, Stream, ListPage]


def test_a_stream_that_bore_something_clears_its_version() -> None:
    watch = listed()
    for _ in range(20):
        watch.opened()
        watch.bore()
        watch.ended(250, None)
    assert isinstance(watch.step, Stream)


def test_a_stream_that_lived_ends_the_backing_off() -> None:
    watch = listed()
    for _ in range(20):
        watch.ended(0, Unavailable(""))
    watch.ended(11, Unavailable("", retry_after=0))
    assert watch.step.wait <= 1


def test_a_list_does_not_end_the_backing_off() -> None:
    """A server that lists well and then breaks every stream is not asked for lists all the time."""
    waits = []
    watch = Watch(PAGED, Random(3))
    for _ in range(50):
        watch.listed("")
        watch.ended(0, Gone(""))
        waits.append(watch.step.wait)
    assert sum(waits) > 10 * len(waits)


def test_a_refused_page_begins_the_list_anew() -> None:
    watch = Watch(PAGED, Random(1))
    watch.listed("more")
    watch.list_failed(UserMistake(""))
    assert (watch.step.continue_, watch.step.limit) == (None, 500)  # type: ignore[union-attr]


def test_pages_that_expire_lead_to_a_list_in_one_piece_until_one_is_in() -> None:
    watch = Watch(PAGED, Random(1))
    watch.listed("more")
    watch.list_failed(Gone(""))
    assert (watch.step.continue_, watch.step.limit) == (None, None)  # type: ignore[union-attr]
    watch.list_failed(Unavailable("too much for one answer"))
    assert (watch.step.continue_, watch.step.limit) == (None, 500)  # type: ignore[union-attr]
    watch.listed("more")
    watch.list_failed(Gone(""))
    watch.listed("")
    watch.ended(0, Gone(""))
    assert watch.step.limit == 500  # type: ignore[union-attr]
