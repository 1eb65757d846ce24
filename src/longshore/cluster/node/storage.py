"""How much of the disk a pod takes, looked at now and then, for `worker` to evict it when that is too much."""

from __future__ import annotations

import asyncio
import os
import stat
import time
from contextlib import suppress
from pathlib import Path

from longshore.cluster.node import limits
from longshore.cluster.node.limits import Usage
from longshore.cluster.node.model import Pod

_PERIOD_SECONDS = 1.0
_SHARE = 20  # looking may take one such part of the time


async def exceeded(folder: Path, pod: Pod) -> str:
    """Wait until the pod in `folder` takes more than it may, and say in the kubelet's words of what."""
    while True:
        begun = time.monotonic()
        usage = await asyncio.to_thread(measure, folder)
        if why := limits.exceeded(pod, usage):
            return why
        await asyncio.sleep(max(_PERIOD_SECONDS, _SHARE * (time.monotonic() - begun)))


def measure(folder: Path) -> Usage:
    """Of one pod."""
    return Usage(_each(folder / "volumes"), _each(folder / "containers"))


def _each(folder: Path) -> dict[str, int]:
    with suppress(FileNotFoundError):
        return {entry.name: _size(entry) for entry in os.scandir(folder)}
    return {}


def _size(top: os.DirEntry[str]) -> int:
    """Bytes that are allocated, as the kubelet counts: holes are free, a file with many names counts once."""
    linked: set[int] = set()
    size = 0
    entries = [top]
    while entries:
        entry = entries.pop()
        with suppress(OSError):  # it is gone meanwhile, or its owner closed it
            seen = entry.stat(follow_symlinks=False)
            if seen.st_nlink > 1 and not stat.S_ISDIR(seen.st_mode):
                if seen.st_ino in linked:
                    continue
                linked.add(seen.st_ino)
            size += seen.st_blocks * 512
            if entry.is_dir(follow_symlinks=False):
                entries += os.scandir(entry)
    return size
