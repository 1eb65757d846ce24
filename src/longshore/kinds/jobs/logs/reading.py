"""Reads one container's log from its kubelet, however often that breaks off, until it is over; `inflow` takes it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress

import msgspec
import structlog

from longshore.archive.spool import Key
from longshore.errors import LongshoreError, NotFound
from longshore.kinds.jobs.logs.inflow import AGAIN_SECONDS, Inflow
from longshore.kinds.jobs.logs.source import KUBELET_AWAY, POD_GONE, Fate, Source
from longshore.kube.logs import Log, LogGap, Place

# before a log is first asked for, unless somebody wants to see it: most containers are short, and one that has ended
# takes one request, not five
SHORT_SECONDS = 1.0
POLL_SECONDS = 0.2
log = structlog.get_logger(__name__)


async def read_and_write(key: Key, source: Source, inflow: Inflow) -> None:
    """Until the log is over. When this ends, however it does, nothing is being written any more."""
    try:
        await _read(key, source, inflow)
        await inflow.written()
    finally:
        await inflow.stop()


async def _read(key: Key, source: Source, inflow: Inflow) -> None:
    place = msgspec.json.decode(inflow.place, type=Place | None)
    if place is None and not source.ended():
        with suppress(TimeoutError):
            await asyncio.wait_for(source.due.wait(), SHORT_SECONDS)
    while True:
        reader = Log(source.client, source.pod, source.namespace, source.container, place=place)
        try:
            async with aclosing(reader.stretch(follow=True, ended=source.ended)) as pieces:
                async for text in pieces:
                    await inflow.take(text, reader.times, reader.place)
        except NotFound:
            inflow.gap(POD_GONE)
            return
        except LogGap as gap:
            if source.fate() is Fate.GONE:
                inflow.gap(POD_GONE)
                return
            await inflow.mark(gap.message)
            place = None
            continue
        except LongshoreError as away:
            log.warning("a log cannot be read", job=key.id, stream=key.stream, why=away.message)
            if source.fate() is Fate.GIVEN_UP:
                inflow.gap(KUBELET_AWAY)
                return
            place = reader.place
            await asyncio.sleep(AGAIN_SECONDS)
            continue
        if await _over(source, reader.place.container):
            # when a kubelet is lost, its answer ends too: was this the container's end?
            if source.fate() is Fate.GONE and not await source.parted():
                inflow.gap(POD_GONE)
            return
        place = None  # another container of the same name: its log follows


async def _over(source: Source, container: str) -> bool:
    """Whether the container whose log has ended is the last one. Waits until the cluster says so."""
    while True:
        fate = source.fate()
        if fate is not Fate.RUNS:
            return True
        running = source.running()
        if running and container and running != container:
            return False
        await asyncio.sleep(POLL_SECONDS)
