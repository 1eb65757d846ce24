"""Runs one command of the operator's as a child of this process: a group of its own, an end in time, a bounded output.

Called by `as_processes` alone. The child sees what it is given and nothing of the service's own environment.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from longshore.errors import UserMistake

KEPT_BYTES = 64 * 1024
GRACE_SECONDS = 5.0
DRAIN_SECONDS = 2.0
_CHUNK = 64 * 1024
# of the service's environment; anything else may hold a secret
INHERITED = ("PATH", "LANG", "LC_ALL", "TZ")


class Output:
    """The last bytes of an output, and the size and digest of all of it."""

    def __init__(self, most: int = KEPT_BYTES) -> None:
        self._most = most
        self._kept = bytearray()
        self._digest = hashlib.sha256()
        self.size = 0

    def add(self, chunk: bytes) -> None:
        self.size += len(chunk)
        self._digest.update(chunk)
        self._kept += chunk
        del self._kept[: max(0, len(self._kept) - self._most)]

    @property
    def text(self) -> str:
        return self._kept.decode(errors="replace")

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


async def run(argv: Sequence[str], env: Mapping[str, str], folder: Path, output: Output, seconds: float | None) -> int:
    """Its exit code, negative for a signal. Raises TimeoutError past `seconds`, UserMistake where it cannot be
    started. However this ends, cancelled too, nothing of its group is left. What has ended by itself when its time is
    over, or it is cancelled, has its exit code, also where asyncio has yet to hear of it or its output is still read.
    """
    # a pipe of our own: asyncio's own would have wait() wait for whoever else holds it
    ours, theirs = os.pipe()
    reading = asyncio.create_task(_read(ours, output))
    starting = asyncio.ensure_future(_start(argv, env, folder, theirs))
    by_itself = False
    try:
        await _to_its_end(starting)  # cut off in the midst it would leave what the command has begun
        async with asyncio.timeout(seconds):
            await starting.result().wait()
        by_itself = True
    except (TimeoutError, asyncio.CancelledError):
        by_itself = not starting.exception() and _has_ended(starting.result())
        if not by_itself:
            raise
    finally:
        try:
            await _to_its_end(_end(None if starting.exception() else starting.result(), reading))
        except asyncio.CancelledError:
            if not by_itself:
                raise
    return await starting.result().wait()


async def _start(argv: Sequence[str], env: Mapping[str, str], folder: Path, theirs: int) -> asyncio.subprocess.Process:
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    try:
        return await asyncio.create_subprocess_exec(
            *argv,
            env={"HOME": str(folder), **inherited, **env},
            cwd=folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise UserMistake(f"the command cannot be started: {error}", hint="see command in TASK_TEMPLATE") from None
    finally:
        os.close(theirs)


def _has_ended(process: asyncio.subprocess.Process) -> bool:
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # asyncio has taken note
        return True


async def _read(pipe: int, output: Output) -> None:
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, os.fdopen(pipe, "rb"))
    try:
        while chunk := await reader.read(_CHUNK):
            output.add(chunk)
    finally:
        transport.close()


async def _end(process: asyncio.subprocess.Process | None, reading: asyncio.Task[None]) -> None:
    """End what is left of the group, politely first where its leader still runs, and read what it said last."""
    if process is not None:
        if process.returncode is None:
            _signal(process.pid, signal.SIGTERM)
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), GRACE_SECONDS)
        _signal(process.pid, signal.SIGKILL)
        await process.wait()
    await asyncio.wait([reading], timeout=DRAIN_SECONDS)
    if not reading.done():  # what has left the group holds the pipe open
        reading.cancel()
        await asyncio.wait([reading])


async def _to_its_end(work: Awaitable[Any]) -> None:
    """However often whoever waits for it is cancelled meanwhile: a service that stops cancels what was cancelled."""
    doing, cancelled = asyncio.ensure_future(work), False
    while not doing.done():
        try:
            await asyncio.wait([doing])
        except asyncio.CancelledError:
            cancelled = True
    doing.result()
    if cancelled:
        raise asyncio.CancelledError


def _signal(group: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, number)
