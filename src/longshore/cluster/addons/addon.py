"""What an add-on is, and what a cluster gives to each. `catalog.py` lists them all."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from longshore.cluster.certs import Pair
from longshore.cluster.identities import Identities
from longshore.cluster.parts import Part
from longshore.cluster.program import Program, sources
from longshore.cluster.state import Folder
from longshore.errors import LongshoreError
from longshore.kube.objects import AnyObject, Resource

if TYPE_CHECKING:
    from longshore.kube.client import Client

NAMESPACE = "kube-system"  # of the ServiceAccounts whose names add-ons log in by


class Site:
    """One add-on's place in one cluster: its folder, and its port, login and certificate, made when first asked for."""

    def __init__(self, name: str, folder: Folder, identities: Identities) -> None:
        self._name = name
        self._identities = identities
        self.folder = folder.addons / name

    def port(self) -> int:
        """A free port of 127.0.0.1, the same at every start unless somebody else took it meanwhile."""
        return self._identities.port(f"addon.{self._name}")

    def login(self) -> Path:
        """The kubeconfig of the add-on's ServiceAccount, which may do what its `objects` say."""
        return self._identities.service_account(self._name, NAMESPACE)

    def serving(self) -> tuple[Pair, Path]:
        """A certificate to serve on loopback, and the authority that signed it."""
        with self._identities.control_plane() as plane:
            return plane.serving(self._name), plane.ca


class Addon(ABC):
    """One add-on: a value without state. `objects` is what must be in the API while it is installed."""

    name: ClassVar[str]
    summary: ClassVar[str]
    module: ClassVar[str]  # the folder of its Go module below controlplane/addons
    objects: ClassVar[tuple[tuple[Resource[AnyObject], Mapping[str, Any]], ...]] = ()

    def program(self) -> Program:
        """What to build: the tool that its module pins."""
        return pinned(sources() / "addons" / self.module / "go.mod")

    @abstractmethod
    def part(self, binary: Path, site: Site) -> Part:
        """How it runs."""

    @abstractmethod
    def facts(self, site: Site) -> dict[str, str]:
        """What a person needs to know to use it. Nothing secret, but where that is."""

    @abstractmethod
    async def clear(self, client: Client) -> None:
        """Delete what its use left in the API; `objects` are deleted by whoever calls this."""


def pinned(modfile: Path) -> Program:
    """The program that a go.mod names as its tool, at the version that it requires."""
    text = modfile.read_text()
    tool = re.search(r"^tool (\S+)$", text, re.MULTILINE)
    required = re.findall(r"^\s(\S+) v(\S+)", text, re.MULTILINE)
    version = next((version for path, version in required if tool and tool[1].startswith(f"{path}/")), None)
    if tool is None or version is None:
        raise LongshoreError(f"{modfile} does not pin a tool.", hint="Install longshore again.")
    name = tool[1].rpartition("/")[2]
    return Program(name, name, version, modfile, package=tool[1])
