"""Which index a pod, a stream and a failure are of."""

from __future__ import annotations

import string

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.kinds.workloads import ended, job, pod

from longshore.errors import UserMistake
from longshore.kinds.jobs import indexes, model
from longshore.kinds.jobs.logs.containers import told_by
from longshore.kinds.jobs.record import IndexCountsView, IndexFailureView
from longshore.kinds.jobs.state import failed_index, state_of
from longshore.kinds.jobs.view import record_of
from longshore.kube.objects import Condition, Job, Pod

WORD = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=8)


def of_index(pod: Pod, index: int, *, by_index: bool = True) -> Pod:
    labels = {**pod.metadata.labels, model.LABEL_INDEX: str(index)}
    annotations = {model.ANNOTATION_LOG: model.BY_INDEX} if by_index else {}
    return msgspec.structs.replace(
        pod, metadata=msgspec.structs.replace(pod.metadata, labels=labels, annotations=annotations)
    )


def failed_job(failed: str) -> Job:
    one = job(Condition("Failed", "True", reason="FailedIndexes"))
    return msgspec.structs.replace(one, status=msgspec.structs.replace(one.status, failed_indexes=failed))


@given(st.integers(0, 9_999), WORD, st.booleans())
def test_a_stream_keeps_container_attempt_and_the_index_of_jobs_that_have_one_in_names(
    index: int, container: str, by_index: bool
) -> None:
    one = of_index(pod("Running"), index, by_index=by_index)
    stream = model.stream_of(one, container)
    assert model.container_of(stream) == container
    assert model.attempt_of(stream) == model.attempt_of(model.stream_of(one, "other"))
    assert model.index_of(stream) == (index if by_index else None)


@given(WORD, WORD)
def test_a_stream_of_an_earlier_version_is_of_no_index(suffix: str, container: str) -> None:
    stream = f"20261120T200000Z.{suffix}.{container}"
    assert model.index_of(stream) is None
    assert model.container_of(stream) == container
    assert told_by([stream], container) == [stream]
    assert told_by([stream], container, 7) == []


def test_the_log_of_an_index_is_its_attempts_in_order() -> None:
    streams = [f"20261120T20000{at}Z.x{at}.{index}.main" for at, index in ((3, 1), (1, 1), (2, 0), (4, 11))]
    assert told_by(streams, None, 1) == [streams[1], streams[0]]
    assert told_by(streams, None) == sorted(streams)


@given(st.sets(st.integers(0, 60)), st.integers(0, 61))
def test_ranges_hold_what_was_put_in(members: set[int], index: int) -> None:
    starts = sorted(each for each in members if each - 1 not in members)
    ends = sorted(each for each in members if each + 1 not in members)
    ranges = ",".join(f"{a}-{b}" if a != b else str(a) for a, b in zip(starts, ends, strict=True))
    assert (index in indexes.Ranges(ranges)) is (index in members)
    assert len(indexes.Ranges(ranges)) == len(members)
    assert indexes.ranges_of(members) == ranges


def test_a_failed_job_tells_the_index_that_failed_for_good_and_not_a_newer_failure_that_was_made_good() -> None:
    pods = [
        of_index(pod("Failed", ended(3), age=9), 1),
        of_index(pod("Failed", ended(4), age=7), 1),
        of_index(pod("Failed", ended(9), age=5), 2),
        of_index(pod("Succeeded", ended(0, "Completed"), age=1), 2),
    ]
    assert record_of(failed_job("1"), pods, tenant_id="a").exit_code == 4
    assert failed_index(failed_job("1"), pods) == 1
    assert failed_index(job(), pods) is None
    assert state_of(failed_job("1"), pods).message == "Index 1: The command ended with exit code 4."
    message = "The command ended with exit code 4."
    assert indexes.failures(failed_job("1"), pods) == (IndexFailureView(1, 2, 4, "Error", message),)


def test_the_record_counts_indexes_and_names_those_that_run() -> None:
    request = model.JobRequest(name="a", image="b", completions=9, parallelism=4)
    one = job(request=request, annotations={model.ANNOTATION_LOG: model.BY_INDEX})
    status = msgspec.structs.replace(one.status, completed_indexes="0-2,5", failed_indexes="4")
    one = msgspec.structs.replace(one, status=status)
    phases = ((1, "Succeeded"), (4, "Failed"), (3, "Running"), (6, "Running"), (7, "Running"), (8, "Pending"))
    # the pod of an index that is over may still be told as running
    pods = [of_index(pod(phase), index) for index, phase in (*phases, (5, "Running"))]
    told = record_of(one, pods, tenant_id="a").indexes
    assert told is not None
    assert (told.running, told.counts, told.own_logs) == ("3,6-7", IndexCountsView(4, 1, 3), True)
    assert record_of(job(), pods, tenant_id="a").indexes is None
    of_before = record_of(job(request=request), pods, tenant_id="a").indexes
    assert of_before is not None
    assert not of_before.own_logs


def test_an_index_is_over_when_it_succeeded_or_failed_for_good() -> None:
    one = failed_job("1")
    one = msgspec.structs.replace(one, status=msgspec.structs.replace(one.status, completed_indexes="0,3-4"))
    assert [index for index in range(6) if indexes.is_over(one, index)] == [0, 1, 3, 4]


def test_no_more_failures_are_told_than_a_record_may_hold() -> None:
    pods = [of_index(pod("Failed", ended(1)), index) for index in range(300)]
    told = indexes.failures(failed_job("0-299"), pods)
    assert [each.index for each in told] == list(range(indexes.MOST_FAILURES))


@pytest.mark.parametrize(
    ("completions", "index", "says"), [(1, 0, "without an index"), (3, 3, "no index 3"), (3, 2, "")]
)
def test_an_index_that_a_job_does_not_have_is_a_mistake(completions: int, index: int, says: str) -> None:
    request = model.JobRequest(name="a", image="b", completions=completions)
    if not says:
        indexes.check(request, index)
        return
    with pytest.raises(UserMistake, match=says) as raised:
        indexes.check(request, index)
    assert raised.value.hint
