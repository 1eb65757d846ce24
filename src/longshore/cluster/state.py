"""Where a cluster keeps its things, how its files are written, and which ports it was given.

Everything of one cluster is in one folder below the XDG state folder; everything that can be made again, such as the
built control plane, is below the XDG cache folder.
"""

from __future__ import annotations

import errno
import os
import random
import re
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import msgspec
from msgspec import Struct

from longshore.cluster.locks import held
from longshore.errors import LongshoreError, UserMistake

FORMAT = 1
PORTS = range(20_000, 30_000)  # below NodePorts and below what the kernel hands to outgoing connections
_UNUSABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENOSPC, errno.EDQUOT}
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
S = TypeVar("S")


def state_home() -> Path:
    """$XDG_STATE_HOME/longshore."""
    return _xdg("XDG_STATE_HOME", ".local/state")


def cache_home() -> Path:
    """$XDG_CACHE_HOME/longshore."""
    return _xdg("XDG_CACHE_HOME", ".cache")


def unusable(error: OSError) -> UserMistake | None:
    """What to tell when it is about one of these two folders: another user's, as after `sudo longshore up`, or full."""
    if error.errno not in _UNUSABLE or not isinstance(error.filename, str | bytes):
        return None
    path = Path(os.fsdecode(error.filename)).resolve()
    for variable, home in (("XDG_STATE_HOME", state_home().resolve()), ("XDG_CACHE_HOME", cache_home().resolve())):
        if path.is_relative_to(home) or home.is_relative_to(path):
            return UserMistake(
                f"{path}: {error.strerror}.",
                hint=f"It must be yours to write, and have room; with {variable} longshore uses another folder.",
            )
    return None


class NodeSettings(Struct, frozen=True):
    """A process node of a cluster: the flags of `longshore.cluster.node` that a person may choose."""

    name: str
    sandbox: str = "auto"
    cpu_factor: int = 8


class Settings(Struct, frozen=True):
    """What a cluster keeps from one start to the next. `nodes` None: nobody has said yet how many there should be."""

    format: int = FORMAT
    ports: dict[str, int] = {}
    nodes: tuple[NodeSettings, ...] | None = None
    addons: tuple[str, ...] = ()
    leaving: tuple[str, ...] = ()  # add-ons that were removed, and have left things in the API
    fsync: bool = True
    audit: bool = False
    kubernetes: str = ""  # the version that last wrote into its etcd


class Folder:
    """The paths of one cluster."""

    def __init__(self, name: str, state_root: Path | None = None) -> None:
        if not _NAME.fullmatch(name):
            raise UserMistake(
                f"{name!r} cannot name a cluster.", hint="Use up to 40 lower-case letters, digits and dashes."
            )
        clusters = (state_root or state_home()).resolve() / "clusters"
        self.root = clusters / name
        self.lock = clusters / f".{name}.lock"  # both outside, so that they outlive `reset`
        self.identities_lock = clusters / f".{name}.identities.lock"
        self.pki = self.root / "pki"
        self.kubeconfig = self.root / "kubeconfig"
        self.kubeconfigs = self.root / "kubeconfigs"
        self.logs = self.root / "logs"
        self.etcd = self.root / "etcd"
        self.nodes = self.root / "nodes"
        self.addons = self.root / "addons"
        self.audit = self.root / "audit"
        self.volumes = self.root / "volumes"
        self.settings = self.root / "cluster.json"
        self.plan = self.root / "plan.json"
        self.supervision = self.root / "supervision.json"

    def make(self) -> None:
        """Create what must be there before anything is written; nobody else may look inside."""
        for folder in (self.root, self.pki, self.kubeconfigs, self.logs, self.nodes):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def read_settings(self) -> Settings:
        """The settings of the last start; LongshoreError when another version of longshore wrote them."""
        settings = load(self.settings, Settings) or Settings()
        if settings.format != FORMAT:
            raise LongshoreError(
                f"The cluster in {self.root} has format {settings.format}; this longshore knows {FORMAT}.",
                hint="Use the longshore that made it, or delete it with `longshore cluster reset`.",
            )
        return settings

    def change_settings(self, **changes: object) -> Settings:
        """Put these in place of what is there, also when another process changes others at the same time."""
        return self.update_settings(lambda now: msgspec.structs.replace(now, **changes))

    def update_settings(self, change: Callable[[Settings], Settings]) -> Settings:
        """Put what `change` makes of what is there in its place: for what several processes may add to at once."""
        with held(self.identities_lock):
            self.make()
            settings = change(self.read_settings())
            save(self.settings, settings)
            return settings


def names(state_root: Path | None = None) -> list[str]:
    """The clusters that there are, up or down."""
    clusters = (state_root or state_home()).resolve() / "clusters"
    return sorted(kubeconfig.parent.name for kubeconfig in clusters.glob("*/kubeconfig"))


def write_private(path: Path, content: bytes) -> None:
    """Replace `path` at once, also in a power cut, by a file only its owner may read."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def save(path: Path, value: Struct) -> None:
    """Write a Struct as JSON for `load`."""
    write_private(path, msgspec.json.format(msgspec.json.encode(value)))


def load(path: Path, struct: type[S]) -> S | None:
    """What `save` wrote; None when there is nothing there, or nothing that can be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=struct)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def remove_tree(folder: Path) -> None:
    """Delete a folder, if it is there, with all that is in it, also below folders that a pod made read-only.

    However deep: what is in its folders is moved up, so that no path is too long and nothing recurses.
    """
    if not folder.exists():
        return
    folder.chmod(0o700)
    while below := [entry.path for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]:
        for path in below:
            _empty_into(folder, path)
    for entry in list(os.scandir(folder)):
        os.unlink(entry)
    folder.rmdir()


def _empty_into(folder: Path, path: str) -> None:
    """Delete one folder, after what is in it: its folders by moving them to `folder`."""
    os.chmod(path, 0o700)
    for entry in list(os.scandir(path)):
        if entry.is_dir(follow_symlinks=False):
            os.chmod(entry, 0o700)  # whose parent changes must be writable itself
            os.rename(entry, folder / uuid4().hex)
        else:
            os.unlink(entry)
    os.rmdir(path)


def choose_ports(wanted: Iterable[str], kept: Mapping[str, int]) -> dict[str, int]:
    """The kept ports, and a free one of 127.0.0.1 for each name that has none.

    They follow on each other: two clusters that begin at once seldom choose the same, which would be free for both.
    """
    chosen, free = dict(kept), _free_ports()
    for name in wanted:
        if name not in chosen:
            chosen[name] = next(port for port in free if port not in chosen.values())
    return chosen


def is_free(port: int) -> bool:
    """Whether nobody listens on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _free_ports() -> Iterator[int]:
    """All that are free, from anywhere among them."""
    first = random.randrange(len(PORTS))  # noqa: S311 - not a secret
    yield from filter(is_free, (*PORTS[first:], *PORTS[:first]))
    raise LongshoreError(
        f"No free port between {PORTS.start} and {PORTS.stop} on 127.0.0.1.", hint="End what listens there."
    )


def _xdg(variable: str, fallback: str) -> Path:
    # The XDG base directory specification: a relative path is invalid and to be ignored.
    given = Path(os.environ.get(variable, ""))
    try:
        return (given if given.is_absolute() else Path.home() / fallback) / "longshore"
    except RuntimeError:
        hint = "Set HOME, or XDG_STATE_HOME and XDG_CACHE_HOME, to folders that are yours to write."
        raise UserMistake("You have no home folder in which longshore could keep its files.", hint=hint) from None
