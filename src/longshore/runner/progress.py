"""Follows SUMO's summary output while SUMO still writes it, and says how far the simulation is.

`send` asks once a second. SUMO writes the file in blocks of 8 KiB (about 30 steps), so its last line is mostly half.
Format: https://sumo.dlr.de/docs/Simulation/Output/Summary.html
"""

import os
import re
import stat
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

# a step takes about 280 bytes; the tail of a block is enough to hold the newest whole one
_TAIL = 64 * 1024
_WINDOW_SECONDS = 5.0
_STEP = re.compile(rb"<step ([^<>]*)/>")
_ATTRIBUTE = re.compile(rb'(\w+)="([^"]*)"')
_VALUES = {
    "running": "running",
    "waiting": "waiting",
    "arrived": "arrived",
    "teleports": "teleports",
    "meanSpeed": "mean_speed_mps",
}


class Progress(NamedTuple):
    """How far the work is: `fraction` from 0 to 1 or None, and numbers worth a curve."""

    fraction: float | None
    stage: str
    message: str
    values: dict[str, float]

    def document(self) -> dict[str, Any]:
        """The body that the API takes."""
        return self._asdict()


class SumoSummary:
    """Reads what was appended since the last poll; at most two small reads, however fast the file grows."""

    def __init__(self, path: Path, end: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._end, self._clock = path, end, clock
        self._restart()

    def _restart(self) -> None:
        self._begin: float | None = None
        self._latest = -1.0
        self._seen: deque[tuple[float, float]] = deque()
        self._size = 0

    def poll(self) -> Progress | None:
        """The progress by the newest whole step, None when there is no newer one than last time."""
        try:
            # the user's container owns this path: a FIFO in its place must not hold the sidecar
            file = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        except OSError:
            return None  # SUMO has not made it yet
        try:
            return self._read(file) if stat.S_ISREG(os.fstat(file).st_mode) else None
        finally:
            os.close(file)

    def _read(self, file: int) -> Progress | None:
        size = os.fstat(file).st_size
        if size < self._size:  # written anew
            self._restart()
        if size == self._size:
            return None
        self._size = size
        if self._begin is None:
            first = _STEP.search(os.pread(file, _TAIL, 0))
            self._begin = _step(first[1]).get("time") if first else None
        steps = _STEP.findall(os.pread(file, _TAIL, max(0, size - _TAIL)))
        step = _step(steps[-1]) if steps else {}
        if self._begin is None or step.get("time", -1.0) <= self._latest:
            return None
        self._latest = step["time"]
        return self._report(self._begin, step)

    def _report(self, begin: float, step: dict[str, float]) -> Progress:
        now, at = self._clock(), step["time"]
        self._seen.append((now, at))
        while len(self._seen) > 2 and now - self._seen[1][0] >= _WINDOW_SECONDS:
            self._seen.popleft()
        values = {name: step[key] for key, name in _VALUES.items() if step.get(key, -1.0) >= 0}
        values["simulated_s"] = at
        message = f"{at:,.0f} s simulated"
        fraction = None
        if self._end is not None and self._end > begin:
            fraction = min(1.0, max(0.0, (at - begin) / (self._end - begin)))
            values["end_s"] = self._end
            message = f"{at:,.0f} of {self._end:,.0f} s simulated"
        if "running" in values:
            message += f", {values['running']:,.0f} vehicles running"
        since, was = self._seen[0]
        if now > since and at > was:
            values["real_time_factor"] = round((at - was) / (now - since), 2)
            message += f", {values['real_time_factor']:,.0f}× real time"
        return Progress(fraction, "running", message, values)


def _step(attributes: bytes) -> dict[str, float]:
    """The numeric attributes of a step; others, and what is not finite, are left out."""
    step = {}
    for name, value in _ATTRIBUTE.findall(attributes):
        seconds = seconds_of(value.decode("ascii", "replace"))
        if seconds is not None:
            step[name.decode("ascii")] = seconds
    return step


def seconds_of(text: str) -> float | None:
    """A SUMO time or number: `3600.00`, `1:00:00` or `1:00:00:00` (with `human-readable-time`); None for others."""
    try:
        days, hours, minutes, seconds = ([0.0] * 4 + [float(part) for part in text.split(":")])[-4:]
    except ValueError:
        return None
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    return total if abs(total) < 1e15 else None
