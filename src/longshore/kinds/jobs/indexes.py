"""Which index of a job a pod and a log are of, and which indexes failed of what; pure.

`state` and `view` ask for the record, `logs` for the log of one index.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from longshore.errors import UserMistake
from longshore.kinds.jobs.failure import cause_of
from longshore.kinds.jobs.model import (
    ANNOTATION_LOG,
    BY_INDEX,
    LABEL_INDEX,
    MAIN_CONTAINER,
    JobRequest,
    attempts,
)
from longshore.kinds.jobs.record import IndexCountsView, IndexesView, IndexFailureView
from longshore.kube.objects import Job, Pod

MOST_FAILURES = 100


def number_of(pod: Pod) -> int | None:
    """The index that a pod runs; None where its job has none."""
    said = pod.metadata.labels.get(LABEL_INDEX, "")
    return int(said) if said.isascii() and said.isdigit() else None


class Ranges:
    """A JobStatus's indexes, as "0-3,7", in order (Kubernetes API reference, batch/v1 JobStatus); parsed once, for many
    pods are looked up in many of them."""

    def __init__(self, said: str) -> None:
        pairs = [each.partition("-") for each in said.split(",") if each]
        self._spans = [(int(first), int(last or first)) for first, _, last in pairs]

    def __contains__(self, index: int) -> bool:
        at = bisect_right(self._spans, index, key=lambda span: span[0])
        return at > 0 and index <= self._spans[at - 1][1]

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self._spans)


def ranges_of(numbers: Iterable[int]) -> str:
    """Indexes as a JobStatus writes them: "0-3,7"."""
    spans: list[list[int]] = []
    for number in sorted(set(numbers)):
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)


def is_over(job: Job, index: int) -> bool:
    """Whether the Job controller will begin no further attempt of this index."""
    return index in Ranges(job.status.completed_indexes) or index in Ranges(job.status.failed_indexes)


def check(request: JobRequest | None, index: int) -> None:
    """Raises UserMistake where there is no such index."""
    if request is None or not request.indexed:
        raise UserMistake("this job runs once, without an index", hint="leave index out", field="index")
    if index >= request.completions:
        hint = f"use one from 0 to {request.completions - 1}"
        raise UserMistake(f"this job has no index {index}", hint=hint, field="index")


def of_failed(job: Job, pods: Iterable[Pod]) -> list[Pod]:
    """The pods of the indexes that failed for good; all pods where the Job names no such index."""
    pods, failed = list(pods), Ranges(job.status.failed_indexes)
    of_these = [pod for pod in pods if (index := number_of(pod)) is not None and index in failed]
    return of_these or pods


def seen(job: Job, request: JobRequest, pods: Iterable[Pod]) -> IndexesView | None:
    """What the record says of a job's indexes; None where it runs once."""
    if not request.indexed:
        return None
    pods, done, failed = list(pods), job.status.completed_indexes, job.status.failed_indexes
    ended = Ranges(done), Ranges(failed)
    running = {
        index
        for pod in pods
        if pod.status.phase == "Running" and (index := number_of(pod)) is not None
        if not any(index in each for each in ended)
    }
    counts = IndexCountsView(len(ended[0]), len(ended[1]), len(running))
    own = job.metadata.annotations.get(ANNOTATION_LOG) == BY_INDEX
    told = failures(job, pods)
    return IndexesView(
        request.completions, request.parallelism, done, failed, told, ranges_of(running), counts, own_logs=own
    )


def failures(job: Job, pods: Iterable[Pod]) -> tuple[IndexFailureView, ...]:
    """What the failed indexes died of, the lowest first, and no more than MOST_FAILURES of them."""
    failed = Ranges(job.status.failed_indexes)
    by_index: dict[int, list[Pod]] = {}
    for pod in pods:
        index = number_of(pod)
        if index is not None and index in failed:
            by_index.setdefault(index, []).append(pod)
    return tuple(_failure(index, attempts(by_index[index])) for index in sorted(by_index)[:MOST_FAILURES])


def _failure(index: int, pods: list[Pod]) -> IndexFailureView:
    cause = cause_of(pods, MAIN_CONTAINER)
    ends = [s.state.terminated for s in pods[-1].status.container_statuses if s.name == MAIN_CONTAINER]
    code = ends[0].exit_code if ends and ends[0] else None
    return IndexFailureView(index, len(pods), code, cause.reason if cause else "", cause.message if cause else "")
