"""The machine that this node is: what it has, and what all its pods share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
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
    """Folders that pods see empty: the node's own, and those of all clusters of this user, whose keys are in them."""
    clusters = (str(Path(os.environ[MARKER]).parent),) if MARKER in os.environ else ()
    return (*clusters, str(root))
