"""The process that keeps the parts of one cluster running; `python -m longshore.cluster.supervisor FOLDER`.

`cluster.py` starts it, detached. It makes plan.json so, again on SIGHUP, and tells in supervision.json how each part
does. A part that ends is started again with backoff; SIGTERM stops all, each after those that came after it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections import defaultdict
from pathlib import Path

from longshore.cluster.keeper import Keeper
from longshore.cluster.logs import rotate
from longshore.cluster.parts import Part, Plan, Supervision
from longshore.cluster.processes import identify
from longshore.cluster.state import load, save

TEND_EVERY = 10.0  # seconds


class Supervisor:
    """Runs until SIGTERM."""

    def __init__(self, folder: Path) -> None:
        this = identify(os.getpid())
        if this is None:
            raise RuntimeError("a running process must be able to find itself")
        self._this = this
        self._since = time.time()
        self._folder = folder
        self._number = 0
        self._untold = False
        self._keepers: dict[str, Keeper] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ready: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def run(self) -> None:
        """Make the plan so, and whatever it becomes, until told to stop."""
        wake, stopping = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def stop() -> None:
            stopping.set()
            wake.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
        loop.add_signal_handler(signal.SIGHUP, wake.set)
        async with asyncio.TaskGroup() as group:
            tending = group.create_task(self._tend())
            while not stopping.is_set():
                wake.clear()
                await self._follow(load(self._folder / "plan.json", Plan) or Plan(0, ()), group)
                await wake.wait()
            await self._stop(set(self._keepers))
            tending.cancel()

    async def _follow(self, plan: Plan, group: asyncio.TaskGroup) -> None:
        wanted = {part.name: part for part in plan.parts}
        await self._stop({name for name, keeper in self._keepers.items() if wanted.get(name) != keeper.part})
        for part in plan.parts:
            if part.name not in self._keepers:
                self._start(part, group)
        self._number = plan.number
        self._tell()

    def _start(self, part: Part, group: asyncio.TaskGroup) -> None:
        after = [self._ready[name] for name in part.after]
        log = self._folder / "logs" / f"{part.name}.log"
        keeper = Keeper(part, log=log, after=after, ready=self._ready[part.name], tell=self._tell)
        self._keepers[part.name] = keeper
        self._tasks[part.name] = group.create_task(keeper.run(), name=part.name)

    async def _stop(self, names: set[str]) -> None:
        """Stop these, each once those of them that came after it have ended."""
        while names:
            waited_for = {before for name in names for before in self._keepers[name].part.after}
            last = names - waited_for
            for name in last:
                self._tasks[name].cancel()
            await asyncio.wait([self._tasks[name] for name in last])
            for name in last:
                del self._keepers[name], self._tasks[name]
            names = names - last
            self._tell()

    def _tell(self) -> None:
        """Write down how the parts do. That a disk is full is no reason to stop them: it is told when there is room."""
        parts = {name: keeper.state for name, keeper in self._keepers.items()}
        try:
            save(self._folder / "supervision.json", Supervision(self._this, self._since, self._number, parts))
            self._untold = False
        except OSError:
            self._untold = True

    async def _tend(self) -> None:
        """Keep the logs small; lives as long as the supervisor, which cancels it."""
        while True:
            for log in (self._folder / "logs").glob("*.log"):
                await asyncio.to_thread(rotate, log)
            if self._untold:
                self._tell()
            await asyncio.sleep(TEND_EVERY)


def main() -> None:
    """Leave the session and the parent of whoever started this, then supervise."""
    if os.fork():
        os._exit(0)
    os.setsid()
    asyncio.run(Supervisor(Path(sys.argv[1])).run())


if __name__ == "__main__":
    main()
