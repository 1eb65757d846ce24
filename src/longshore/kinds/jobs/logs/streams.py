"""The streams that a job's log consists of, one per attempt and container, and the bytes of each: archived, then live.

`answer` reads them for callers.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from longshore.archive.log_chunk import Chunk
from longshore.archive.logs import End
from longshore.archive.spool import Key
from longshore.errors import NotFound, Unavailable, UserMistake
from longshore.kinds.jobs import indexes, model
from longshore.kinds.jobs.find import Found
from longshore.kinds.jobs.logs.containers import has_log, is_running, of_request, statuses, told_by
from longshore.kinds.jobs.request import JobRequest
from longshore.kinds.kind import Services
from longshore.kube.objects import Job, Pod

# how long an answer without follow waits for the last lines of a container that has ended, and for a pod to be known or
# the collector of what goes on: what a reader saw a moment ago is not left out because a replica is slow
LAST_LINES_SECONDS = 5.0
KNOWN_SECONDS = 2.0
AGAIN_SECONDS = 0.1


@dataclass(frozen=True)
class Attempt:
    """One stream: `end` once it is over; `goes_on` while its container may write more; `uid` is the job's."""

    key: Key
    uid: str
    end: End | None
    goes_on: bool = False


async def of_job(parts: Services, found: Found, container: str | None, index: int | None = None) -> list[Attempt]:
    """The streams of one container in the order of attempts, of an `index` only its own.

    Pods and jobs are told by two watches: of what is over, job or index, pods that are not known yet are
    waited for.
    """
    job = found.job
    until = asyncio.get_running_loop().time() + KNOWN_SECONDS
    while True:
        attempts = await _known(parts, found, container, index)
        if job is None or model.is_released(job) or not is_over(job, index) or container is not None:
            return attempts
        ran = job.status.succeeded + job.status.failed if index is None else 1
        if len(attempts) >= ran or asyncio.get_running_loop().time() > until:
            return attempts
        await asyncio.sleep(AGAIN_SECONDS)


def is_over(job: Job, index: int | None) -> bool:
    """Whether no further attempt begins: of the job, or of the index that is asked for."""
    return model.is_over(job) or (index is not None and indexes.is_over(job, index))


async def check_container(parts: Services, found: Found, container: str) -> None:
    """Raises UserMistake where a job has no such container, whether it has started or not."""
    job = found.job
    pods = [] if job is None or model.is_released(job) else parts.stores.pods.by("job", job.metadata.uid)
    kept = await _kept(parts, found, _started(pods))
    of_pods = [status.name for pod in pods for status in statuses(pod)]
    there = [*of_request(found.request or JobRequest("", "")), *of_pods, *map(model.container_of, sorted(kept))]
    if container not in there:
        hint = f"it has: {', '.join(dict.fromkeys(there))}"
        raise UserMistake(f"job {found.id} has no container {container!r}", hint=hint, field="container")


async def _known(parts: Services, found: Found, container: str | None, index: int | None) -> list[Attempt]:
    job = found.job
    uid = job.metadata.uid if job is not None else ""
    live = _started([] if job is None or model.is_released(job) else parts.stores.pods.by("job", uid))
    kept = await _kept(parts, found, live)
    if container is None and job is not None and not model.is_over(job):
        container = model.MAIN_CONTAINER  # which one tells the story is known in the end
    return [
        Attempt(
            Key(found.tenant, found.id, name),
            uid,
            kept.get(name),
            name in live and is_running(live[name], model.container_of(name)),
        )
        for name in told_by({*kept, *live}, container, index)
    ]


async def _kept(parts: Services, found: Found, live: dict[str, Pod]) -> dict[str, End | None]:
    """What the archive has; while it is away, of what is live the collector has at least the newest."""
    try:
        return {s.name: s.end for s in await parts.archive.logs.streams(found.tenant, found.id)}
    except Unavailable:
        if not live:
            raise
        return {}


def _started(pods: list[Pod]) -> dict[str, Pod]:
    return {model.stream_of(pod, s.name): pod for pod in pods for s in statuses(pod) if has_log(pod, s.name)}


async def read(parts: Services, attempt: Attempt, at: int, *, follow: bool) -> AsyncGenerator[Chunk, None]:
    """Its bytes from offset `at` on, chunk after chunk; with `follow` until it is over."""
    logs, key = parts.archive.logs, attempt.key
    clock = asyncio.get_running_loop().time
    until = clock() + (KNOWN_SECONDS if attempt.goes_on else LAST_LINES_SECONDS)
    while True:
        before, end = at, attempt.end
        try:
            end = end or await logs.end(*key.words)
            async with aclosing(logs.read(*key.words, at, end.size if end else None)) as archived:
                async for chunk in archived:
                    yield chunk
                    at = chunk.end
        except Unavailable:  # its collector may have what comes next; what is over is in the archive alone
            if end is not None:
                raise
        if end is not None:
            return
        if follow:
            async with aclosing(parts.tails.follow(key, attempt.uid, at)) as coming:
                async for chunk in coming:
                    yield chunk
                    at = chunk.end
        else:
            told = True
            try:
                async with aclosing(parts.tails.ask(key, attempt.uid, at)) as said:
                    async for message in said:
                        if isinstance(message, Chunk):
                            yield message
                            at = message.end
                        told = not isinstance(message, int)  # what has gone into the archive meanwhile is read there
            except (NotFound, Unavailable):
                told = False
            if (attempt.goes_on and told) or clock() > until:
                return
        if at == before:
            await asyncio.sleep(AGAIN_SECONDS)


async def uncollected(parts: Services, attempt: Attempt, at: int) -> AsyncGenerator[Chunk, None]:
    """What the collector has now that the archive has not; nothing when it cannot be reached."""
    with contextlib.suppress(NotFound, Unavailable):
        async with aclosing(parts.tails.ask(attempt.key, attempt.uid, at)) as said:
            async for message in said:
                if isinstance(message, Chunk):
                    yield message
