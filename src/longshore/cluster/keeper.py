"""Keeps one part running: starts it, sees it become ready, starts it again when it ends. For the supervisor."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from longshore.cluster.logs import note
from longshore.cluster.parts import Part, PartState, passes
from longshore.cluster.processes import identify

BACKOFF_FIRST, BACKOFF_MOST = 0.5, 30.0  # seconds
STEADY = 60.0  # a part that ran this long has recovered: the next backoff begins anew
ASK_FIRST, ASK_MOST = 0.05, 1.0  # seconds between two questions whether it is ready
NOT_FOUND = 127  # as a shell would say


class Keeper:
    """`after` are the events of the parts it waits for, `ready` its own; `tell` is called when `state` changes."""

    def __init__(
        self,
        part: Part,
        *,
        log: Path,
        after: Sequence[asyncio.Event],
        ready: asyncio.Event,
        tell: Callable[[], None],
    ) -> None:
        self.part = part
        self.state = PartState()
        self._log = log
        self._after = after
        self._ready = ready
        self._tell = tell

    async def run(self) -> None:
        """Lives until cancelled, which ends the process first."""
        failures = 0
        while True:
            for event in self._after:
                await event.wait()
            began = time.monotonic()
            await self._run_once()
            failures = 1 if time.monotonic() - began > STEADY else failures + 1
            self.state.restarts += 1
            self._tell()
            ceiling = min(BACKOFF_MOST, BACKOFF_FIRST * 2 ** (failures - 1))
            await asyncio.sleep(random.uniform(ceiling / 4, ceiling))  # noqa: S311 - not a secret

    async def _run_once(self) -> None:
        """Start the process, and return when it has ended and is no longer ready."""
        spawning = asyncio.create_task(self._spawn())
        try:
            process = await asyncio.shield(spawning)
        except asyncio.CancelledError:  # it may have begun long ago, and ends as any other
            with suppress(OSError):
                await self._end(await spawning)
            raise
        except OSError as error:
            note(self._log, f"cannot start {self.part.argv[0]}: {error.strerror}")
            self.state.exit = NOT_FOUND
            return
        watch = asyncio.create_task(self._watch_ready())
        try:
            self.state.process = identify(process.pid)
            self.state.since = time.time()
            self._tell()
            code = await process.wait()
            note(self._log, f"ended, exit code {code}")
            self.state.exit = code
        finally:
            watch.cancel()
            await self._end(process)
            self._ready.clear()
            self.state.process, self.state.ready = None, False

    async def _spawn(self) -> asyncio.subprocess.Process:
        note(self._log, f"starting {' '.join(self.part.argv)}")
        with self._log.open("ab") as output:
            return await asyncio.create_subprocess_exec(
                *self.part.argv,
                env={**os.environ, **self.part.env},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    async def _watch_ready(self) -> None:
        pause = ASK_FIRST
        while self.part.ready and not await passes(self.part.ready):
            await asyncio.sleep(pause)
            pause = min(ASK_MOST, pause * 1.2)
        self.state.ready = True
        self._ready.set()
        self._tell()

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        """SIGTERM, then SIGKILL to the whole group when the grace is over."""
        if process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), self.part.grace)
            return
        note(self._log, f"still running {self.part.grace:.0f} s after SIGTERM: killed")
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
