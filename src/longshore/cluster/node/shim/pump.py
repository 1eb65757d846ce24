"""From a container's stdout and stderr to its log file, line by line, in the CRI's format.

Each line is `<RFC3339Nano> <stdout|stderr> <F|P> <text>`; P says that the line goes on in the next entry of the same
stream. Source: kubernetes/design-proposals, "kubelet-cri-logging". `cluster.node.logs` reads it.
"""

from __future__ import annotations

import os
import time

_CHUNK = 65536
_LONGEST = 16384  # bytes of an unfinished line that are kept back


class Stream:
    """One of the two pipes of a container, and what is left of its last line."""

    def __init__(self, name: str, pipe: int, log: int) -> None:
        self.pipe = pipe
        self._name = name
        self._log = log
        self._rest = b""

    def pump(self) -> bool:
        """Move what is there into the log; False at the end of the stream."""
        data = os.read(self.pipe, _CHUNK)
        if not data:
            if self._rest:
                self._write(self._entries(b"P", self._rest))  # as it was written: without a newline
            return False
        lines, newline, self._rest = (self._rest + data).rpartition(b"\n")
        entries = self._entries(b"F", lines) if newline else b""
        if len(self._rest) > _LONGEST:
            entries += self._entries(b"P", self._rest)
            self._rest = b""
        if entries:
            self._write(entries)
        return True

    def _entries(self, tag: bytes, lines: bytes) -> bytes:
        """All lines that came in one read carry its time: one replace instead of a loop in Python."""
        prefix = b"%s %s %s " % (timestamp(time.time_ns()).encode(), self._name.encode(), tag)
        return prefix + lines.replace(b"\n", b"\n" + prefix) + b"\n"

    def _write(self, data: bytes) -> None:
        """Append; a full disk costs log lines and must not stop the container."""
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._log, view) :]
        except OSError:
            return


def timestamp(nanoseconds: int) -> str:
    """RFC 3339 with nine digits, in UTC."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:09d}Z"
