"""What the leader does for tasks that run as Jobs: it ends those that fell silent, and says how each is getting on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import structlog

from longshore.kinds.jobs import model as jobs
from longshore.kinds.kind import Runs, Services
from longshore.kinds.tasks import view
from longshore.kinds.tasks.model import KIND
from longshore.kinds.tasks.monitor import Monitor
from longshore.kinds.tasks.view import Word
from longshore.kube.objects import Job, Object, Pod
from longshore.kube.store import Overflowed, Store
from longshore.runtime.term import Term

T = TypeVar("T", bound=Object)
log = structlog.get_logger(__name__)


def controllers(parts: Services) -> Sequence[Runs]:
    return (Monitor(parts), Announcer(parts))


class Announcer:
    """One log line for each change of a task's status; what was so before this leader began is not said again."""

    def __init__(self, parts: Services) -> None:
        self._stores = parts.stores
        self._words: dict[str, Word] = {}

    async def run(self, _term: Term) -> None:
        self._words = {job.metadata.uid: self._word(job) for job in self._stores.jobs.list() if is_task(job)}
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow(self._stores.jobs, lambda job: job))
            tasks.create_task(self._follow(self._stores.pods, self._job_of))

    async def _follow(self, store: Store[T], job_of: Callable[[T], Job | None]) -> None:
        while True:
            async with store.subscribe() as changes:
                try:
                    while True:
                        for delta in await changes.next():
                            self._look(delta.new, delta.old, job_of)
                except Overflowed:
                    log.warning("some changes of tasks were not told here: too many at once")

    def _look(self, new: Any, old: Any, job_of: Callable[[Any], Job | None]) -> None:
        job = job_of(new or old)
        if job is None or not is_task(job):
            return
        if self._stores.jobs.get(job.metadata.name, job.metadata.namespace) is None:
            self._words.pop(job.metadata.uid, None)
            return
        word = self._word(job)
        if self._words.get(job.metadata.uid) is not word:
            self._words[job.metadata.uid] = word
            status = view.of_job(job, self._stores.pods.by("job", job.metadata.uid))
            log.info("task status", task=job.metadata.name, status=word, reason=status.reason)

    def _word(self, job: Job) -> Word:
        return view.of_job(job, self._stores.pods.by("job", job.metadata.uid)).status

    def _job_of(self, pod: Pod) -> Job | None:
        name = pod.metadata.labels.get(jobs.LABEL_JOB_NAME, "")
        return self._stores.jobs.get(name, pod.metadata.namespace)


def is_task(job: Job) -> bool:
    return jobs.kind_of(job) == KIND and bool(jobs.tenant_of(job))
