"""The node's disk: how full it is, for the Node's condition, and what it refuses, in words for a pod's owner."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from longshore.errors import LongshoreError

_LEAST_PART = 0.05  # of the file system, as the kubelet's nodefs.available
_LEAST_BYTES = 1 << 30  # enough also where one part in twenty is much more
_MIB = 1 << 20


class DiskRefused(LongshoreError):
    """The machine did not let us write: the disk is full or read-only, or somebody else's."""


class Disk(Struct, frozen=True, gc=False):
    """The file system that holds `folder`; bytes, `free` for this user."""

    folder: str
    total: int
    free: int

    @property
    def least(self) -> int:
        return min(int(self.total * _LEAST_PART), _LEAST_BYTES)

    @property
    def is_full(self) -> bool:
        return self.free < self.least

    @property
    def message(self) -> str:
        """What the Node says of it, with the numbers."""
        much = f"{self.free / _MIB:,.1f} MiB of {self.total / _MIB:,.1f} MiB are free where {self.folder} is"
        return f"{much}; {'pods wait for' if self.is_full else 'pods are taken down to'} {self.least / _MIB:,.1f} MiB"

    def need_room(self) -> None:
        """Raise unless a node can start: what it finds out about the machine would be wrong on a disk without room."""
        if self.free < _MIB:
            hint = "free some of it; the cluster starts the node again by itself"
            raise LongshoreError(f"The disk is full: {self.message}.", hint=hint)


def look(folder: Path) -> Disk:
    usage = shutil.disk_usage(folder)
    return Disk(str(folder), usage.total, usage.free)


@contextmanager
def refusals(folder: Path) -> Iterator[None]:
    """What the machine refuses to do in `folder` becomes a DiskRefused, which the pod's owner is told."""
    try:
        yield
    except OSError as error:
        if error.errno is None:  # no refusal of the machine's, but a deadline
            raise
        name = errno.errorcode.get(error.errno, str(error.errno))
        where = error.filename or folder  # a write names no file
        raise DiskRefused(f"{where}: {error.strerror} ({name})") from error
