"""How long a leader may act: `runtime.leader` hands out a Term each time that it leads, a controller asks it before
each action.

A Lease alone only bounds how long nobody leads: a process that was stopped, swapped out or asleep goes on where it was
and does not know that another leads by now. The fence is of two parts:

- Here, by a clock that also counts sleep: no action begins later than `renew` seconds after the last renewal that
  succeeded was sent. Another leads `lease` seconds after it at the earliest, so what is left for an action on its way
  is the difference.
- At the API server: what is on its way for longer still (a stall between the question here and the socket, the
  client's own retries, a slow network) arrives after another has acted. Then its preconditions decide: a patch or an
  apply with uid and resourceVersion, a delete with a uid, a create of a name are refused with 409.

What neither bounds: an action without preconditions that is on its way for too long, and what a kind's own Effect
does after it has begun. Those must do no harm when they are late or repeated.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from longshore.runtime.clock import boottime


class TermOver(Exception):
    """Another may lead by now, so nothing more is done. It ends the controller; its leader takes part again."""


class Term:
    """One time of leading. Times are seconds of `clock`."""

    def __init__(self, until: float, clock: Callable[[], float] = boottime) -> None:
        self._until = until
        self._clock = clock
        self._ended = False

    @property
    def left(self) -> float:
        """Seconds for which the lease is surely still ours; none or less when it is over."""
        return -math.inf if self._ended else self._until - self._clock()

    def check(self) -> None:
        """Raises TermOver unless the lease is surely still ours."""
        left = self.left
        if left <= 0:
            raise TermOver("the lease is no longer ours" if self._ended else f"the lease ran out {abs(left):.1f} s ago")

    def extend(self, until: float) -> None:
        """The lease was renewed, so nobody else had it in between. Called by the leader alone."""
        self._until = max(self._until, until)

    def end(self) -> None:
        """Over for good, whatever the leader does later. Called by the leader alone."""
        self._ended = True
