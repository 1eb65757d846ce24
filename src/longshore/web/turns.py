"""A bound on something that strangers can cause: a rate, so many at once after a pause, so many on their way; knows no
kind. `pod_tokens` counts by it.

aiolimiter, which the client uses, makes one wait for his turn; here who has none is told so, and holds nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from msgspec import Struct


class Rate(Struct, frozen=True):
    """`each_second` on average, `at_once` after a pause; `on_the_way` at a time."""

    each_second: float
    at_once: int
    on_the_way: int


class Turns:
    """One count of it: a token bucket."""

    def __init__(self, rate: Rate, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._clock = clock
        self._left, self._counted, self._busy = float(rate.at_once), clock(), 0

    @property
    def wait(self) -> float:
        """Seconds until it is worth while to ask again."""
        self._refill()
        return 1.0 if self._left >= 1 else max(1.0, (1 - self._left) / self._rate.each_second)

    @property
    def free(self) -> bool:
        """Whether there is a turn to take."""
        self._refill()
        return self._left >= 1 and self._busy < self._rate.on_the_way

    @contextmanager
    def take(self) -> Iterator[None]:
        """One's turn, which lasts as long as the context is open; who takes it has seen that it is free."""
        self._left -= 1
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1

    def _refill(self) -> None:
        now = self._clock()
        more = (now - self._counted) * self._rate.each_second
        self._left, self._counted = min(float(self._rate.at_once), self._left + more), now
