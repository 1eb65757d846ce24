"""Remembers how pods were that are gone before their job is in the archive, so that its record can tell of them.

The Job controller deletes the pods of a job that is stopped or too late, and with a node go those that ran there.
`facts` tells what went; the archiver and `find` ask. What was gone before this process began is not known.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from longshore.kinds.jobs import model
from longshore.kube.objects import Job, Pod
from longshore.kube.store import Store

MOST = 10_000  # pods
MOST_OF_ONE = 1_000  # of one job


class Departed:
    """By the uid of their job; the jobs that were told of longest ago are forgotten beyond the bound, for only who
    archives a job forgets its pods by `forget`."""

    def __init__(self, jobs: Store[Job]) -> None:
        self._jobs = jobs
        self._pods: dict[str, dict[str, Pod]] = {}
        self._count = 0

    def went(self, pod: Pod) -> None:
        """Take note of one as it was at last, where its job is not archived yet."""
        uid = model.owner_uid(pod)
        job = self._jobs.get(pod.metadata.labels.get(model.LABEL_JOB_NAME, ""), pod.metadata.namespace)
        if uid is None or job is None or job.metadata.uid != uid or model.is_released(job):
            return
        gone = self._pods.pop(uid, {})
        before = len(gone)
        gone[pod.metadata.uid] = _at_last(pod)
        if len(gone) > MOST_OF_ONE:
            del gone[next(iter(gone))]
        self._pods[uid] = gone
        self._count += len(gone) - before
        while self._count > MOST:
            self._count -= len(self._pods.pop(next(iter(self._pods))))

    def beside(self, job: Job, pods: Sequence[Pod]) -> list[Pod]:
        """All pods of the job that are known: those that are there, and those that are gone."""
        there = {pod.metadata.uid for pod in pods}
        gone = self._pods.get(job.metadata.uid, {})
        return [*pods, *(pod for uid, pod in gone.items() if uid not in there)]

    def forget(self, job: Job) -> None:
        self._count -= len(self._pods.pop(job.metadata.uid, {}))


def _at_last(pod: Pod) -> Pod:
    """What ran when it was last heard of does so no more."""
    return replace(pod, status=replace(pod.status, phase="Unknown")) if pod.status.phase == "Running" else pod
