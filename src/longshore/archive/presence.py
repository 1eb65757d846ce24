"""Whether the archive answers, and since when it does not: who can say something without it need not wait for it.

Each process of `serve` has one. While the archive is known to be away one caller at a time tries again, for a short
while and not often, by a small question; the others hear at once that it is away. Whose own question takes too long or
cannot be answered is refused alone, as long as small ones are answered.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

from longshore.archive.identity import WrongArchive
from longshore.errors import Unavailable

T = TypeVar("T")
PATIENCE = 15.0  # seconds for an answer of one that was there a moment ago
AWAY_PATIENCE = 5.0
AGAIN = 2.0  # seconds after which one that was away is asked again
HINT = "what is still in the cluster is shown; ask again for the rest when the archive is back"


class Presence:
    """`now` tells people since when, `clock` counts seconds, `probe` asks something small."""

    def __init__(
        self,
        now: Callable[[], datetime],
        probe: Callable[[], Awaitable[object]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.away_since: datetime | None = None
        self._now = now
        self.probe = probe
        self._clock = clock
        self._asked_again = 0.0
        self._asking = False
        self._wrong: WrongArchive | None = None

    @property
    def hint(self) -> str:
        """What a list says that shows only what is in the cluster."""
        return f"{self._wrong.message}; {HINT}" if self._wrong is not None else HINT

    async def ask(self, asking: Callable[[], Awaitable[T]]) -> T:
        """What the archive answers. Raises Unavailable while it is away, and at once where that is known."""
        if self.away_since is not None:
            await self._return()
        try:
            async with asyncio.timeout(PATIENCE):
                return await asking()
        except (Unavailable, TimeoutError) as error:
            if not await self._answers():
                raise self._gone() from error
            if isinstance(error, Unavailable):
                raise
            raise Unavailable(
                f"the archive took longer than {PATIENCE:.0f} s for this",
                hint="ask for less of it: fewer rows, a shorter span of time, or archived=false",
                retry_after=5,
            ) from error

    async def _return(self) -> None:
        """Passes when the archive is back."""
        if self._asking or self._clock() - self._asked_again < AGAIN:
            raise self._away()
        self._asking = True
        try:
            if not await self._answers():
                raise self._gone()
        finally:
            self._asking = False
        self.away_since = None

    async def _answers(self) -> bool:
        try:
            async with asyncio.timeout(AWAY_PATIENCE):
                await self.probe()
        except (Unavailable, TimeoutError) as error:
            self._wrong = error if isinstance(error, WrongArchive) else None
            return False
        self._wrong = None
        return True

    def _gone(self) -> Unavailable:
        self.away_since = self.away_since or self._now()
        self._asked_again = self._clock()
        return self._away()

    def _away(self) -> Unavailable:
        assert self.away_since is not None
        if self._wrong is not None:
            return Unavailable(self._wrong.message, hint=self._wrong.hint, retry_after=5)
        since = self.away_since.isoformat(timespec="seconds").replace("+00:00", "Z")
        hint = "nothing is lost meanwhile; what is still in the cluster is listed with archived=false (--live)"
        return Unavailable(f"the archive does not answer since {since}", hint=hint, retry_after=5)
