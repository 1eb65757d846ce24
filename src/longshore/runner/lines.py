"""Follows a file of JSON lines that a task appends to: how far it is, and with each line that it is alive.

A line is `{"progress": 0.5, "stage": "...", "message": "..."}`, each member optional. `send` asks once a second, and so
does longshore itself for the tasks that it runs as processes.
"""

import json
import math
import os
import stat
from pathlib import Path

from longshore.runner.progress import Progress

_TAIL = 16 * 1024  # bytes; the newest line must fit
_LONGEST_STAGE, _LONGEST_MESSAGE = 100, 500


class JsonLines:
    """Reads the newest whole line, at most one small read however fast the file grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._size = 0

    def poll(self) -> Progress | None:
        """What the newest whole line says, None when there is none since the last time."""
        try:
            # whoever runs the command owns this path: a FIFO in its place must not hold us
            file = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        except OSError:
            return None  # not made yet
        try:
            size = os.fstat(file).st_size
            if not stat.S_ISREG(os.fstat(file).st_mode) or size == self._size:
                return None
            start = max(0, size - _TAIL)
            # not beyond that size, though the file may grow this moment: what is told is what is remembered
            whole, _, rest = os.pread(file, size - start, start).rpartition(b"\n")
            if size - len(rest) == self._size or not whole:
                return None  # a line has begun and is not whole yet
            self._size = size - len(rest)
            return read(whole.rpartition(b"\n")[2])
        finally:
            os.close(file)


def read(line: bytes) -> Progress:
    """A line that says nothing that can be read still says that the task is alive."""
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        return Progress(None, "", "", {})
    fraction = told.get("progress")
    if not isinstance(fraction, int | float) or not math.isfinite(fraction):
        fraction = None
    return Progress(
        None if fraction is None else float(min(1, max(0, fraction))),
        str(told.get("stage") or "")[:_LONGEST_STAGE],
        str(told.get("message") or "")[:_LONGEST_MESSAGE],
        {},
    )
