"""The machine that this node is: what it has, and what all its pods share."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from longshore.cluster.node.events import Events
from longshore.cluster.node.images.install import Images
from longshore.cluster.node.launcher import Launcher
from longshore.cluster.node.powers import Powers
from longshore.cluster.processes import MARKER
from longshore.kube.client import Client

PODS = 250
_PROGRAMS = tuple(map(Path, ("/bin", "/etc", "/lib", "/sbin", "/usr")))  # in or above these is no person's home


@dataclass(frozen=True)
class Machine:
    """What the workers of all pods share."""

    name: str
    root: Path
    volumes: Path
    address: str
    client: Client
    launcher: Launcher
    images: Images
    events: Events
    powers: Powers
    capacity: Mapping[str, str]
    variables: Mapping[str, str]
    hide: tuple[str, ...]

    def pod_folder(self, uid: str) -> Path:
        return self.root / "pods" / uid


def capacity(root: Path, cpu_factor: int) -> dict[str, str]:
    """What the Node promises: CPUs several times over, because this node is for trying, not for capacity."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": str((os.cpu_count() or 1) * cpu_factor),
        "memory": f"{memory // 1024}Ki",
        "ephemeral-storage": f"{shutil.disk_usage(root).total // 1024}Ki",
        "pods": str(PODS),
    }


def variables(server: str) -> dict[str, str]:
    """What every container's environment begins with; Services have no addresses here, the API server has its own."""
    url = urlsplit(server)
    host, port = url.hostname or "", str(url.port or 443)
    marker = {MARKER: os.environ[MARKER]} if MARKER in os.environ else {}
    return {
        **marker,
        "KUBERNETES_SERVICE_HOST": host,
        "KUBERNETES_SERVICE_PORT": port,
        "KUBERNETES_SERVICE_PORT_HTTPS": port,
    }


def hidden(root: Path) -> tuple[str, ...]:
    """Folders that pods see empty: the node's own, those of all clusters of this user, whose keys are in them; the
    user's homes, for the same reason; and /run, whose sockets lead out of any sandbox, however read-only it is.
    """
    clusters = (str(Path(os.environ[MARKER]).parent),) if MARKER in os.environ else ()
    return (*clusters, str(root), *_homes(), "/run")


def shown() -> tuple[str, ...]:
    """What pods see of hidden folders: where the host keeps its name servers, often a link into /run."""
    return (os.path.realpath("/etc/resolv.conf"),)


def _homes() -> Iterator[str]:
    """Not those of system users, which hold the programs of everybody."""
    homes = {os.environ.get("HOME", "")}
    with suppress(KeyError):  # a user without an account
        homes.add(pwd.getpwuid(os.geteuid()).pw_dir)
    for home in sorted(homes):
        path = Path(home)
        if path.is_absolute() and not any(p.is_relative_to(path) or path.is_relative_to(p) for p in _PROGRAMS):
            yield home
