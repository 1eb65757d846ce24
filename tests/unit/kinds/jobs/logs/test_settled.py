"""A log says that it is complete only where every pod that ran has left something, or is still there to be asked."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.unit.kinds.workloads import parts_of

from longshore.archive.log_chunk import Chunk
from longshore.archive.logs import End, LogStream
from longshore.errors import Retry
from longshore.kinds.jobs import model
from longshore.kinds.jobs.logs import settled as module
from longshore.kinds.jobs.logs.live import Tails
from longshore.kinds.jobs.logs.settled import GONE_PATIENCE, HANGING, LOST_ATTEMPTS, settled, view_of
from longshore.kinds.jobs.logs.source import POD_GONE
from longshore.kube.objects import Condition, Job, JobStatus, ObjectMeta, Pod

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


@pytest.mark.parametrize(
    ("waited", "collected", "ends"),
    [
        (GONE_PATIENCE - timedelta(seconds=1), False, False),
        (GONE_PATIENCE + timedelta(seconds=1), False, True),
        (HANGING - timedelta(seconds=1), True, False),  # it may have waited for an archive that was away
        (HANGING + timedelta(seconds=1), True, True),
    ],
)
async def test_a_log_is_not_ended_by_others_while_its_collector_has_more_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waited: timedelta, collected: bool, ends: bool
) -> None:
    async def is_collected(*_: object) -> bool:
        return collected

    monkeypatch.setattr(Tails, "is_collected", is_collected)
    monkeypatch.setattr(module, "SETTLE_SECONDS", 60.0)
    meta = ObjectMeta(name="j1", namespace="tenant-a", uid="u", labels={model.LABEL_TENANT: "a"})
    job = Job(metadata=meta, status=JobStatus(conditions=(Condition("Complete", "True", last_transition_time=AT),)))
    parts = parts_of(tmp_path, lambda: AT + waited)
    archive = parts.archive
    await archive.logs.append("a", "j1", ONE.name, Chunk(0, b"one\n", [b"t"]))
    with pytest.raises(Retry):
        await settled(parts, job, [])
    end = await archive.logs.end("a", "j1", ONE.name)
    assert (end is not None) == ends
    if end is not None:
        assert (end.size, end.complete, end.why) == (4, False, POD_GONE)
        assert (await settled(parts, job, [])).why == f"{ONE.name}: {POD_GONE}"
