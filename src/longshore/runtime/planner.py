"""Calls `plan` for `runtime.controller` and sees how long it takes: it runs on the event loop and holds up all else.

One that does not return cannot be told of on the loop, which it holds; a thread of its own names the key and the line.
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from datetime import datetime
from time import monotonic
from typing import Generic, TypeVar

import structlog

from longshore.runtime import metrics
from longshore.runtime.clock import Clock
from longshore.runtime.plan import Plan

K = TypeVar("K", bound=Hashable)
SLOW_SECONDS = 0.1  # nothing else runs meanwhile, renewing the lease neither
BLOCKED_SECONDS = 5.0
FRAMES = 3  # of the stack, the innermost
log = structlog.get_logger()


class Planner(Generic[K]):
    """`controller` is what metrics and logs call the one that it plans for."""

    def __init__(
        self, controller: str, plan: Callable[[K, datetime], Plan], clock: Clock, now: Callable[[], datetime]
    ) -> None:
        self._plan = plan
        self._clock = clock
        self._now = now
        self._current: tuple[K, float, int] | None = None  # the key, since when, in which thread
        self._seconds = metrics.PLAN_SECONDS.labels(controller)
        self._name = controller
        self._log = log.bind(controller=controller)

    def decide(self, key: K) -> Plan:
        """Raises whatever the plan raises."""
        began = self._clock.time()
        self._current = (key, monotonic(), threading.get_ident())
        try:
            return self._plan(key, self._now())
        finally:
            self._current = None
            seconds = self._clock.time() - began
            self._seconds.observe(seconds)
            if seconds > SLOW_SECONDS:
                self._log.warning("a plan held up everything else", key=key, seconds=seconds)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """For as long as the controller runs."""
        ended = threading.Event()
        thread = threading.Thread(target=self._watch, args=(ended,), name=f"{self._name}-planner", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _watch(self, ended: threading.Event) -> None:
        told: object = None
        while not ended.wait(BLOCKED_SECONDS / 4):
            now = monotonic()  # first: whoever is put aside after it takes no plan for slow that has ended meanwhile
            current = self._current
            if current is None or current is told:
                continue
            key, since, thread = current
            if (seconds := now - since) < BLOCKED_SECONDS:
                continue
            where = _where(thread)
            if self._current is current:  # else that is where another plan is
                told = current
                self._log.error("a plan does not return", key=key, seconds=round(seconds, 1), where=where)


def _where(thread: int) -> str:
    """What the thread is at."""
    frame = sys._current_frames().get(thread)
    return "".join(traceback.format_stack(frame)[-FRAMES:]) if frame is not None else ""
