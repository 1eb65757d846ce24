"""How long to wait before trying again: exponential, capped, with full jitter. Used by the client and the reflector.

Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015 (full jitter).
"""

from random import Random


class Backoff:
    """The n-th wait in a row is uniform in [0, min(cap, base * 2**n)] seconds, on top of what the server asked for."""

    def __init__(self, base: float, cap: float, rng: Random) -> None:
        self._base = base
        self._cap = cap
        self._rng = rng
        self._failures = 0

    def next(self, retry_after: float = 0.0) -> float:
        ceiling = min(self._cap, self._base * 2 ** min(self._failures, 32))
        self._failures += 1
        return retry_after + self._rng.uniform(0, ceiling)

    def reset(self) -> None:
        self._failures = 0
