"""Sees and names the keys that are worked on for too long; `runtime.controller` says what it is doing about each."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

import structlog

from longshore.runtime.clock import Clock, sleep
from longshore.runtime.queue import Queue

K = TypeVar("K", bound=Hashable)
log = structlog.get_logger()


class Stuck(Generic[K]):
    """A key is stuck when a worker has held it for `after` seconds."""

    def __init__(self, controller: str, queue: Queue[K], clock: Clock, after: float) -> None:
        self._queue = queue
        self._clock = clock
        self._after = after
        self._doing: dict[K, str] = {}
        self._told: dict[K, float] = {}  # at how many seconds to tell of it again
        self._log = log.bind(controller=controller)

    def doing(self, key: K) -> str | None:
        """What the key's worker is at."""
        return self._doing.get(key)

    def does(self, key: K, what: str) -> None:
        """The key's worker begins with this."""
        self._doing[key] = what

    def done(self, key: K) -> None:
        """The key's worker lets go of it."""
        self._doing.pop(key, None)
        self._told.pop(key, None)

    def keys(self) -> dict[K, float]:
        """The keys that are stuck now, each with the seconds since it was taken."""
        return {key: seconds for key, seconds in self._queue.working().items() if seconds >= self._after}

    async def run(self) -> None:
        """Until cancelled. Tells of a key after `after` seconds, and again whenever it has taken twice as long."""
        while True:
            await sleep(self._clock, self._after / 4)
            for key, seconds in self.keys().items():
                if seconds >= self._told.get(key, 0.0):
                    self._told[key] = 2 * seconds
                    self._log.warning("reconcile is stuck", key=key, seconds=seconds, doing=self._doing.get(key))
