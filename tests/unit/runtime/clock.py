"""A clock that stands still until a test moves it, and waiting for a condition."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable


class FakeTimer:
    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        self.callback = None


class FakeClock:
    """A `runtime.clock.Clock`."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self._timers: list[tuple[float, int, FakeTimer]] = []
        self._made = 0

    def time(self) -> float:
        return self.seconds

    def call_at(self, when: float, callback: Callable[[], object], /) -> FakeTimer:
        self._made += 1
        timer = FakeTimer(callback)
        heapq.heappush(self._timers, (when, self._made, timer))
        return timer

    def advance(self, seconds: float) -> None:
        """Time passes, and what is due happens at its own time."""
        end = self.seconds + seconds
        while self._timers and self._timers[0][0] <= end:
            when, _, timer = heapq.heappop(self._timers)
            self.seconds = max(self.seconds, when)
            if timer.callback is not None:
                timer.callback()
        self.seconds = end


async def until(condition: Callable[[], bool], deadline: float = 60.0) -> None:
    """Other tasks run until the condition holds."""
    async with asyncio.timeout(deadline):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0)
