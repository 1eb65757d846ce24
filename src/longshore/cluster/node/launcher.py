"""The node's side of the launcher process: start a container, run a command in one, learn when one has ended."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from longshore.cluster import processes
from longshore.cluster.node.shim import holder
from longshore.cluster.processes import Process
from longshore.cluster.state import load
from longshore.errors import LongshoreError, Unavailable

_ANSWER_SECONDS = 60.0
_KILL_SECONDS = 5.0
_CLOSE_SECONDS = 2.0
_POLL_SECONDS = 0.1
_LINUX = sys.platform == "linux"


class Answer(Struct, frozen=True):
    """What the launcher said: the holder's pid, or a command's exit code and the end of its output."""

    id: int
    pid: int = 0
    code: int = 0
    output: str = ""
    error: str = ""


class Launcher:
    """The launcher process, started again when it dies. Made by `launcher`."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._readers: set[asyncio.Task[None]] = set()
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Answer]] = {}  # for this process
        self._starting = asyncio.Lock()

    async def start(self, folder: Path) -> None:
        """Start the container described in `folder`; its pid is in the folder then. LongshoreError when it cannot."""
        try:
            await self._ask({"folder": str(folder)}, _ANSWER_SECONDS)
        except Unavailable:
            if not await asyncio.to_thread(_is_held, folder):  # else it goes on, whoever was to say so
                raise

    async def run(self, folder: Path, argv: list[str], seconds: float) -> Answer:
        """Run a command inside a running container; TimeoutError (and the command is killed) when it takes longer."""
        answer = await self._ask({"folder": str(folder), "argv": argv, "timeout": seconds}, seconds + _ANSWER_SECONDS)
        if answer.code < 0:
            raise TimeoutError
        return answer

    async def _ask(self, request: dict[str, object], deadline: float) -> Answer:
        process, waiting = await self._running()
        number = next(self._numbers)
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        waiting[number] = future
        try:
            assert process.stdin is not None
            process.stdin.write(msgspec.json.encode({"id": number, **request}) + b"\n")
            async with asyncio.timeout(deadline):
                await process.stdin.drain()
                answer = await future
        except (ConnectionError, TimeoutError):
            await self._give_up(process)
            raise Unavailable("the launcher of containers does not answer", hint="see the node's log") from None
        finally:
            del waiting[number]
        if answer.error:
            raise LongshoreError(answer.error)
        return answer

    async def _give_up(self, process: asyncio.subprocess.Process) -> None:
        """What it has not begun by now it must not begin later, when nobody knows of that any more.

        With it end the starts that it is about; the holders that they have made by then go on.
        """
        if self._process is process:
            self._process = None
        with suppress(ProcessLookupError):
            process.kill()
        with suppress(TimeoutError):
            async with asyncio.timeout(_KILL_SECONDS):
                while process.returncode is None:  # noqa: ASYNC110 - `wait` waits for what it forked, too
                    await asyncio.sleep(_POLL_SECONDS)

    async def _running(self) -> tuple[asyncio.subprocess.Process, dict[int, asyncio.Future[Answer]]]:
        """The process, and who waits for its answers."""
        async with self._starting:
            if self._process is None or self._process.returncode is not None:
                command = [sys.executable, "-P", "-m", "longshore.cluster.node.shim"]
                pipe = asyncio.subprocess.PIPE
                self._process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
                self._waiting = {}
                reader = asyncio.create_task(self._read(self._process, self._waiting))
                self._readers.add(reader)
                reader.add_done_callback(self._readers.discard)
            return self._process, self._waiting

    async def _read(self, process: asyncio.subprocess.Process, waiting: dict[int, asyncio.Future[Answer]]) -> None:
        """Until nobody can answer any more: what the process forked may do so after its end."""
        assert process.stdout is not None
        while line := await process.stdout.readline():
            answer = msgspec.json.decode(line, type=Answer)
            if (future := waiting.get(answer.id)) and not future.done():
                future.set_result(answer)
        await process.wait()
        for future in waiting.values():
            if not future.done():
                future.set_exception(ConnectionResetError())

    async def close(self) -> None:
        """End the launcher; holders and containers go on, and what still answers, as a probe that hangs, is left."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        if self._readers:
            _, left = await asyncio.wait(self._readers, timeout=_CLOSE_SECONDS)
            for reader in left:
                reader.cancel()
            await asyncio.gather(*left, return_exceptions=True)


@asynccontextmanager
async def launcher() -> AsyncIterator[Launcher]:
    """A launcher for as long as the node lives; the process starts with the first container."""
    launcher = Launcher()
    try:
        yield launcher
    finally:
        await launcher.close()


def _is_held(folder: Path) -> bool:
    """Whether a holder has the container described in `folder`."""
    held = load(folder / "pid", Process)
    return held is not None and processes.is_running(held)


async def ended(process: Process) -> None:
    """Wait for the end of a process that is not our child: the launcher reaps it, or init."""
    if _LINUX:
        with suppress(ProcessLookupError):
            descriptor = os.pidfd_open(process.pid)
            try:
                if processes.is_running(process):  # else the pid may be another's by now
                    await _readable(descriptor)
            finally:
                os.close(descriptor)
    else:
        while processes.is_running(process):  # noqa: ASYNC110 - nothing else tells of another's child
            await asyncio.sleep(_POLL_SECONDS)


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(descriptor, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(descriptor)


def signal(process: Process, number: int) -> None:
    """Send a signal to a holder, unless it has ended."""
    with suppress(ProcessLookupError):
        if processes.is_running(process):
            os.kill(process.pid, number)


STOP, KILL = holder.STOP, holder.KILL
