"""A job's log for whoever may read it: what is in the archive and then what its collector has, the same bytes for life.

An offset counts the plain bytes of one container over all attempts, so what comes after it is the same whoever is asked
and whenever. Where only a part of the lines is wanted, no more is read than must be.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import replace
from functools import partial

from starlette.responses import Response

from longshore.archive.log_chunk import Chunk, joined
from longshore.errors import Forbidden, NotFound
from longshore.kinds.jobs import indexes, model
from longshore.kinds.jobs.find import Found, find, kept_record
from longshore.kinds.jobs.logs import streams
from longshore.kinds.jobs.logs.changes import Changes
from longshore.kinds.jobs.logs.delivery import StillKnown, Text
from longshore.kinds.jobs.logs.lines import Lines, Newest
from longshore.kinds.jobs.logs.settled import LOST_ATTEMPTS
from longshore.kinds.jobs.logs.streams import Attempt
from longshore.kinds.jobs.logs.wish import Wish, lines_of
from longshore.kinds.kind import Services
from longshore.kube.objects import Job
from longshore.web.auth import Caller

# of the last lines that were chosen among others, which can only be known when all have been seen
TAIL_BYTES = 16 << 20
# regular expressions have threads of their own: a reader that has left gives none back before its search is through
_SEARCHES = ThreadPoolExecutor(2, thread_name_prefix="search")
COMPLETE = "X-Longshore-Log-Complete"
WHY = "X-Longshore-Log-Gaps"
OFFSET = "X-Longshore-Log-Offset"
SIZE = "X-Longshore-Log-Size"


async def respond(
    parts: Services, who: Caller, id: str, wish: Wish | None = None, still_known: StillKnown | None = None
) -> Response:
    """The log as plain text. The headers say whether it is all there, why not, and where the first byte lies. One that
    is followed for long ends when its reader is not `still_known`."""
    wish = wish or Wish()
    found = await find(parts, who, id)
    if who.pod is not None:
        raise Forbidden("a pod's token opens only its own inputs, outputs and progress")
    lines = lines_of(wish, parts.now())
    if wish.index is not None:
        indexes.check(found.request, wish.index)
    attempts = await streams.of_job(parts, found, wish.container, wish.index)
    if wish.container is not None and not attempts:
        await streams.check_container(parts, found, wish.container)
    if wish.previous:
        attempts = _previous(found, attempts)
    if wish.late:
        return Text(_late(parts, attempts, lines), await _headers(parts, found, attempts, wish), still_known)
    if wish.follow and not (attempts and attempts[-1].end):
        parts.tails.check_room(found.tenant, attempts[-1].key if attempts else None)
    headers = await _headers(parts, found, attempts, wish)
    start = wish.offset or 0
    counted, before = all(attempt.end for attempt in attempts[:-1]), 0
    if wish.tail is not None:
        attempts, before = attempts[-1:], sum(a.end.size for a in attempts[:-1] if a.end)
        start = await _start_of_tail(parts, attempts, wish.tail) if lines.every_line else 0
    whole = lines.plain if wish.tail is None else lines.every_line
    if whole and (counted or wish.offset is not None):  # how long an attempt gets that still grows is not known
        headers[OFFSET] = str(before + start)
    shown = _Reading(parts, found, wish, lines).shown(attempts, start)
    if wish.tail is not None and not lines.every_line:
        shown = _last(shown, wish.tail)
    return Text(shown, headers, still_known)


def _previous(found: Found, attempts: list[Attempt]) -> list[Attempt]:
    if len(attempts) < 2:
        raise NotFound(f"there was no attempt of {found.id} before this one", hint="leave previous out")
    return attempts[-2:-1]


async def _headers(parts: Services, found: Found, attempts: list[Attempt], wish: Wish) -> dict[str, str]:
    """Whether it is all there as far as is known now, and why not."""
    gaps = [attempt.end.why or "it broke off" for attempt in attempts if attempt.end and not attempt.end.complete]
    if found.job is None or model.is_released(found.job):
        record = found.record or await kept_record(parts, found.tenant, found.id)
        why = record.log.why if record is not None and record.log is not None else None
        if why and (not attempts or LOST_ATTEMPTS in why):
            gaps.append(why)
    else:
        gaps += await _still_open(parts, found.job, attempts, wish)
    headers = {COMPLETE: str(not gaps).lower()}
    if gaps:
        headers[WHY] = "; ".join(dict.fromkeys(gaps)).encode("ascii", "replace").decode()[:500]
    if attempts and all(attempt.end for attempt in attempts):
        headers[SIZE] = str(sum(attempt.end.size for attempt in attempts if attempt.end))
    return headers


async def _still_open(parts: Services, job: Job, attempts: list[Attempt], wish: Wish) -> list[str]:
    coming = next((attempt for attempt in attempts if attempt.end is None), None)
    if coming is None:
        return [] if streams.is_over(job, wish.index) and attempts else ["the job is not over"]
    if not wish.follow and not await parts.tails.is_collected(coming.key, coming.uid):
        return ["its collector cannot be reached just now: this is what the archive has"]
    return ["the job is not over" if coming.goes_on else "its last lines are still coming in"]


class _Reading:
    """One answer: attempt after attempt; with `follow`, those too that are still to come."""

    def __init__(self, parts: Services, found: Found, wish: Wish, lines: Lines) -> None:
        self._parts, self._found, self._wish, self._lines = parts, found, wish, lines
        self._done: set[str] = set()
        self._skip = 0

    async def shown(self, attempts: list[Attempt], start: int) -> AsyncGenerator[bytes, None]:
        self._skip = start
        async for piece in self._pieces(attempts):
            yield piece
        if not self._wish.follow or self._wish.previous or self._found.job is None:
            return
        job = self._found.job.metadata
        async with Changes(self._parts.stores, job.name, job.uid) as changes:
            while not self._lines.over:
                over = self._is_over()
                attempts = await streams.of_job(self._parts, self._found, self._wish.container, self._wish.index)
                fresh = [attempt for attempt in attempts if attempt.key.stream not in self._done]
                if self._wish.tail is not None and self._done:
                    fresh = [attempt for attempt in fresh if attempt.key.stream > max(self._done)]
                async for piece in self._pieces(fresh):
                    yield piece
                if not fresh and over:
                    return
                if not fresh:
                    await changes.wait()

    def _is_over(self) -> bool:
        """Also looks anew at the job."""
        uid = self._found.job.metadata.uid if self._found.job is not None else ""
        job = next((j for j in self._parts.stores.jobs.by("id", self._found.id) if j.metadata.uid == uid), None)
        self._found = replace(self._found, job=job)
        return job is None or streams.is_over(job, self._wish.index)

    async def _pieces(self, attempts: list[Attempt]) -> AsyncGenerator[bytes, None]:
        for attempt in attempts:
            self._done.add(attempt.key.stream)
            if attempt.end is not None and attempt.end.size <= self._skip:
                self._skip -= attempt.end.size
                continue
            at, self._skip = self._skip, 0
            if not at and self._lines.since:
                at = await self._parts.archive.logs.start_of_time(*attempt.key.words, self._lines.since, attempt.end)
            async with aclosing(streams.read(self._parts, attempt, at, follow=self._wish.follow)) as chunks:
                async for chunk in chunks:
                    if piece := await _fed(self._lines, chunk):
                        yield piece
                    if self._lines.over:
                        return
            if piece := await _rest(self._lines):
                yield piece
            if attempt.end is None and not self._wish.follow and self._wish.offset is not None:
                return  # what would come next has no offset yet


async def _start_of_tail(parts: Services, attempts: list[Attempt], lines: int) -> int:
    """The offset in the last attempt where its last lines begin; reads from the end only what it must."""
    if not attempts:
        return 0
    attempt, logs = attempts[-1], parts.archive.logs
    newest: deque[Chunk] = deque()
    if attempt.end is None:
        size = await logs.size(*attempt.key.words)
        async with aclosing(streams.uncollected(parts, attempt, size)) as chunks:
            async for chunk in chunks:
                newest.append(chunk)
                while sum(len(c.times) for c in newest) - len(newest[0].times) >= lines and len(newest) > 1:
                    newest.popleft()
    begun = sum(len(chunk.times) for chunk in newest)
    if newest and begun >= lines:
        whole = joined(list(newest))
        return whole.line_start(begun - lines) if lines else whole.end
    until = attempt.end.size if attempt.end else None
    start, _ = await logs.start_of_last(*attempt.key.words, lines - begun, until)
    return start


async def _late(parts: Services, attempts: list[Attempt], lines: Lines) -> AsyncGenerator[bytes, None]:
    """What is kept beside the log of each attempt."""
    for attempt in attempts:
        async for chunk in parts.archive.logs.late(*attempt.key.words):
            yield await _fed(lines, chunk)
        yield await _rest(lines)


async def _fed(lines: Lines, chunk: Chunk) -> bytes:
    """What is to be shown of it. Regular expressions run beside everything else, in few threads: they let go of the
    interpreter while they search."""
    return await _beside(lines, partial(lines.feed, chunk))


async def _rest(lines: Lines) -> bytes:
    """What is to be shown of the last line, which may be as long as any."""
    return await _beside(lines, lines.rest)


async def _beside(lines: Lines, work: Callable[[], bytes]) -> bytes:
    if not lines.slow:
        return work()
    return await asyncio.get_running_loop().run_in_executor(_SEARCHES, work)


async def _last(shown: AsyncIterator[bytes], lines: int) -> AsyncGenerator[bytes, None]:
    """The last lines of what is shown."""
    kept = Newest(lines, TAIL_BYTES)
    async for piece in shown:
        for line in piece.removesuffix(b"\n").split(b"\n"):
            kept.add(line + b"\n")
    yield kept.take()
