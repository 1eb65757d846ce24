"""The file system that one container sees: the host's files read-only, its volumes at their mountPath, its own /tmp.

Nothing is written to the host. A mountPath that does not exist there is made in a tmpfs, and a host folder that must
hold one (such as /run) is covered by a tmpfs with a bind mount for each of its entries. It all goes with the mount
namespace. The shim calls `enter` in the process that becomes the container's init.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple, TypedDict

from longshore.cluster.node.shim import syscalls

_HOST, _NEW = "/host", "/new"
OWN = ("/proc", "/dev", "/tmp")  # noqa: S108 - the container's, not ours
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_HARDWARE = ("kvm", "fuse", "dri")
_LINKS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2", "ptmx": "pts/ptmx"}
_TMPFS = syscalls.MS_NOSUID | syscalls.MS_NODEV


class Mount(TypedDict):
    """A file or folder of the host, shown at `target`; the path `source` has no links in it."""

    source: str
    target: str
    readonly: bool


class Root(TypedDict):
    """`hide`: folders of the host that are shown empty; `keep`: shown even within a hidden one or within /tmp."""

    tmp: str
    mounts: list[Mount]
    hide: list[str]
    keep: list[str]
    readonly: bool


class Layout(NamedTuple):
    """What to do, in order, with every symbolic link of the host resolved."""

    tmp: str
    mirrors: list[str]  # host folders to cover by a tmpfs with the same entries, parents first
    places: list[str]  # of the targets: those to make before the host's part becomes read-only
    hide: list[str]
    mounts: list[Mount]
    working_dir: str


def enter(root: Root, working_dir: str) -> None:
    """Make the container's file system and move into it, in a new mount namespace."""
    layout = plan(root, working_dir)
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
    _step_aside()
    _show_host(layout)
    _add_own(layout)
    if root["readonly"]:
        for folder in image_folders(layout):
            syscalls.set_readonly(_NEW + folder, True)
    os.chdir(_NEW)
    syscalls.pivot_root(".", ".")
    syscalls.detach(".")  # the old root, which is stacked on the new one
    os.chdir("/")


def plan(root: Root, working_dir: str) -> Layout:
    """Look at the host and decide."""
    hide: list[str] = []
    for path in sorted(os.path.realpath(path) for path in root["hide"] if os.path.isdir(path)):
        if not _inside(path, [*OWN, *hide]):  # else it is hidden already
            hide.append(path)
    covered = [*OWN, *hide]
    mounts = [mount for path in root["keep"] for mount in _kept(path, covered)]
    mounts += [
        Mount(source=mount["source"], target=os.path.realpath(mount["target"]), readonly=mount["readonly"])
        for mount in root["mounts"]
    ]
    for mount in mounts:
        if os.path.realpath(mount["source"]) != mount["source"]:  # a pod put a link there after it was checked
            raise RuntimeError(f"{mount['source']} has become a link")
    mounts.sort(key=lambda mount: mount["target"].count("/"))
    working_dir = os.path.realpath(working_dir)
    covered += [mount["target"] for mount in mounts]
    wanted = dict.fromkeys([*(mount["target"] for mount in mounts), working_dir])
    places = [path for path in wanted if not _inside(os.path.dirname(path), covered) and path not in OWN]
    missing = {_nearest(path) for path in places if not os.path.lexists(path)}
    mirrors = sorted(missing - {"/"}, key=lambda path: path.count("/"))
    return Layout(os.path.realpath(root["tmp"]), mirrors, places, hide, mounts, working_dir)


def _kept(path: str, covered: list[str]) -> Iterator[Mount]:
    """Where it is, and where its name says: a Python that uv installed is known by a link to it."""
    source = os.path.realpath(path)
    named = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    for target in dict.fromkeys((source, named)):
        if _inside(target, covered):
            yield Mount(source=source, target=target, readonly=True)


def image_folders(layout: Layout) -> list[str]:
    """What stands for an image's own files, and may be written to unless the root is read-only; volumes are not."""
    return ["/", *(OWN[-1:] if all(mount["target"] != OWN[-1] for mount in layout.mounts) else ())]


def _step_aside() -> None:
    """Put the host's tree at /host of an empty tmpfs, as bubblewrap does: nothing bound from it contains ourselves."""
    syscalls.mount("tmpfs", "/tmp", "tmpfs", _TMPFS, "mode=755")  # noqa: S108 - any folder that surely exists
    os.mkdir("/tmp" + _NEW)  # noqa: S108
    os.mkdir("/tmp" + _HOST)  # noqa: S108
    os.chdir("/tmp")  # noqa: S108
    syscalls.pivot_root(".", _HOST[1:])
    os.chdir("/")
    syscalls.mount("tmpfs", _NEW, "tmpfs", _TMPFS, "mode=755")


def _show_host(layout: Layout) -> None:
    """The host's files, read-only, with all that must be made among them."""
    _mirror("/", skip=OWN)
    for folder in layout.mirrors:
        syscalls.mount("tmpfs", _NEW + folder, "tmpfs", _TMPFS, "mode=755")
        _mirror(folder)
    sources = {mount["target"]: mount["source"] for mount in layout.mounts}
    for place in layout.places:
        _make(_NEW + place, like=_HOST + sources.get(place, "/"))
    syscalls.set_readonly_below(_NEW)
    syscalls.set_readonly(_NEW, False)  # the container's own /, writable as an image's is


def _add_own(layout: Layout) -> None:
    """/proc, /dev, /tmp, and the volumes."""
    _bind(_HOST + layout.tmp, _NEW + OWN[-1])
    try:
        flags = _TMPFS | syscalls.MS_NOEXEC
        syscalls.mount("proc", _NEW + "/proc", "proc", flags)
    except PermissionError:  # part of it is covered in the container that we run in: show that one
        _bind(_HOST + "/proc", _NEW + "/proc")
    _make_dev()
    for folder in layout.hide:
        syscalls.mount("tmpfs", _NEW + folder, "tmpfs", _TMPFS, "mode=755")
    for mount in layout.mounts:
        source, target = _HOST + mount["source"], _NEW + mount["target"]
        _make(target, like=source)
        _bind(source, target)
        if mount["readonly"]:
            syscalls.set_readonly(target, True)
    os.makedirs(_NEW + layout.working_dir, exist_ok=True)


def _mirror(folder: str, skip: tuple[str, ...] = ()) -> None:
    """Show each entry of a host folder in the tmpfs that covers it."""
    for entry in entries(_HOST + folder):
        path = os.path.join(folder, entry.name)
        if entry.is_symlink():
            os.symlink(os.readlink(_HOST + path), _NEW + path)
        elif path in skip:
            os.mkdir(_NEW + path)
        else:
            with suppress(OSError):  # such as another user's FUSE mount: not for us to show
                _make(_NEW + path, like=_HOST + path)
                _bind(_HOST + path, _NEW + path)


def entries(folder: str) -> list[os.DirEntry[str]]:
    """What a folder holds, as far as the user may look."""
    try:
        return list(os.scandir(folder))
    except PermissionError:
        return []


def hardware(folder: str) -> list[str]:
    """The names in a host's /dev that containers get beyond those of every container."""
    names = [*_HARDWARE, *(name for name in os.listdir(folder) if name.startswith("nvidia"))]
    return [name for name in names if os.path.exists(f"{folder}/{name}")]


def _make_dev() -> None:
    dev = _NEW + "/dev"
    syscalls.mount("tmpfs", dev, "tmpfs", syscalls.MS_NOSUID, "mode=755")
    for name in (*_DEVICES, *hardware(_HOST + "/dev")):
        source = f"{_HOST}/dev/{name}"
        _make(f"{dev}/{name}", like=source)
        _bind(source, f"{dev}/{name}")
    for name, target in _LINKS.items():
        os.symlink(target, f"{dev}/{name}")
    for name in ("pts", "shm"):
        os.mkdir(f"{dev}/{name}")
    noexec = syscalls.MS_NOSUID | syscalls.MS_NOEXEC
    syscalls.mount("devpts", f"{dev}/pts", "devpts", noexec, "newinstance,ptmxmode=0666,mode=620")
    syscalls.mount("tmpfs", f"{dev}/shm", "tmpfs", _TMPFS, "mode=1777")


def _make(path: str, like: str) -> None:
    """An empty file or folder to mount on, unless there is one."""
    if os.path.isdir(like):
        os.makedirs(path, exist_ok=True)
    elif not os.path.lexists(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))


def _bind(source: str, target: str) -> None:
    syscalls.mount(source, target, flags=syscalls.MS_BIND | syscalls.MS_REC)


def _nearest(path: str) -> str:
    """The deepest host folder above `path` that exists."""
    parent = os.path.dirname(path)
    return parent if os.path.isdir(parent) else _nearest(parent)


def _inside(path: str, folders: list[str] | tuple[str, ...]) -> bool:
    return any(path == folder or path.startswith(folder + "/") for folder in folders)
