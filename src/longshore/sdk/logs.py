"""Reads a job's log to its end, over as many connections as it takes; `jobs.logs` hands it out."""

import asyncio
import random
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from datetime import datetime
from typing import Final

import aiohttp
from msgspec import Struct

from longshore import errors
from longshore.sdk.transport import Transport, segment

OUTAGE: Final = 60.0  # seconds that an API which has answered once may be away
_VAIN_TRIES: Final = 5
_VAIN_SECONDS: Final = 300.0  # and so many without a byte, over which connections broke: then it is given up
_OFFSET: Final = "X-Longshore-Log-Offset"


class LogQuery(Struct, frozen=True):
    """Which part of a log, in the words of the API."""

    follow: bool = False
    since: str | datetime | None = None
    until: str | datetime | None = None
    tail: int | None = None
    search: str | None = None
    context: int | None = None
    timestamps: bool = False
    previous: bool = False
    container: str | None = None
    offset: int | None = None
    regex: bool = False
    late: bool = False
    index: int | None = None

    @property
    def plain(self) -> bool:
        """Whether each line that is given is given as it is, after the one before it."""
        return not (self.since or self.until or self.search or self.timestamps)

    def params(self) -> dict[str, object]:
        given = {name: getattr(self, name) for name in self.__struct_fields__}
        return {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in given.items()
            if value is not None and value is not False  # 0 is an index, and a tail
        }


class LogReader:
    """One reading of one log. The server says at which byte it began: what broke is taken up at the very next one.

    Where lines are chosen or changed on the way, an answer has no such byte. It is then read again from the start and
    what was given already is left out, but not of a tail, nor of a span whose ends move.
    """

    def __init__(self, transport: Transport, job: str, query: LogQuery) -> None:
        self._transport = transport
        self._path = f"/v1/jobs/{segment(job)}/logs"
        self._query = query
        self._given = 0
        self._began: int | None = None

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        clock = asyncio.get_running_loop().time
        vain, last = 0, clock()
        patience = None
        while True:
            try:
                # closed here and now, whoever leaves early: two generators that the loop closes at its end collide
                async with aclosing(self._once(patience)) as answer:
                    async for chunk in answer:
                        self._given += len(chunk)
                        vain, last = 0, clock()
                        yield chunk
                return
            except (aiohttp.ClientPayloadError, aiohttp.ClientConnectionError) as broken:
                vain += 1
                patience = OUTAGE
                if not self._can_go_on or (vain > _VAIN_TRIES and clock() - last > _VAIN_SECONDS):
                    raise errors.Unavailable("the connection broke while reading the log") from broken
                await asyncio.sleep(random.uniform(0, min(vain, _VAIN_TRIES)))  # noqa: S311 - jitter, not a secret

    @property
    def _can_go_on(self) -> bool:
        moves = any(isinstance(end, str) and not end[:4].isdigit() for end in (self._query.since, self._query.until))
        return self._began is not None or (self._query.tail is None and not moves)

    async def _once(self, patience: float | None) -> AsyncGenerator[bytes, None]:
        params: dict[str, object] = dict(self._query.params())
        skip = self._given
        if self._began is not None:
            params.pop("tail", None)
            params["offset"], skip = self._began + self._given, 0
        async with self._transport.open(
            "GET", self._path, params=params, endless=self._query.follow, patience=patience
        ) as response:
            self._note_offset(response.headers)
            async for chunk in response.content.iter_any():
                fresh, skip = chunk[skip:], max(0, skip - len(chunk))
                if fresh:
                    yield fresh

    def _note_offset(self, headers: Mapping[str, str]) -> None:
        offset = headers.get(_OFFSET, "")
        if self._given == 0 and self._query.plain and offset.isdigit():
            self._began = int(offset)
