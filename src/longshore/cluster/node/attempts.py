"""What is on disk of each container: its attempts, their pids, exit codes and logs. It outlives the node process.

    ROOT/pods/UID/pod.json                    whose folder this is, and its address
    ROOT/pods/UID/volumes/NAME/               emptyDir, or files made from the API
    ROOT/pods/UID/containers/NAME/ATTEMPT/    attempt.json spec.json pid exit log message tmp/

The node reads it when it starts (`runs`), the supervisor when a killed node left processes behind (`leftovers`).
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from longshore.cluster import processes
from longshore.cluster.node.shim import holder, proctree
from longshore.cluster.processes import Process
from longshore.cluster.state import load
from longshore.kube.objects import ContainerStatus

_MESSAGE_BYTES = 4096  # as the kubelet takes from terminationMessagePath
_LOG_BYTES = 2048  # of FallbackToLogsOnError
_LOG_LINES = 80
LOST = 137


class Owner(Struct, frozen=True, gc=False):
    """pod.json"""

    namespace: str
    name: str
    uid: str
    pod_ip: str


class Attempt(Struct, frozen=True, gc=False):
    """attempt.json, written before the container is started. `crashes`: how often in a row it had ended early."""

    number: int
    image_id: str
    crashes: int = 0
    message_from_log: bool = False


class End(Struct, frozen=True, gc=False):
    """How an attempt ended; `reason` and `message` as in a container's terminated state."""

    code: int
    signal: int
    reason: str
    message: str
    at: datetime


class Run(Struct, frozen=True):
    """One attempt that has been started; `process` is its holder."""

    attempt: Attempt
    process: Process
    started_at: datetime
    end: End | None = None


class _Held(Struct):
    pid: int
    started: str
    at: int


class _Ended(Struct):
    code: int
    signal: int
    error: str
    at: int
    out_of_memory: bool = False


def container_folder(pod: Path, container: str) -> Path:
    return pod / "containers" / container


def runs(container: Path) -> list[Run]:
    """The attempts of a container that were started, oldest first."""
    numbers = sorted(int(folder.name) for folder in container.glob("[0-9]*"))
    return [run for number in numbers if (run := read(container / str(number)))]


def lost(reported: ContainerStatus) -> Run | None:
    """What the API knows of a container of which nothing is on disk; None when it never ran."""
    state = reported.state
    if state.running is None and state.terminated is None and reported.restart_count == 0:
        return None
    now = datetime.now(UTC)
    end = End(LOST, 0, "ContainerStatusUnknown", "nothing is left of this container on its node", now)
    began = state.running.started_at if state.running else None
    if told := state.terminated:
        end = End(told.exit_code, told.signal, told.reason, told.message, told.finished_at or now)
        began = told.started_at
    return Run(Attempt(reported.restart_count + 1, ""), Process(0, ""), began or now, end)


def has_ended(folder: Path) -> bool:
    """Whether this attempt writes nothing to its log any more."""
    held = load(folder / "pid", _Held)
    return (folder / "exit").exists() or held is None or not processes.is_running(Process(held.pid, held.started))


def read(folder: Path) -> Run | None:
    """One attempt; None when it never got a process. A process that is gone without an exit code was killed."""
    attempt, held = load(folder / "attempt.json", Attempt), load(folder / "pid", _Held)
    if attempt is None or held is None:
        return None
    run = Run(attempt, Process(held.pid, held.started), _time(held.at))
    if not (folder / "exit").exists() and processes.is_running(run.process):
        return run
    return msgspec.structs.replace(run, end=_end(folder, attempt))


def _end(folder: Path, attempt: Attempt) -> End:
    ended = load(folder / "exit", _Ended)
    if ended is None:
        why = "the process that held this container is gone, and with it the exit code"
        return End(LOST, signal.SIGKILL, "ContainerStatusUnknown", why, datetime.now(UTC))
    if ended.error:
        return End(ended.code, 0, "StartError", ended.error, _time(ended.at))
    reason = "OOMKilled" if ended.out_of_memory else "Error" if ended.code else "Completed"
    message = _message(folder, from_log=attempt.message_from_log and ended.code != 0)
    return End(ended.code, ended.signal, reason, message, _time(ended.at))


def _message(folder: Path, *, from_log: bool) -> str:
    """What the container left at terminationMessagePath, else, if it asks for that, the end of its log."""
    with suppress(FileNotFoundError), (folder / "message").open("rb") as file:
        if left := file.read(_MESSAGE_BYTES):
            return left.decode(errors="replace")
    if not from_log:
        return ""
    with suppress(FileNotFoundError), (folder / "log").open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 4 * _LOG_BYTES))
        lines = [line.split(b" ", 3)[-1] for line in file.read().splitlines()[-_LOG_LINES:]]
        return b"\n".join(lines)[-_LOG_BYTES:].decode(errors="replace")
    return ""


def leftovers(root: Path) -> list[Process]:
    """The processes that this node's containers still have, also those that left their holder's session."""
    return _with_descendants(_held(root.glob("pods/*")))


async def kill_leftovers(root: Path) -> int:
    """End them, and say how many there were; exit codes tell of SIGKILL where a holder could still write them."""
    return await _kill(await asyncio.to_thread(lambda: _held(root.glob("pods/*"))))


async def kill_pod(folder: Path) -> None:
    """End the processes of one pod."""
    await _kill(await asyncio.to_thread(_held, [folder]))


async def _kill(held: list[Process]) -> int:
    found = await asyncio.to_thread(_with_descendants, held)
    for process in held:
        with suppress(ProcessLookupError):
            os.kill(process.pid, holder.KILL)
    if not await processes.gone(found, 3.0):
        await processes.end(found, 0.0)
    return len(found)


def _held(pods: Iterable[Path]) -> list[Process]:
    folders = (folder for pod in pods for folder in pod.glob("containers/*"))
    return [run.process for folder in folders for run in runs(folder) if run.end is None]


def _with_descendants(held: list[Process]) -> list[Process]:
    below = [pid for process in held for pid in proctree.descendants(process.pid)]
    return held + [process for pid in below if (process := processes.identify(pid))]


def _time(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC)
