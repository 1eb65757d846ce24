"""Runs a command inside a container that runs: probes and hooks by the launcher, `kubectl exec` by `main`.

The namespaces that the shim made are entered; those that bubblewrap made have a `door`.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import sys
import termios
import time

from longshore.cluster.node.shim import door, proctree, syscalls
from longshore.cluster.node.shim.holder import Spec, read_spec

_NAMESPACES = ("mnt", "ipc", "uts", "pid")  # pid last: it changes only where children go
_KEPT_BYTES = 512  # as JSON at most 3 KiB: answers of several children share one pipe, atomic up to 4 KiB
_LATE_READS = 3
CANNOT_RUN = 126


def enter(folder: str) -> Spec:
    """Move this process, or for the PID namespace its children, into the container's namespaces."""
    spec = read_spec(folder)
    if spec["root"] is not None and not spec["bubblewrap"]:
        with open(f"{folder}/pid", "rb") as file:
            holder = int(json.load(file)["pid"])
        names = (*(["user"] if spec["user"] else []), *_NAMESPACES)
        descriptors = [os.open(f"/proc/{holder}/ns/{name}", os.O_RDONLY) for name in names]
        for descriptor in descriptors:
            syscalls.setns(descriptor)
    return spec


def execute(spec: Spec, argv: list[str]) -> None:
    """Become the command, in a session of its own, whose terminal is stdin if that is one; never returns."""
    try:
        os.setsid()
        if os.isatty(0):  # the session and its terminal must be of the command's own PID namespace
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        syscalls.forget_signals()
        os.umask(0o022)  # as the container's own command has it, whatever the node's is
        proctree.end_with_parent()
        os.chdir(spec["working_dir"])
        if spec["root"] is not None:
            syscalls.limit_capabilities()
        os.execvpe(argv[0], argv, spec["env"])  # noqa: S606 - this is what exec is
    except OSError as error:
        os.write(2, f"cannot run {argv[0]!r}: {error.strerror}\n".encode())
    os._exit(CANNOT_RUN)


def _become(folder: str, spec: Spec, argv: list[str]) -> None:
    """Become the command, or what stands for it at the door and ends as it does; never returns."""
    if not spec["bubblewrap"]:
        execute(spec, argv)
    code = CANNOT_RUN
    try:
        proctree.end_with_parent()
        code = door.knock(folder, argv)
    except OSError as error:
        os.write(2, f"cannot run {argv[0]!r}: {error}\n".encode())
    os._exit(code)


def run(folder: str, argv: list[str], timeout: float) -> dict[str, object]:
    """Exit code and the last bytes of the output; code -1 when it was killed for taking too long."""
    spec = enter(folder)
    output, inlet = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(inlet, 1)
        os.dup2(inlet, 2)
        _become(folder, spec, argv)
    os.close(inlet)
    kept, in_time = _collect(output, time.monotonic() + timeout)
    if not in_time:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    return {"code": (code if code >= 0 else 128 - code) if in_time else -1, "output": kept.decode(errors="replace")}


def _collect(output: int, deadline: float) -> tuple[bytes, bool]:
    """What was said in time is in the pipe, and its end: it counts also where the machine stood still meanwhile."""
    kept, late = b"", 0
    while late < _LATE_READS:
        left = deadline - time.monotonic()
        late += left <= 0
        if not select.select([output], [], [], max(0.0, left))[0]:
            break
        data = os.read(output, 65536)
        if not data:
            return kept, True
        kept = (kept + data)[-_KEPT_BYTES:]
    return kept, False


def main() -> None:
    """`FOLDER COMMAND...`: with our own stdin, stdout and stderr, ending as the command ends."""
    folder, *argv = sys.argv[1:]
    spec = enter(folder)
    pid = os.fork()
    if pid == 0:
        _become(folder, spec, argv)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
