"""Processes of this machine, named so that a pid given to somebody else since is never taken for ours.

The supervisor writes these names into its state file; `up` and `down` read them back, perhaps after a power cut.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

MARKER = "LONGSHORE_CLUSTER_DIR"
"""In the environment of every process of a cluster, inherited: how leftovers of a killed supervisor are found."""

KILL_PATIENCE = 30.0  # seconds for the kernel to end what was killed: to give its memory back, to end its writes

_PROC = Path("/proc")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Process(Struct, frozen=True, gc=False):
    """One process: `started` is opaque, and differs for the next process that gets the same pid."""

    pid: int
    started: str


class _Sample(Struct, frozen=True, gc=False):
    started: str
    resident: int
    ended: bool


def identify(pid: int) -> Process | None:
    """The process that has this pid now, unless it has ended, as a zombie has."""
    sample = _sample(pid)
    return None if sample is None or sample.ended else Process(pid, sample.started)


def is_running(process: Process) -> bool:
    """Whether exactly this process still runs."""
    return identify(process.pid) == process


def resident_bytes(process: Process) -> int:
    """Resident memory in bytes, 0 when it has ended."""
    sample = _sample(process.pid)
    return sample.resident if sample and sample.started == process.started else 0


def marked(folder: Path) -> list[Process]:
    """Every process of this user, save this one, that carries MARKER=folder (Linux; elsewhere nothing is found)."""
    wanted = f"{MARKER}={folder}".encode()
    found = []
    for entry in _PROC.glob("[0-9]*"):
        pid = int(entry.name)
        try:
            environment = (entry / "environ").read_bytes()
        except OSError:  # ended meanwhile, or another user's
            continue
        if pid != os.getpid() and wanted in environment.split(b"\0") and (process := identify(pid)):
            found.append(process)
    return found


async def end(processes: Iterable[Process], grace: float) -> None:
    """SIGTERM to each, SIGKILL to those that are still there after `grace` seconds."""
    left = [process for process in processes if _send(process, signal.SIGTERM)]
    if not await gone(left, grace):
        for process in left:
            _send(process, signal.SIGKILL)
        await gone(left, KILL_PATIENCE)


async def gone(processes: Iterable[Process], deadline: float) -> bool:
    """Wait until none of them runs; False when some still do after `deadline` seconds."""
    loop = asyncio.get_running_loop()
    until = loop.time() + deadline
    while any(is_running(process) for process in processes):
        if loop.time() > until:
            return False
        await asyncio.sleep(0.02)
    return True


def _send(process: Process, number: signal.Signals) -> bool:
    """Whether the signal was sent; not when the pid is somebody else's by now."""
    if not is_running(process):
        return False
    try:
        os.kill(process.pid, number)
    except ProcessLookupError:
        return False
    return True


def _sample(pid: int) -> _Sample | None:
    return _sample_proc(pid) if _PROC.joinpath("self").exists() else _sample_ps(pid)


def _sample_proc(pid: int) -> _Sample | None:
    """proc_pid_stat(5); ticks since boot say nothing across boots, so the boot's id is part of the name.

    The first thread is a zombie while others still end, and with them its sockets: then the process has not ended.
    """
    try:
        fields = (_PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return None
    ended = fields[0] in (b"Z", b"X") and int(fields[17]) <= 1
    return _Sample(f"{boot}:{int(fields[19])}", int(fields[21]) * _PAGE, ended)


def _sample_ps(pid: int) -> _Sample | None:
    """For systems without /proc (macOS)."""
    command = ["ps", "-o", "state=,rss=,lstart=", "-p", str(pid)]
    environment = {**os.environ, "LC_ALL": "C", "TZ": "UTC"}
    line = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=10).stdout
    if not line.strip():
        return None
    state, resident, started = line.split(maxsplit=2)
    return _Sample(started.strip(), int(resident) * 1024, state.startswith("Z"))
