"""A lock file between processes: two builds, or two `up` of one cluster, wait for each other. A crash frees it."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from longshore.errors import Unavailable


@asynccontextmanager
async def locked(
    path: Path, *, deadline: float, waiting: Callable[[], None], every: float = 0.05
) -> AsyncIterator[None]:
    """Hold the lock; `waiting` is called once if somebody else has it. Unavailable after `deadline` seconds.

    It is asked for `every` so many seconds.
    """
    descriptor = _open(path)
    try:
        await _acquire(descriptor, path, deadline, waiting, every)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold a lock that nobody keeps for longer than it takes to write a few small files."""
    descriptor = _open(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


async def _acquire(descriptor: int, path: Path, deadline: float, waiting: Callable[[], None], every: float) -> None:
    loop = asyncio.get_running_loop()
    until = loop.time() + deadline
    if _try(descriptor):
        return
    waiting()
    while not _try(descriptor):
        if loop.time() > until:
            raise Unavailable(
                f"Another longshore process has held {path} for over {deadline:.0f} s.",
                hint=f"See who with `fuser {path}`, end it, and try again.",
            )
        await asyncio.sleep(every)


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
