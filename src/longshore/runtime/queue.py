"""A queue of keys: each waits at most once and is worked on by at most one worker; `runtime.controller` drains it.

The semantics are those of client-go's workqueue: adding a key that is being worked on makes it come again afterwards.
It needs no bound of its own: it holds no more entries than there are distinct keys, and those name objects of a store.
"""

from __future__ import annotations

import asyncio
import heapq
import math
import random
from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Generic, TypeVar

from longshore.runtime.clock import Clock, Timer

K = TypeVar("K", bound=Hashable)

_GROWTH = 2.0
_STALE_DATES = 64


class Queue(Generic[K]):
    """Deduplicating, with delays and with exponential backoff and full jitter per key. Times are seconds.

    A key has at most one date (the earliest asked for), and taking the key forgets it: whoever works on a key decides
    afresh when to look again. Source of the jitter: AWS Architecture Blog, "Exponential Backoff And Jitter".
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        backoff: float = 0.05,
        backoff_cap: float = 60.0,
        rng: random.Random | None = None,
    ) -> None:
        self._clock: Clock = clock if clock is not None else asyncio.get_running_loop()
        self._backoff = backoff
        self._backoff_cap = backoff_cap
        self._rng = rng if rng is not None else random.Random()  # noqa: S311
        self._ready: OrderedDict[K, float] = OrderedDict()  # key -> since when it waits
        self._working: dict[K, float] = {}  # key -> since when it is worked on
        self._again: dict[K, float] = {}  # added while worked on -> since when
        self._failures: dict[K, int] = {}
        self._dates: dict[K, tuple[float, int]] = {}  # when it is due, and which entry of the heap says so
        self._heap: list[tuple[float, int, K]] = []  # may hold outdated entries; `_dates` is the truth
        self._pushed = 0
        self._timer: Timer | None = None
        self._timer_due = 0.0
        self._getters: deque[asyncio.Future[None]] = deque()
        self.adds = 0  # what was put in line, given a date, and failed, since this queue was made
        self.delays = 0
        self.retries = 0

    def __len__(self) -> int:
        """Keys that wait for a worker now; those with a later date do not count."""
        return len(self._ready) + len(self._again)

    def add(self, key: K) -> None:
        """Has the key worked on as soon as a worker is free, or once more if one is at it now."""
        if key in self._again or key in self._ready:
            return
        self.adds += 1
        if key in self._working:
            self._again[key] = self._clock.time()
        else:
            self._ready[key] = self._clock.time()
            self._wake_one()

    def add_after(self, key: K, delay: float) -> None:
        """Adds the key in `delay` seconds, unless it has an earlier date already. Raises ValueError for NaN."""
        if math.isnan(delay):
            raise ValueError("a delay must be a number of seconds")
        if delay <= 0:
            self.add(key)
            return
        due = self._clock.time() + delay
        if due >= self._dates.get(key, (math.inf, 0))[0]:
            return
        self.delays += 1
        self._pushed += 1
        self._dates[key] = (due, self._pushed)
        heapq.heappush(self._heap, (due, self._pushed, key))
        if len(self._heap) > 2 * len(self._dates) + _STALE_DATES:
            self._heap = [entry for entry in self._heap if self._holds(entry)]
            heapq.heapify(self._heap)
        self._arm()

    def retry(self, key: K, after: float | None = None) -> float:
        """Counts a failure of the key and adds it after its backoff, never before `after`; returns the delay."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        # 2**60 is past any cap; beyond it the power would only grow until it overflows.
        ceiling = min(self._backoff_cap, self._backoff * _GROWTH ** min(failures - 1, 60))
        self.retries += 1
        earliest = after if after is not None and 0 < after < math.inf else 0.0
        delay = earliest + self._rng.uniform(0.0, ceiling)
        self.add_after(key, delay)
        return delay

    def forget(self, key: K) -> None:
        """The key did well: its next failure backs off from the start."""
        self._failures.pop(key, None)

    def failures(self, key: K) -> int:
        """How often in a row the key has failed."""
        return self._failures.get(key, 0)

    async def get(self) -> tuple[K, float]:
        """The key that waits longest and for how long it waited; `done` must follow, whatever happens."""
        while not self._ready:
            getter = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except asyncio.CancelledError:
                # Woken and cancelled in the same turn: the wake-up belongs to the next in line.
                if getter.done() and not getter.cancelled() and self._ready:
                    self._wake_one()
                raise
        now = self._clock.time()
        key, since = self._ready.popitem(last=False)
        self._working[key] = now
        self._dates.pop(key, None)
        return key, now - since

    def done(self, key: K) -> None:
        """The worker has let go of the key."""
        del self._working[key]
        if (since := self._again.pop(key, None)) is not None:
            self._ready[key] = since
            self._wake_one()

    def working(self) -> dict[K, float]:
        """The keys that workers hold, each with the seconds since it was taken."""
        now = self._clock.time()
        return {key: now - since for key, since in list(self._working.items())}

    @property
    def delayed(self) -> int:
        """Keys with a later date."""
        return len(self._dates)

    @property
    def oldest(self) -> float:
        """Seconds that the key has waited that waits longest."""
        now = self._clock.time()
        return now - min([*list(self._ready.values()), *list(self._again.values())], default=now)

    def clear(self) -> None:
        """Forgets what waits and what failed, and holds no timer any more; what is worked on stays."""
        self._ready.clear()
        self._again.clear()
        self._failures.clear()
        self._dates.clear()
        self._heap.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake_one(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return

    def _arm(self) -> None:
        """Sees to it that the one timer is set to the earliest date."""
        while self._heap and not self._holds(self._heap[0]):
            heapq.heappop(self._heap)
        if not self._heap:
            return
        due = self._heap[0][0]
        if self._timer is not None:
            if self._timer_due <= due:
                return
            self._timer.cancel()
        self._timer_due = due
        self._timer = self._clock.call_at(due, self._release_due)

    def _release_due(self) -> None:
        self._timer = None
        now = max(self._clock.time(), self._timer_due)  # a loop may call a timer early, within its clock's resolution
        while self._heap and self._heap[0][0] <= now:
            entry = heapq.heappop(self._heap)
            if self._holds(entry):
                del self._dates[entry[2]]
                self.add(entry[2])
        self._arm()

    def _holds(self, entry: tuple[float, int, K]) -> bool:
        """It is the key's date and no outdated one."""
        return self._dates.get(entry[2]) == entry[:2]
