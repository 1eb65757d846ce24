"""How a cluster is: read from the supervisor's file, checked against the machine, and each part asked."""

from __future__ import annotations

import asyncio
import time

from msgspec import Struct

from longshore.cluster.parts import Part, PartState, Plan, Supervision, passes
from longshore.cluster.processes import Process, is_running, resident_bytes
from longshore.cluster.state import Folder, load


class PartStatus(Struct, frozen=True):
    """One part: `uptime` in seconds, `rss` in bytes; without `pid` it is not running."""

    name: str
    pid: int | None
    ready: bool
    uptime: float = 0.0
    rss: int = 0
    restarts: int = 0
    exit: int | None = None


class ClusterStatus(Struct, frozen=True):
    """`running` means supervised: parts may run without, after their supervisor was killed; `up` sorts that out."""

    name: str
    folder: str
    kubeconfig: str
    running: bool
    ready: bool
    parts: tuple[PartStatus, ...]


async def read_status(name: str, folder: Folder) -> ClusterStatus:
    """Ask every part at once."""
    said = load(folder.supervision, Supervision)
    plan = load(folder.plan, Plan) or Plan(0, ())
    running = said is not None and is_running(said.supervisor)
    parts: list[PartStatus] = []
    if said:
        parts.append(_status("supervisor", said.supervisor, PartState(since=said.since), ready=running))
        asked = [_ask(part, said.parts.get(part.name, PartState())) for part in plan.parts]
        parts += await asyncio.gather(*asked)
    ready = running and len(parts) > 1 and all(part.ready for part in parts)
    return ClusterStatus(name, str(folder.root), str(folder.kubeconfig), running, ready, tuple(parts))


async def _ask(part: Part, state: PartState) -> PartStatus:
    process = state.process
    alive = process is not None and is_running(process)
    ready = alive and (part.ready is None or await passes(part.ready))
    return _status(part.name, process, state, ready=ready)


def _status(name: str, process: Process | None, state: PartState, *, ready: bool) -> PartStatus:
    if process is None or not is_running(process):
        return PartStatus(name, None, False, restarts=state.restarts, exit=state.exit)
    uptime = max(0.0, time.time() - state.since)
    return PartStatus(name, process.pid, ready, uptime, resident_bytes(process), state.restarts, state.exit)
