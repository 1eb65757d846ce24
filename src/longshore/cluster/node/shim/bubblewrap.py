"""The same container, its namespaces made by bubblewrap: for kernels that allow it (setuid, AppArmor) and not us.

`launch` stands in for `holder.launch`. bubblewrap becomes this interpreter once more, as init of the new namespaces:
`main`, which goes on as any other holder. Options: bwrap(1) of 0.5, with --perms, and newer.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from longshore.cluster.node.shim import door, enter, holder, proctree, rootfs, syscalls
from longshore.cluster.node.shim.door import Door
from longshore.cluster.node.shim.holder import Held, Spec
from longshore.cluster.node.shim.rootfs import Layout

_SOURCE = str(Path(__file__).parents[4])
_KEEP = (_SOURCE, sys.prefix, sys.base_prefix)  # what the holder is made of
_MAIN = f"from {__name__} import main; main()"
_TOLD_BYTES = 4096


def launch(folder: str) -> int:
    """As `holder.launch`."""
    os.setsid()
    directory = os.open(folder, os.O_DIRECTORY)
    spec = holder.read_spec(folder)
    log = os.open("log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600, dir_fd=directory)
    holder.keep_room(directory)
    ready, go = os.pipe()
    begun, begin = os.pipe()
    status, tell = os.pipe()
    words, say = os.pipe()
    pid = os.fork()
    if pid == 0:
        _become(spec, [directory, log, ready, begin], tell, say)
    for descriptor in (ready, begin, tell, say):
        os.close(descriptor)
    held = _held(status, pid)
    holder.write(directory, "pid", held)
    with suppress(BrokenPipeError):  # it ended meanwhile, and says why
        os.write(go, b"1")
    if not os.read(begun, 1) and not os.path.exists(f"{folder}/exit"):
        with open(words, "rb") as file:
            error = file.read(_TOLD_BYTES).decode(errors="replace").strip()
        holder.write(directory, "exit", holder.not_started(error or "bubblewrap was killed"))
    return held["pid"]


def main() -> None:
    """The holder, inside. Arguments: the descriptors that `launch` prepared."""
    signal.pthread_sigmask(signal.SIG_BLOCK, holder.SIGNALS)  # bubblewrap lets SIGCHLD through
    directory, log, ready, begin, knocks = (int(word) for word in sys.argv[1:])
    for descriptor in (directory, log, ready, begin, knocks):
        os.set_inheritable(descriptor, False)
    if os.read(ready, 1):  # else the launcher died before anybody could know of us
        spec = holder.read_spec(f"/proc/self/fd/{directory}")
        syscalls.hide()  # the command has the same user and capabilities as we
        holder.hold(spec, directory, log, begin, Door(knocks, partial(enter.execute, spec)))


def _become(spec: Spec, for_holder: list[int], tell: int, say: int) -> None:
    """Become bubblewrap; never returns."""
    try:
        null = os.open(os.devnull, os.O_RDWR)
        for target, descriptor in enumerate((null, null, say)):
            os.dup2(descriptor, target)
        for_holder = [*for_holder, door.open_door(for_holder[0])]
        for descriptor in (*for_holder, tell):
            os.set_inheritable(descriptor, True)
        interpreter = [sys.executable, "-P", "-S", "-c", _MAIN, *map(str, for_holder)]
        told = ["--json-status-fd", str(tell), "--setenv", "PYTHONPATH", _SOURCE]
        os.execv(spec["bubblewrap"], ["bwrap", *arguments(spec), *told, "--", *interpreter])  # noqa: S606
    except Exception as error:  # whatever it is, this process must not go on as a second launcher
        os.write(2, str(error).encode())
    os._exit(holder.START_FAILED)


def _held(status: int, bubblewrap: int) -> Held:
    """The holder, by bubblewrap's first line; bubblewrap itself when there is no holder, for the node to see it end."""
    with open(status, "rb") as file:
        line = file.readline()  # the pipe stays open for as long as the container runs
    with suppress(OSError, ValueError):
        pid = int(json.loads(line)["child-pid"])
        return Held(pid=pid, started=proctree.started(pid), at=time.time_ns())
    return Held(pid=bubblewrap, started=proctree.started(bubblewrap), at=time.time_ns())


def arguments(spec: Spec) -> list[str]:
    """bubblewrap's command line, as far as it describes the container."""
    user, root = spec["user"], spec["root"]
    assert root is not None
    identity = ["--unshare-user", "--uid", str(user["uid"]), "--gid", str(user["gid"])] if user else []
    if user is None and os.geteuid() == 0:
        identity = ["--cap-add", "ALL"]
    layout = rootfs.plan({**root, "keep": [*root["keep"], *_KEEP]}, spec["working_dir"])
    for mount in root["mounts"]:
        if any(Path(path).is_relative_to(mount["target"]) for path in _KEEP):
            raise RuntimeError(f"a volume at {mount['target']} would hide what holds the container: mount it elsewhere")
    return [
        *("--unshare-pid", "--as-pid-1", "--unshare-ipc", "--unshare-uts", "--hostname", spec["hostname"]),
        *identity,
        *(word for option in _file_system(layout, root["readonly"]) for word in option),
        *("--chdir", "/"),
    ]


def _file_system(layout: Layout, readonly: bool) -> Iterator[tuple[str, ...]]:
    """As `rootfs.enter` makes it."""
    yield from _mirror("/", skip=rootfs.OWN)
    for folder in layout.mirrors:
        yield "--tmpfs", folder
        yield from _mirror(folder)
    yield "--bind", layout.tmp, "/tmp"  # noqa: S108 - the container's own
    yield "--proc", "/proc"
    yield "--dev", "/dev"
    yield from (("--dev-bind", f"/dev/{name}", f"/dev/{name}") for name in rootfs.hardware("/dev"))
    yield "--perms", "1777", "--tmpfs", "/dev/shm"  # noqa: S108
    yield from (("--tmpfs", folder) for folder in layout.hide)
    for mount in layout.mounts:  # the folders that bubblewrap makes by itself on the way are for their owner alone
        yield "--dir", mount["target"] if os.path.isdir(mount["source"]) else os.path.dirname(mount["target"])
        yield "--ro-bind" if mount["readonly"] else "--bind", mount["source"], mount["target"]
    yield "--dir", layout.working_dir
    yield from (("--remount-ro", folder) for folder in layout.mirrors)
    if readonly:
        yield from (("--remount-ro", folder) for folder in rootfs.image_folders(layout))


def _mirror(folder: str, skip: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Show each entry of a host folder in the tmpfs that covers it."""
    for entry in rootfs.entries(folder):
        if entry.is_symlink():
            yield "--symlink", os.readlink(entry.path), entry.path
        elif entry.path not in skip and os.path.exists(entry.path):  # not so another user's FUSE mount
            yield "--ro-bind-try", entry.path, entry.path  # it may go this moment
