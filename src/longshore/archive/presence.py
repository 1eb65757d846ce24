"""Whether the archive answers, and since when it does not: who can say something without it need not wait for it.

Each process of `serve` has one. While the archive is known to be away one caller at a time tries again, for a short
while and not often; the others hear at once that it is away.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

from longshore.errors import Unavailable

T = TypeVar("T")
PATIENCE = 15.0  # seconds for an answer of one that was there a moment ago
AWAY_PATIENCE = 5.0
AGAIN = 2.0  # seconds after which one that was away is asked again
HINT = "what is still in the cluster is shown; ask again for the rest when the archive is back"


class Presence:
    """`now` tells people since when, `clock` counts seconds."""

    def __init__(self, now: Callable[[], datetime], clock: Callable[[], float] = time.monotonic) -> None:
        self.away_since: datetime | None = None
        self._now = now
        self._clock = clock
        self._asked_again = 0.0
        self._asking = False

    async def ask(self, asking: Callable[[], Awaitable[T]]) -> T:
        """What the archive answers. Raises Unavailable while it is away, and at once where that is known."""
        known = self.away_since is not None
        if known and (self._asking or self._clock() - self._asked_again < AGAIN):
            raise self._away()
        if known:
            self._asking = True
        try:
            async with asyncio.timeout(AWAY_PATIENCE if known else PATIENCE):
                answer = await asking()
        except (Unavailable, TimeoutError) as error:
            self.away_since = self.away_since or self._now()
            self._asked_again = self._clock()
            raise self._away() from error
        finally:
            if known:
                self._asking = False
        self.away_since = None
        return answer

    def _away(self) -> Unavailable:
        assert self.away_since is not None
        since = self.away_since.isoformat(timespec="seconds").replace("+00:00", "Z")
        hint = "nothing is lost meanwhile; what is still in the cluster is listed with archived=false (--live)"
        return Unavailable(f"the archive does not answer since {since}", hint=hint, retry_after=5)
