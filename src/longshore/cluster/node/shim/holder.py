"""One container: a holder, which is the init of its PID namespace, and the command, which is the holder's child.

The holder writes the log, passes the stop signal on, and when the command ends kills the rest, and leaves the exit code
in a file, whether or not the node still lives. The node asks it to stop by SIGTERM and to kill all by SIGUSR1.
Files in the container's folder: spec.json (in), pid, exit, log. `enter` reads spec.json and pid again.
"""

from __future__ import annotations

import json
import os
import select
import signal
import time
from typing import TypedDict

from longshore.cluster.node.shim import proctree, rootfs, syscalls
from longshore.cluster.node.shim.door import Door
from longshore.cluster.node.shim.memory import Memory
from longshore.cluster.node.shim.pump import Log, Stream

STOP, KILL = signal.SIGTERM, signal.SIGUSR1
SIGNALS = (signal.SIGCHLD, STOP, KILL)
"""Handled by the holder; blocked from the launcher's fork until it is ready, so that none is lost."""

START_FAILED = 128  # as containerd reports it
_DRAIN_SECONDS = 2.0
_LAST_READS = 32
_ROOM = 1024  # bytes of a file that `write` makes, unless an error takes more


class User(TypedDict):
    """Whom the container believes to be; outside it is the node's own user all the same."""

    uid: int
    gid: int


class Spec(TypedDict):
    """What to run. `root` None: no namespaces, the host's own file system.

    `bubblewrap`: the program that makes the namespaces, "" where the shim does it. `memory_limit` in bytes.
    """

    argv: list[str]
    env: dict[str, str]
    working_dir: str
    hostname: str
    stop_signal: int
    no_new_privileges: bool
    user: User | None
    memory_limit: int | None
    root: rootfs.Root | None
    bubblewrap: str


class Held(TypedDict):
    """The holder's process (see `cluster.processes.Process`), and when it started."""

    pid: int
    started: str
    at: int  # nanoseconds since the epoch


class Ended(TypedDict):
    """How it ended; `error` when it never started, `out_of_memory` when it was killed for using more than it may."""

    code: int
    signal: int
    error: str
    out_of_memory: bool
    at: int  # nanoseconds since the epoch


def launch(folder: str) -> int:
    """Start the container described in `folder`; return its holder's pid once the command runs, or never will.

    The caller must exit afterwards: it is in other namespaces then.
    """
    os.setsid()
    directory = os.open(folder, os.O_DIRECTORY | os.O_CLOEXEC)
    spec = read_spec(folder)
    log = os.open("log", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600, dir_fd=directory)
    keep_room(directory)
    if spec["root"] is not None:
        _enter_namespaces(spec["user"])
    ready, go = os.pipe()
    begun, begin = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(go)
        if os.read(ready, 1):  # else the launcher died before anybody could know of us
            hold(spec, directory, log, begin)
        os._exit(0)
    os.close(begin)
    write(directory, "pid", Held(pid=pid, started=proctree.started(pid), at=time.time_ns()))
    os.write(go, b"1")
    os.read(begun, 1)  # ends when the holder closes it: whoever enters the container now finds it complete
    return pid


def keep_room(directory: int) -> None:
    """For the exit code: the disk may be full by then."""
    _write(directory, ".exit", b" " * _ROOM)


def write(directory: int, name: str, content: object) -> None:
    """Make a file of the container's folder, at once."""
    _write(directory, f".{name}", json.dumps(content).encode().ljust(_ROOM))
    os.replace(f".{name}", name, src_dir_fd=directory, dst_dir_fd=directory)


def _write(directory: int, name: str, content: bytes) -> None:
    """Over what is there, so that no more of the disk is needed."""
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=directory)
    with open(descriptor, "wb") as file:
        file.write(content)


def read_spec(folder: str) -> Spec:
    with open(f"{folder}/spec.json", "rb") as file:
        spec: Spec = json.load(file)
    return spec


def _enter_namespaces(user: User | None) -> None:
    """From here on our children are in a PID namespace of their own; we are in a user namespace with them."""
    inside = syscalls.CLONE_NEWPID | syscalls.CLONE_NEWIPC | syscalls.CLONE_NEWUTS
    if user is None:
        syscalls.unshare(inside)
        return
    uid, gid = os.geteuid(), os.getegid()
    syscalls.unshare(inside | syscalls.CLONE_NEWUSER)
    for name, content in (
        ("setgroups", "deny"),  # user_namespaces(7): required before an unprivileged gid_map
        ("uid_map", f"{user['uid']} {uid} 1"),
        ("gid_map", f"{user['gid']} {gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(content)


def hold(spec: Spec, directory: int, log: int, begin: int, door: Door | None = None) -> None:
    """Be the holder until the container has ended; `begin` is told when the command runs."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    try:
        ended = _run(spec, Log(log), begin, door)
    except Exception as error:
        ended = not_started(str(error))
    write(directory, "exit", ended)


def not_started(why: str) -> Ended:
    return Ended(code=START_FAILED, signal=0, error=why, out_of_memory=False, at=time.time_ns())


def _run(spec: Spec, log: Log, begin: int, door: Door | None) -> Ended:
    wakeup, signalled = os.pipe()
    for descriptor in (wakeup, signalled):
        os.set_blocking(descriptor, False)
    if spec["root"] is None:
        proctree.adopt_orphans()
    elif not spec["bubblewrap"]:
        syscalls.sethostname(spec["hostname"])
        rootfs.enter(spec["root"], spec["working_dir"])
    pipes = os.pipe(), os.pipe()
    failed, why = os.pipe()
    child = os.fork()
    if child == 0:
        _exec(spec, pipes[0][1], pipes[1][1], why)
    for descriptor in (pipes[0][1], pipes[1][1], why):
        os.close(descriptor)
    with open(failed, "rb") as file:
        error = file.read().decode()
    if error:
        raise RuntimeError(error)
    os.write(begin, b"1")
    os.close(begin)
    streams = [Stream(name, pipe[0], log) for name, pipe in zip(("stdout", "stderr"), pipes, strict=True)]
    signal.set_wakeup_fd(signalled, warn_on_full_buffer=False)
    return _Command(child, spec, streams, wakeup, door).wait()


def _exec(spec: Spec, stdout: int, stderr: int, why: int) -> None:
    try:
        os.setsid()
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        syscalls.forget_signals()
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        if spec["root"] is None:  # else it ends with the PID namespace
            proctree.end_with_parent()
        os.umask(0o022)
        os.chdir(spec["working_dir"])
        if spec["root"] is not None:
            syscalls.limit_capabilities()
        if spec["no_new_privileges"]:
            syscalls.forbid_new_privileges()
        os.execvpe(spec["argv"][0], spec["argv"], spec["env"])  # noqa: S606 - this is what a container is
    except Exception as error:  # whatever it is, this process must not go on as a second holder
        os.write(why, cannot_run(spec["argv"][0], spec["working_dir"], error).encode())
    os._exit(START_FAILED)


def cannot_run(command: str, working_dir: str, error: Exception) -> str:
    """In words for who wrote the command."""
    said = str(error)
    if isinstance(error, OSError) and error.strerror:
        said = error.strerror[:1].lower() + error.strerror[1:]
    if isinstance(error, FileNotFoundError):
        missing = "it is not there" if "/" in command else "no folder of PATH has it"
        its = f"{missing}, or the interpreter that it names is missing"
        said = "there is no such folder" if error.filename == working_dir else its
    return f"cannot run {command!r} in {working_dir!r}: {said}"


class _Command:
    """The wait for the command, which is our child."""

    def __init__(self, child: int, spec: Spec, streams: list[Stream], wakeup: int, door: Door | None) -> None:
        self._child = child
        self._door = door
        self._stop_signal = spec["stop_signal"]
        self._isolated = spec["root"] is not None
        self._streams = {stream.pipe: stream for stream in streams}
        self._wakeup = wakeup
        self._status: int | None = None
        limit = spec["memory_limit"]
        self._memory = Memory(limit) if limit and proctree.LINUX else None
        self._is_over_limit = False
        self._poll = select.poll()
        for descriptor in (wakeup, *self._streams, *([door.fileno()] if door else [])):
            self._poll.register(descriptor, select.POLLIN)

    def wait(self) -> Ended:
        for number in SIGNALS:
            signal.signal(number, self._on_signal)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        while self._status is None:
            self._serve(self._memory.due_in if self._memory else None)
            self._limit_memory()
        at = time.time_ns()
        proctree.kill_rest(self._child, isolated=self._isolated)
        deadline = time.monotonic() + _DRAIN_SECONDS
        while self._streams and time.monotonic() < deadline:
            self._serve(0.1)
        for _ in range(_LAST_READS):  # what the pipes hold is not lost where the machine stood still for that long
            self._serve(0)
        code = os.waitstatus_to_exitcode(self._status)
        out_of_memory = self._is_over_limit and code == -signal.SIGKILL
        shown = code if code >= 0 else 128 - code
        return Ended(code=shown, signal=max(0, -code), error="", out_of_memory=out_of_memory, at=at)

    def _limit_memory(self) -> None:
        if self._memory and self._status is None and self._memory.is_exceeded():
            self._is_over_limit, self._memory = True, None
            signal.raise_signal(KILL)  # the command and with it all others, as memory.oom.group has a kernel do

    def _serve(self, timeout: float | None) -> None:
        for descriptor, _ in self._poll.poll(None if timeout is None else timeout * 1000):
            if descriptor == self._wakeup:
                os.read(self._wakeup, 512)
            elif self._door and descriptor == self._door.fileno():
                self._door.admit()
            elif not self._streams[descriptor].pump():
                self._poll.unregister(descriptor)
                del self._streams[descriptor]

    def _on_signal(self, number: int, _frame: object) -> None:
        if number == signal.SIGCHLD:
            self._reap()
        elif self._status is None:
            os.kill(self._child, self._stop_signal if number == STOP else signal.SIGKILL)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._child:
                self._status = status
