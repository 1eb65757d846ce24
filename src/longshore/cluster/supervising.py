"""A cluster's supervisor as `cluster` sees it: starts it, waits for what it keeps running, and ends what it left."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence

from longshore.cluster.logs import tail
from longshore.cluster.parts import PartState, Plan, Supervision
from longshore.cluster.processes import MARKER, Process, end, is_running, marked
from longshore.cluster.progress import Report, Step
from longshore.cluster.state import Folder, load, save
from longshore.errors import LongshoreError

READY_WITHIN = 180.0  # seconds from the start of the supervisor
SUPERVISOR_WITHIN = 60.0  # seconds until it must have said something
GIVE_UP_AFTER = 4  # restarts of a part that was never ready
LEFTOVER_GRACE = 20.0  # for a part; what it started gets less, having lost it
ORPHAN_GRACE = 3.0
ROUNDS = 20  # of ending what those that are ended have started meanwhile
STOP_PATIENCE = 90.0  # more than the graces of parts in a row


class ClusterFailed(LongshoreError):
    """The cluster did not come up, or could not be stopped."""


class Supervising:
    """Of the cluster of this name, whose state is in this folder."""

    def __init__(self, name: str, folder: Folder) -> None:
        self._name = name
        self._folder = folder

    def said(self) -> Supervision | None:
        """What the supervisor says, if it runs."""
        said = load(self._folder.supervision, Supervision)
        return said if said and is_running(said.supervisor) else None

    async def start(self, progress: Report) -> None:
        progress(Step("starting the cluster"))
        with (self._folder.logs / "supervisor.log").open("ab") as log:
            launcher = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "longshore.cluster.supervisor", str(self._folder.root)),
                env={**os.environ, MARKER: str(self._folder.root)},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if await launcher.wait():
            raise self._not_ready("supervisor")

    async def until_ready(
        self, plan: Plan, until: Sequence[str], asked: Sequence[str], restarts: dict[str, int], progress: Report
    ) -> None:
        """Until the parts named in `until` are. ClusterFailed when one of them or of `asked` keeps ending.

        `restarts` keeps, from one call to the next, how often each had been started when first looked at.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        names = list(dict.fromkeys((*until, *asked)))
        while True:
            said = self.said()
            if said is None and loop.time() - began > SUPERVISOR_WITHIN:
                raise self._not_ready("supervisor")
            states = said.parts if said and said.number == plan.number else {}
            waiting = [name for name in names if not (name in states and _is_ready(states[name]))]
            if not set(waiting) & set(until):
                return
            progress(Step("starting the cluster", ", ".join(waiting), len(names) - len(waiting), len(names)))
            for name in waiting:
                count = states[name].restarts if name in states else 0
                if count - restarts.setdefault(name, count) >= GIVE_UP_AFTER:
                    raise self._not_ready(name)
            if loop.time() - began > READY_WITHIN:
                raise self._not_ready(waiting[0])
            await asyncio.sleep(0.05)

    def _not_ready(self, part: str) -> ClusterFailed:
        log = self._folder.logs / f"{part}.log"
        last = tail(log, 8)[1].decode(errors="replace") if log.exists() else ""
        return ClusterFailed(
            f"{part} of cluster {self._name} did not become ready. Its last words:\n{last}".rstrip(),
            hint=f"`longshore cluster logs {part} --cluster {self._name}` shows all of them",
        )

    async def undo(self, running: Plan | None, progress: Report) -> None:
        """Back to what ran before `up`."""
        said = self.said()
        if running is None or said is None:
            await self.stop(progress)
            return
        save(self._folder.plan, Plan(running.number + 2, running.parts))
        os.kill(said.supervisor.pid, signal.SIGHUP)

    async def stop(self, progress: Report) -> None:
        self._folder.plan.unlink(missing_ok=True)
        said = self.said()
        if said:
            progress(Step("stopping", ", ".join(said.parts)))
            await end([said.supervisor], STOP_PATIENCE)
        await self.clear(progress)

    async def clear(self, progress: Report) -> None:
        """End what a supervisor that did not end well left behind: last started first, then whatever they started."""
        said = load(self._folder.supervision, Supervision)
        parts = [state.process for state in said.parts.values() if state.process] if said else []
        left = [process for process in parts if is_running(process)]
        if left or marked(self._folder.root):
            progress(Step("ending what was left behind"))
        for process in reversed(left):
            await end([process], grace=LEFTOVER_GRACE)
        if stuck := await self._end_marked():
            raise ClusterFailed(
                f"Processes of cluster {self._name} do not end: {', '.join(str(one.pid) for one in stuck)}.",
                hint="They wait for the kernel, perhaps for a disk: see `ps -o pid,stat,wchan,args`.",
            )
        self._folder.supervision.unlink(missing_ok=True)

    async def _end_marked(self) -> list[Process]:
        """End all that carries the mark; those that do not end. What forks all the time gets no grace again."""
        grace, asked = ORPHAN_GRACE, set[Process]()
        for _ in range(ROUNDS):
            left = marked(self._folder.root)
            if asked.issuperset(left):
                return left
            await end(left, grace)
            grace, asked = 0.0, asked.union(left)
        return marked(self._folder.root)


def _is_ready(state: PartState) -> bool:
    """Also where the supervisor has not seen yet that the process has ended."""
    return state.ready and state.process is not None and is_running(state.process)
