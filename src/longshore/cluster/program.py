"""A Go program that longshore builds: which module pins it, how it is linked, and the hash that tells its builds apart.

`versions.py` has the control planes; `binary.py` finds a build or makes one.
"""

from __future__ import annotations

import hashlib
import platform
import sys
from pathlib import Path

from msgspec import Struct

from longshore.cluster.state import cache_home
from longshore.errors import LongshoreError


class Machine(Struct, frozen=True):
    """What a build runs on, in Python's words: `sys.platform` and `platform.machine()`."""

    system: str
    processor: str

    @property
    def go(self) -> dict[str, str]:
        """The same in Go's words."""
        return {"GOOS": self.system, "GOARCH": _GO_NAMES.get(self.processor, self.processor)}


HERE = Machine(sys.platform, platform.machine())
_GO_NAMES = {"x86_64": "amd64", "aarch64": "arm64"}


class Program(Struct, frozen=True):
    """`package` of the module that `modfile` pins, with the .sum file and the sources beside it.

    `title` is what people call it, `version` that of what is in it, `wheel` the version of the platform wheel of the
    same name that holds it, where there is one.
    """

    name: str
    title: str
    version: str
    modfile: Path
    package: str = "."
    linker_flags: str = "-s -w"  # without debug information
    wheel: str = ""

    def digest(self, machine: Machine = HERE) -> str:
        """A hash of the sources and of the machine that the build is for."""
        package = "" if self.package == "." else f" {self.package}"
        digest = hashlib.sha256(f"{machine.system} {machine.processor} {self.linker_flags}{package}".encode())
        own = sorted(self.modfile.parent.glob("*.go"))
        for path in (self.modfile, self.modfile.with_suffix(".sum"), *own):
            digest.update(f"\0{path.name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()[:16]

    def cache_path(self, machine: Machine = HERE) -> Path:
        """Where its build is, or will be."""
        return cache_home() / self.name.removeprefix("longshore-") / self.digest(machine) / self.name


def sources() -> Path:
    """The Go modules: shipped inside the wheel, or in the checkout that this file is in."""
    for folder in (Path(__file__).with_name("sources"), Path(__file__).parents[3] / "controlplane"):
        if (folder / "go.mod").exists():
            return folder
    raise LongshoreError(
        "This installation of longshore lacks the sources of the control plane.", hint="Install longshore again."
    )
