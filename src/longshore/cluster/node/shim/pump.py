"""From a container's stdout and stderr to its log file, line by line, in the CRI's format.

Each line is `<RFC3339Nano> <stdout|stderr> <F|P> <text>`; P says that the line goes on in the next entry of the same
stream. Source: kubernetes/design-proposals, "kubelet-cri-logging". `cluster.node.logs` reads it.
A log has a bound: what is older becomes a hole in the file, which takes no room, while readers keep their places.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress

from longshore.cluster.node.shim import syscalls
from longshore.cluster.node.shim.proctree import LINUX

KEPT_BYTES = 50 << 20  # as a kubelet's 5 files of 10 MiB
_CHUNK = 65536
_LONGEST = 16384  # bytes of an unfinished line that are kept back
_STEP = 10 << 20  # bytes that are dropped at once
_BLOCK = 65536  # a multiple of any file system's


class Log:
    """The file, to which nobody else writes."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._size = os.fstat(descriptor).st_size
        self._dropped = 0
        self._has_bound = LINUX

    def write(self, entries: bytes) -> None:
        """Append; a full disk costs log lines and must not stop the container."""
        view = memoryview(entries)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._size)  # no half an entry, to which the next would be added
            return
        self._size += len(entries)
        if self._has_bound and self._size - self._dropped > KEPT_BYTES + _STEP:
            self._drop()

    def _drop(self) -> None:
        until = (self._size - KEPT_BYTES) // _BLOCK * _BLOCK
        try:
            syscalls.punch_hole(self._descriptor, self._dropped, until - self._dropped)
        except OSError:  # this file system has no holes
            self._has_bound = False
        self._dropped = until


class Stream:
    """One of the two pipes of a container, and what is left of its last line."""

    def __init__(self, name: str, pipe: int, log: Log) -> None:
        self.pipe = pipe
        self._name = name
        self._log = log
        self._rest = b""

    def pump(self) -> bool:
        """Move what is there into the log; False at the end of the stream."""
        data = os.read(self.pipe, _CHUNK)
        if not data:
            if self._rest:
                self._log.write(self._entries(b"P", self._rest))  # as it was written: without a newline
            return False
        lines, newline, self._rest = (self._rest + data).rpartition(b"\n")
        entries = self._entries(b"F", lines) if newline else b""
        if len(self._rest) > _LONGEST:
            entries += self._entries(b"P", self._rest)
            self._rest = b""
        if entries:
            self._log.write(entries)
        return True

    def _entries(self, tag: bytes, lines: bytes) -> bytes:
        """All lines that came in one read carry its time: one replace instead of a loop in Python."""
        prefix = b"%s %s %s " % (timestamp(time.time_ns()).encode(), self._name.encode(), tag)
        return prefix + lines.replace(b"\n", b"\n" + prefix) + b"\n"


def timestamp(nanoseconds: int) -> str:
    """RFC 3339 with nine digits, in UTC."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:09d}Z"
