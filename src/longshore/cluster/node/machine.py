"""The machine that this node is: what its kernel lets us do for pods, what it has, and what all its pods share."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from longshore.cluster.node.events import Events
from longshore.cluster.node.images.install import Images
from longshore.cluster.node.launcher import Launcher, ended
from longshore.cluster.node.shim.holder import Spec, User
from longshore.cluster.node.shim.rootfs import Root
from longshore.cluster.processes import MARKER, Process
from longshore.errors import LongshoreError
from longshore.kube.client import Client

PODS = 250
_PROBE_SECONDS = 10.0


class _Ended(Struct):
    code: int
    error: str


class Powers(Struct, frozen=True, gc=False):
    """Which namespaces a container can have: by a user namespace, or, where we are root, without one.

    `why` says what failed, "" when all is well.
    """

    users: bool
    root: bool
    why: str = ""

    @property
    def mounts(self) -> bool:
        """Whether volumes can be shown where pods want them."""
        return self.users or self.root


@dataclass(frozen=True)
class Machine:
    """What the workers of all pods share."""

    name: str
    root: Path
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


async def probe(launcher: Launcher, root: Path) -> Powers:
    """Find out by starting containers that do nothing."""
    user = User(uid=1000, gid=1000)
    users = await _try(launcher, root / "probe", user)
    as_root = await _try(launcher, root / "probe", None) if os.geteuid() == 0 else "not root"
    return Powers(users=users is None, root=as_root is None, why=users or "")


async def _try(launcher: Launcher, folder: Path, user: User | None) -> str | None:
    """Why such a container does not work, or None."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "tmp").mkdir(parents=True)
    spec = Spec(
        argv=["true"],
        env={"PATH": os.defpath},
        working_dir="/longshore-probe",
        hostname=socket.gethostname(),
        stop_signal=15,
        no_new_privileges=True,
        user=user,
        memory_limit=None,
        root=Root(tmp=str(folder / "tmp"), mounts=[], hide=[], keep=[], readonly=False),
    )
    (folder / "spec.json").write_bytes(msgspec.json.encode(spec))
    try:
        await launcher.start(folder)
        return await _outcome(folder)
    except LongshoreError as error:
        return error.message
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _outcome(folder: Path) -> str | None:
    held = msgspec.json.decode((folder / "pid").read_bytes(), type=Process)
    async with asyncio.timeout(_PROBE_SECONDS):
        await ended(held)
    end = msgspec.json.decode((folder / "exit").read_bytes(), type=_Ended)
    return None if end.code == 0 else end.error or f"exit code {end.code}"
