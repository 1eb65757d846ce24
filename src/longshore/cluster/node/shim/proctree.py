"""The processes below a container's holder, and the name of one process that stays true when its pid is reused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from longshore.cluster.node.shim import syscalls

LINUX = sys.platform == "linux"
_KILL_SECONDS = 5.0


def started(pid: int) -> str:
    """When this process started, as `cluster.processes` names it."""
    if not LINUX:
        command = ["ps", "-o", "lstart=", "-p", str(pid)]
        environment = {**os.environ, "LC_ALL": "C", "TZ": "UTC"}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stdout.strip()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}:{int(_stat(pid)[19])}"


def adopt_orphans() -> None:
    """Children of children become this process's when their parents end; where that cannot be, init's."""
    if LINUX:
        syscalls.become_subreaper()


def end_with_parent() -> None:
    """SIGKILL for this process when the one that forked it ends; where that cannot be, it goes on."""
    if LINUX:
        syscalls.die_with_parent()


def kill_rest(child: int, *, isolated: bool) -> None:
    """End every process of the container after its command `child` has ended, and wait for them."""
    if isolated:
        with suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)  # all in this PID namespace, of which we are the init
        _reap_all(block=True)
        return
    until = time.monotonic() + _KILL_SECONDS
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    while left := descendants(os.getpid()):
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _reap_all(block=False)
        if time.monotonic() > until:  # asked afterwards, so that all are killed however late it is
            return
        time.sleep(0.01)


def descendants(ancestor: int) -> list[int]:
    """Every live process below `ancestor`; on systems without /proc nothing is found."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*") if LINUX else ():
        with suppress(OSError):
            children.setdefault(int(_stat(int(entry.name))[1]), []).append(int(entry.name))
    found: list[int] = []
    level = [ancestor]
    while level:
        level = [child for parent in level for child in children.get(parent, ())]
        found += level
    return found


def _reap_all(*, block: bool) -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, 0 if block else os.WNOHANG)[0]:
            pass


def _stat(pid: int) -> list[bytes]:
    """proc_pid_stat(5) from the state on, which is what follows the last parenthesis."""
    return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
