"""Whether a container's processes use more memory than it may, by looking at them now and then. The holder asks.

What counts is what a kernel could not drop before it kills: memory that is no file's, with what processes share counted
once (proc_pid_smaps_rollup(5)). The sum of resident pages is ten times cheaper to read and never less, so that as long
as it is within the limit nothing else is read. What looking can miss is in decisions/0009-limits-by-looking.md.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress

_PAGE = os.sysconf("SC_PAGE_SIZE")
_SOON, _LATE = 0.05, 1.0  # seconds
_NEAR = 0.8  # of the limit
_GROWS = 0.02  # of the limit, since the last look
_SHARE = 50  # a container's looks may take one such part of a CPU
_MEASURED = b"Pss_Anon:", b"Pss_Shmem:"  # since Linux 5.9


class Memory:
    """Of one container, whose holder we are. `limit` in bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._processes = _Processes()
        self._used = 0
        self._pause = _SOON
        self._due = time.monotonic()

    @property
    def due_in(self) -> float:
        """Seconds until it must be looked at again."""
        return max(0.0, self._due - time.monotonic())

    def is_exceeded(self) -> bool:
        """Looks, if it is time to."""
        begun = time.monotonic()
        if begun < self._due:
            return False
        used = self._measure()
        now = time.monotonic()
        self._pause = pause(self._pause, self._used / self._limit, used / self._limit, now - begun)
        self._used, self._due = used, now + self._pause
        return used > self._limit

    def _measure(self) -> int:
        pids = self._processes.pids()
        used = sum(map(resident, pids))
        return used if used <= self._limit else sum(map(unshared, pids))


def pause(before: float, was: float, used: float, cost: float) -> float:
    """Seconds until the next look. `was` and `used` are parts of the limit, `cost` is what a look takes in seconds."""
    calm = used < _NEAR and used - was < _GROWS
    return max(min(before * 2, _LATE) if calm else _SOON, cost * _SHARE)


def resident(pid: int) -> int:
    """Bytes of all pages that a process has in memory, 0 when it has ended."""
    with suppress(OSError):
        return int(_read(f"/proc/{pid}/statm").split()[1]) * _PAGE
    return 0


def unshared(pid: int) -> int:
    """Bytes that are no file's, of what is shared this process's part; without what is shared where we may not know."""
    with suppress(OSError):
        lines = [line.split() for line in _read(f"/proc/{pid}/smaps_rollup").splitlines()[1:]]
        found = {line[0]: int(line[1]) * 1024 for line in lines}
        return sum(found[name] for name in _MEASURED) if _MEASURED[0] in found else found.get(b"Pss:", 0)
    with suppress(OSError):
        pages, shared = map(int, _read(f"/proc/{pid}/statm").split()[1:3])
        return (pages - shared) * _PAGE
    return 0


class _Processes:
    """Those of the container: all others of a PID namespace whose init we are, else all below us."""

    def __init__(self) -> None:
        self._self = int(os.readlink("/proc/self"))  # another than getpid() where /proc is an outer namespace's
        self._alone = self._self == os.getpid() == 1
        self._others: set[int] = set()

    def pids(self) -> Iterable[int]:
        found = {int(name) for name in os.listdir("/proc") if name.isdigit()} - {self._self}
        return found if self._alone else self._below(found)

    def _below(self, found: set[int]) -> set[int]:
        """Those of others are remembered, so that a look costs what is new on the machine."""
        parents = {pid: parent for pid in found - self._others if (parent := _parent(pid)) is not None}
        below: set[int] = set()
        level = {self._self}
        while level:
            level = {pid for pid, parent in parents.items() if parent in level}
            below |= level
        # whose parent vanished meanwhile is looked at again: it may be ours by then
        known = {0, *self._others, *parents}
        self._others &= found
        self._others |= {pid for pid, parent in parents.items() if pid not in below and parent in known}
        return below


def _parent(pid: int) -> int | None:
    with suppress(OSError):
        return int(_read(f"/proc/{pid}/stat").rpartition(b")")[2].split()[1])
    return None


def _read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 8192)
    finally:
        os.close(descriptor)
