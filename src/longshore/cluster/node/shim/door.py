"""How a command gets into a container that cannot be entered by setns: its holder, asked over a socket, forks it.

Nobody but root may enter the namespaces that a setuid bubblewrap made. `enter` knocks, the holder admits. One packet
there: the command line, with the caller's stdin, stdout and stderr. One back: the exit code. A caller that leaves
takes the command along.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
from collections.abc import Callable
from contextlib import suppress

_NAME = "door"
_KIND = socket.SOCK_SEQPACKET
_LONGEST = 1 << 20  # bytes of a command line; the socket's own limit is lower
_KILLED = 137


def open_door(directory: int) -> int:
    """Listen in the container's folder; the descriptor is for `Door`."""
    door = socket.socket(socket.AF_UNIX, _KIND)
    door.bind(_path(directory))
    door.listen()
    return door.detach()


def knock(folder: str, argv: list[str]) -> int:
    """Have the command run with our stdin, stdout and stderr; its exit code."""
    directory = os.open(folder, os.O_DIRECTORY)
    with socket.socket(socket.AF_UNIX, _KIND) as caller:
        caller.connect(_path(directory))
        socket.send_fds(caller, [json.dumps(argv).encode()], [0, 1, 2])
        answer = caller.recv(16)
    return int(answer) if answer else _KILLED


class Door:
    """The holder's side. `execute` becomes the command and never returns."""

    def __init__(self, descriptor: int, execute: Callable[[list[str]], None]) -> None:
        self._door = socket.socket(fileno=descriptor)
        self._execute = execute

    def fileno(self) -> int:
        return self._door.fileno()

    def admit(self) -> None:
        """Fork a process that serves whoever knocked; where there is no room for one, the caller is told by silence."""
        with suppress(OSError):  # the container itself goes on
            caller, _ = self._door.accept()
            with caller:
                if os.fork() == 0:
                    try:
                        self._serve(caller)
                    finally:  # whatever happened, this process must not go on as a second holder
                        os._exit(0)

    def _serve(self, caller: socket.socket) -> None:
        for number in signal.valid_signals():
            if callable(signal.getsignal(number)):  # the holder's handlers are not for us
                signal.signal(number, signal.SIG_DFL)
        packet, streams, _, _ = socket.recv_fds(caller, _LONGEST, 3)
        if not packet:
            return
        pid = os.fork()
        if pid == 0:
            for target, descriptor in enumerate(streams):
                os.dup2(descriptor, target)
                os.close(descriptor)
            self._execute(json.loads(packet))
        for descriptor in streams:
            os.close(descriptor)
        ended = os.pidfd_open(pid)
        if ended not in select.select([caller.fileno(), ended], [], [])[0]:
            os.kill(pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        caller.send(str(code if code >= 0 else 128 - code).encode())


def _path(directory: int) -> str:
    """Short, however deep the folder is: a socket's address has at most 108 bytes."""
    return f"/proc/self/fd/{directory}/{_NAME}"
