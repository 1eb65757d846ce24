"""The one way in which the runtime sees time, so that tests can hold it still: an asyncio event loop is a Clock.

Monotonic seconds only. Dates (what a reconcile calls `now`) are a separate function that the controller is given.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """Something that will happen unless it is cancelled first."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """Monotonic seconds, and a call at one of them."""

    def time(self) -> float: ...

    def call_at(self, when: float, callback: Callable[[], object], /) -> Timer: ...
