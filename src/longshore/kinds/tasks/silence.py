"""Which tasks that promised heartbeats have been silent for too long; pure. `as_processes` and `monitor` act on it.

A beat is heard of over the bus only. So silence counts from when this process could hear: from its own start, from
when a broken link to the others came back, and from when it woke where it did not run for long, stopped or starved:
beats may have come meanwhile that it has yet to hear. While the link is down nobody is judged.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

CHECK_SECONDS = 60.0
LIMIT_SECONDS = 300.0
RETRIES = 2


class Promise(Struct, frozen=True):
    """A running attempt of a task that promised heartbeats. Times are in seconds of one clock; None: no beat yet."""

    id: str
    since: float
    beat: float | None
    retries_left: int


class Verdict(Struct, frozen=True):
    """This attempt is over; `again`: another one is due."""

    id: str
    silent: float
    again: bool


def overslept(slept: float, *, meant: float, limit: float) -> bool:
    """Whether a sleep between two looks was so long that this process cannot have run."""
    return slept - meant > limit / 2


def verdicts(
    promises: Iterable[Promise], now: float, *, hears_since: float | None, limit: float = LIMIT_SECONDS
) -> list[Verdict]:
    if hears_since is None:
        return []
    found = []
    for promise in promises:
        last = max(promise.since, hears_since, promise.since if promise.beat is None else promise.beat)
        if now - last > limit:
            found.append(Verdict(promise.id, now - last, promise.retries_left > 0))
    return found
