"""The launcher: forks a holder for each container that the node names, so that no interpreter has to start for one.

One request a line on stdin, `{"id": n, "folder": path}`, with `argv` and `timeout` to run a command in a container that
runs. One answer a line on stdout: `{"id": n, ...}` with `pid`, with `code` and `output`, or with `error`.
It ends when the node closes its stdin; holders and containers go on, what is not yet a container does not.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from typing import Any

from longshore.cluster.node.shim import bubblewrap, enter, holder, proctree


def main() -> None:
    proctree.adopt_orphans()  # each holder becomes ours when the process that forked it ends
    signal.signal(signal.SIGCHLD, _reap)
    launcher = os.getpid()
    gc.freeze()  # the collector would otherwise touch, and so unshare, what the holders share with us
    for line in sys.stdin.buffer:
        request = json.loads(line)
        signal.pthread_sigmask(signal.SIG_BLOCK, holder.SIGNALS)
        if os.fork() == 0:
            if "argv" not in request:
                _end_with(launcher)
            os.write(1, json.dumps({"id": request["id"], **_answer(request)}).encode() + b"\n")
            os._exit(0)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, holder.SIGNALS)


def _end_with(launcher: int) -> None:
    """A start that the node gave up, with us, must not be carried out later beside the one that follows it."""
    proctree.end_with_parent()  # not so the holder, which is forked later
    if os.getppid() != launcher:  # it ended before we asked
        os._exit(1)


def _answer(request: dict[str, Any]) -> dict[str, object]:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        if "argv" in request:
            return enter.run(request["folder"], request["argv"], request["timeout"])
        by_bubblewrap = holder.read_spec(request["folder"])["bubblewrap"]
        return {"pid": (bubblewrap if by_bubblewrap else holder).launch(request["folder"])}
    except Exception as error:  # told to the node, which tells the pod's owner
        return {"error": str(error)}


def _reap(_number: int, _frame: object) -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


if __name__ == "__main__":
    main()
