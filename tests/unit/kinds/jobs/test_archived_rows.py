"""A list says of a job in the archive what it said of it in the cluster, whichever way its line came about."""

from datetime import timedelta

import msgspec
import pytest
from tests.unit.kinds import workloads
from tests.unit.kinds.workloads import T0, ended, pod

from longshore.archive.batch import Entry
from longshore.archive.compaction import newer
from longshore.archive.records import Recorded
from longshore.cli.listing import row
from longshore.kinds.jobs.archiver import entry_of
from longshore.kinds.jobs.record import JobRecord
from longshore.kinds.jobs.request import JobRequest
from longshore.kinds.jobs.view import record_of, summary_of
from longshore.kube.objects import Condition
from longshore.sdk import Job

EARLIER = b'{"uid":"u","id":"j","kind":"job","tenant":"a","name":"n","created":"2026-01-01T00:00:00Z","finished":null,'
EARLIER += b'"status":"Failed","reason":"Error","tags":{}}'


def failed() -> JobRecord:
    finished = T0 + timedelta(seconds=90)
    counted = Condition("Failed", "True", reason="BackoffLimitExceeded", last_transition_time=finished)
    job = workloads.job(counted, request=JobRequest(name="n", image="i", tags={"k": "v"}))
    record = record_of(job, [pod("Failed", ended(3))], tenant_id="a")
    return msgspec.structs.replace(record, started=T0 + timedelta(seconds=5))


def seen(said: object) -> Job:
    """As a client reads it."""
    return msgspec.json.decode(msgspec.json.encode(said), type=Job)


def test_a_row_reads_the_same_from_the_archive() -> None:
    record = failed()
    live = row(seen(record), wide=False)
    assert "1m 25s" in live
    assert "The command ended with exit code 3" in live
    assert row(seen(summary_of(entry_of(record, "a"), "a"))) == live


@pytest.mark.parametrize("message", ["", "short", "x" * 160, "x" * 161, "ü" * 5000])
def test_a_list_made_anew_of_the_records_has_the_same_lines(message: str) -> None:
    record = msgspec.structs.replace(failed(), message=message)
    kept = msgspec.json.decode(msgspec.json.encode(record), type=Recorded)
    line = kept.entry("a")
    assert line == entry_of(record, "a")
    assert line.message is not None
    assert len(line.message) <= 160
    assert line.message == message or (len(message) > 160 and line.message == message[:156] + " ...")


def test_a_line_of_an_earlier_version_is_read_and_gives_way_to_one_that_tells_more() -> None:
    earlier = msgspec.json.decode(EARLIER, type=Entry)
    assert (earlier.started, earlier.message) == (None, None)
    assert row(seen(summary_of(earlier, "a")))[-2:] == (None, "")
    for more in ({"message": "m"}, {"message": "m", "started": T0}):
        later = msgspec.structs.replace(earlier, **more)
        assert newer(earlier, later) == newer(later, earlier) == later
