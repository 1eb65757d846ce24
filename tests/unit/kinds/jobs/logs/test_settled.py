"""A log says that it is complete only where every pod that ran has left something, or is still there to be asked."""

from datetime import UTC, datetime

import pytest

from longshore.archive.logs import End, LogStream
from longshore.kinds.jobs.logs.settled import LOST_ATTEMPTS, view_of
from longshore.kube.objects import ObjectMeta, Pod

AT = datetime(2026, 1, 1, tzinfo=UTC)
ONE = LogStream("20260101T000000Z.aaaaa.main", 4, End(4))
ITS_SIDECAR = LogStream("20260101T000000Z.aaaaa.longshore-send", 0, End(0))
THERE = Pod(metadata=ObjectMeta(name="j1-bbbbb", creation_timestamp=AT))


@pytest.mark.parametrize(
    ("streams", "pods", "ran", "lost"),
    [
        ([ONE], [], 1, 0),
        ([ONE, ITS_SIDECAR], [], 2, 1),  # of the first attempt there is nothing at all
        ([ONE, ITS_SIDECAR], [THERE], 2, 0),  # it is there and never started, or it would have a stream
        ([], [THERE], 1, 0),
        ([], [], 2, 2),
        ([], [], 0, 0),
    ],
)
def test_attempts_of_which_nothing_was_kept_are_named(
    streams: list[LogStream], pods: list[Pod], ran: int, lost: int
) -> None:
    view = view_of(streams, pods, ran=ran)
    assert view.complete == (lost == 0)
    assert view.why == (f"log: {lost} of {ran} {LOST_ATTEMPTS}" if lost else None)
