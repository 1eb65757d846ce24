"""Keeps a job from being run twice: before a first start the archive is asked whether it has ended before.

Submission looks for an earlier job of the same key too, but may be held up between that and its write for as long as
the earlier one takes to run, to be archived and to go. The admission controller carries `LookUp` out with this.
"""

from __future__ import annotations

import asyncio

import msgspec
import structlog

from longshore.errors import Conflict
from longshore.kinds.jobs.model import FINALIZER, tenant_of
from longshore.kinds.kind import Services
from longshore.kinds.tenants.admit import LookUp
from longshore.kube.objects import JOBS, Job

log = structlog.get_logger(__name__)

LOOK_UPS = 16  # records read at the same time
REMEMBERED = 10_000  # jobs for which the answer is kept, which may be asked for again when a patch meets a conflict


class Repeats:
    """Handler of LookUp."""

    def __init__(self, parts: Services) -> None:
        self._parts = parts
        self._first: dict[str, None] = {}  # uids of jobs of whose name no other was archived

    async def __call__(self, effect: LookUp) -> None:
        """Raises Conflict when one had ended before: it is taken back, and the rest is planned again."""
        for start in range(0, len(effect.jobs), LOOK_UPS):
            some = effect.jobs[start : start + LOOK_UPS]
            ended = await asyncio.gather(*(self._ended_before(job) for job in some))
            for job in (job for job, before in zip(some, ended, strict=True) if before):
                await self._take_back(job)
                raise Conflict(f"job {job.metadata.name} has ended before, as the archive knows; it is not run twice")

    async def _ended_before(self, job: Job) -> bool:
        """The answer stays: where this job is, an earlier one of its name was archived before, and none can come."""
        uid = job.metadata.uid
        if uid in self._first:
            return False
        record = await self._parts.archive.records.get(tenant_of(job), job.metadata.name)
        if record is not None and msgspec.json.decode(record, type=_Recorded).uid != uid:
            return True
        self._first[uid] = None
        if len(self._first) > REMEMBERED:
            del self._first[next(iter(self._first))]
        return False

    async def _take_back(self, job: Job) -> None:
        """It never ran, so nothing of it is lost; its key answers the record from then on."""
        name, namespace, uid = job.metadata.name, job.metadata.namespace, job.metadata.uid
        left = [f for f in job.metadata.finalizers if f != FINALIZER]
        await self._parts.client.patch(JOBS, name, {"metadata": {"uid": uid, "finalizers": left}}, namespace)
        await self._parts.client.delete(JOBS, name, namespace, uid=uid)
        log.info("taken back", job=name, tenant=tenant_of(job), why="it ended before")


class _Recorded(msgspec.Struct, frozen=True):
    uid: str
