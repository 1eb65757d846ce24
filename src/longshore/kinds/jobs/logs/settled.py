"""Whether the logs of a job that is over are all kept: read from the archive, for any replica may have collected them.

The archiver asks before it writes the record. A log that nobody ends is ended here, as one that has a gap.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta

from longshore.archive.log_chunk import Gap
from longshore.archive.logs import End, LogStream, OpenLog
from longshore.archive.spool import Key
from longshore.errors import Retry
from longshore.kinds.jobs import model
from longshore.kinds.jobs.logs.collector import KUBELET_PATIENCE, ended_topic
from longshore.kinds.jobs.logs.containers import with_log
from longshore.kinds.jobs.logs.source import POD_GONE
from longshore.kinds.jobs.record import LogView
from longshore.kinds.kind import Services
from longshore.kube.objects import Job, Pod

# for what is still coming in of a job that has just ended; of one that waits for longer a look is enough, or jobs whose
# node is away would keep all of the archiver's workers from the others
SETTLE_SECONDS = 5.0
LOST_ATTEMPTS = "pods were gone before anything of their log was kept"
FRESH = timedelta(seconds=15)
LOOK_SECONDS = 1.0  # another replica's end is told by no event
RETRY_SECONDS = 5.0
# of a log whose pod is there its collector gives up after KUBELET_PATIENCE, and needs a while to say so; of one whose
# pod is gone it has said so at once, if it lives
PATIENCE = KUBELET_PATIENCE + timedelta(minutes=2)
GONE_PATIENCE = timedelta(seconds=30)
HANGING = timedelta(hours=1)  # whoever follows a log of what is over for longer hangs; the archive comes first then


async def settled(parts: Services, job: Job, pods: list[Pod]) -> LogView:
    """What is kept of the log and whether that is all. Raises Retry while there may be more."""
    expected = {model.stream_of(pod, container) for pod, container in with_log(pods)}
    missing: set[str] = set()
    fresh = parts.now() - model.ended_at(job, parts.now()) < FRESH
    async with parts.bus.subscribe([ended_topic(job.metadata.name)]) as ended:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_SECONDS):
                while True:
                    streams = await parts.archive.logs.streams(model.tenant_of(job), job.metadata.name)
                    missing = expected - {s.name for s in streams} | {s.name for s in streams if s.end is None}
                    if not missing:
                        return view_of(streams, pods, ran=job.status.failed + job.status.succeeded)
                    if not fresh:
                        break
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(LOOK_SECONDS):
                            await ended.next()
    await _end(parts, job, missing, expected)
    raise Retry(f"the log of {job.metadata.name} is not all there yet", after=RETRY_SECONDS)


async def _end(parts: Services, job: Job, missing: set[str], expected: set[str]) -> None:
    """Say of the logs that were waited for long enough that they have a gap; not while somebody has more of them, who
    may have waited for the archive all that time."""
    waited = parts.now() - model.ended_at(job, parts.now())
    logs, words = parts.archive.logs, (model.tenant_of(job), job.metadata.name)
    for stream in missing:
        if waited > (PATIENCE if stream in expected else GONE_PATIENCE):
            if waited < HANGING and await parts.tails.is_collected(Key(*words, stream), job.metadata.uid):
                continue
            size = await logs.size(*words, stream)
            why = "no collector read it to its end" if stream in expected else POD_GONE
            with contextlib.suppress(OpenLog):  # it has just gone on, so there is somebody who will end it
                await logs.close(*words, stream, End(size, complete=False, gaps=(Gap(size, why),)))


def view_of(streams: list[LogStream], pods: list[Pod], *, ran: int) -> LogView:
    """As the record keeps it. `pods` are those that are still there, `ran` how many the Job controller has counted."""
    gaps = {s.name: s.end.why or "it broke off" for s in streams if s.end is not None and not s.end.complete}
    known = {model.attempt_of(s.name) for s in streams} | {model.attempt_of(model.stream_of(pod, "")) for pod in pods}
    if len(known) < ran:
        gaps["log"] = f"{ran - len(known)} of {ran} {LOST_ATTEMPTS}"
    why = "; ".join(f"{stream}: {gap}" for stream, gap in sorted(gaps.items())) or None
    return LogView(not gaps, why, {s.name: s.size for s in streams})
