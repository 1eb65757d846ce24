"""The one way in which the runtime sees time, so that tests can hold it still: an asyncio event loop is a Clock.

Monotonic seconds only. Dates (what a reconcile calls `now`) are a separate function that the controller is given.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """Something that will happen unless it is cancelled first."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """Monotonic seconds, and a call at one of them."""

    def time(self) -> float: ...

    def call_at(self, when: float, callback: Callable[[], object], /) -> Timer: ...


def boottime() -> float:
    """Seconds that also pass while the machine sleeps, which an event loop's do not; for leases, which others time.

    Source: clock_gettime(2), CLOCK_BOOTTIME.
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME)


async def sleep(clock: Clock, seconds: float) -> None:
    """As asyncio.sleep, by this clock."""
    awake = asyncio.get_running_loop().create_future()
    timer = clock.call_at(clock.time() + seconds, lambda: _wake(awake))
    try:
        await awake
    finally:
        timer.cancel()


def _wake(awake: asyncio.Future[None]) -> None:
    if not awake.done():
        awake.set_result(None)
