"""Builds what pip and uv install, into dist/: longshore itself, and its control plane for each platform asked for.

`make wheels` runs it. The wheel of the control plane holds the binary as a file of a package, as those of uv and ruff
hold theirs, so that whoever installs it builds nothing; `longshore.cluster.binary` finds it there.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from deploy import licences
from hatchling.builders.wheel import WheelBuilder
from rich.console import Console

from longshore.cli.output import Output
from longshore.cli.steps import Steps
from longshore.cluster import binary, golang, versions
from longshore.cluster.program import HERE, Machine, Program
from longshore.errors import LongshoreError, UserMistake

CHECKOUT = Path(__file__).parents[1]
THIRD_PARTIES = "THIRD-PARTY-LICENCES"
INIT = (
    '"""The control plane of longshore for one platform: a file beside this one, which `longshore cluster` runs."""\n'
)
# What THIRD-PARTY-LICENCES of Kubernetes 1.37.1 adds up to, read by a person.
LICENCE = "Apache-2.0 AND BSD-2-Clause AND BSD-3-Clause AND ISC AND MIT AND MPL-2.0"
# A static binary asks nothing of a libc, so both kinds of Linux can have it. Go 1.26 needs macOS 12.
TAGS = {
    "linux/amd64": (Machine("linux", "x86_64"), "manylinux_2_17_x86_64.manylinux2014_x86_64.musllinux_1_1_x86_64"),
    "linux/arm64": (Machine("linux", "aarch64"), "manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64"),
    "darwin/arm64": (Machine("darwin", "arm64"), "macosx_12_0_arm64"),
}


class PlatformWheel(WheelBuilder):
    """A wheel for the platforms of `tag` alone."""

    tag = ""

    def get_default_build_data(self) -> dict[str, Any]:
        return {**super().get_default_build_data(), "pure_python": False, "tag": f"py3-none-{self.tag}"}


def pack(program: Program, platform: str, built: Path, texts: str, dist: Path) -> Path:
    """The wheel of a binary that is built, with the licences of what is in it. The same bytes for the same content."""
    machine, tag = TAGS[platform]
    package = program.name.replace("-", "_")
    wheel = {"packages": [package], "force-include": {str(built): f"{package}/{program.name}"}}
    project = {
        "name": program.name,
        "version": program.wheel,
        "description": f"Kubernetes {program.version}, etcd and kubectl in one binary, for `longshore cluster`.",
        "license": LICENCE,
        "license-files": ["LICENSE", THIRD_PARTIES],
        "requires-python": ">=3.11",
    }
    with TemporaryDirectory() as folder:
        root = Path(folder)
        (root / package).mkdir()
        (root / package / "__init__.py").write_text(INIT)
        (root / package / binary.DIGEST).write_text(f"{program.digest(machine)}\n")
        (root / THIRD_PARTIES).write_text(texts)
        shutil.copy(CHECKOUT / "LICENSE", root)
        config = {"project": project, "tool": {"hatch": {"build": {"targets": {"wheel": wheel}}}}}
        builder = PlatformWheel(folder, config=config)
        builder.tag = tag
        return _write(builder, dist)


def pack_longshore(dist: Path) -> Path:
    """The wheel of longshore itself, which carries the Go sources."""
    return _write(WheelBuilder(str(CHECKOUT)), dist)


def here() -> str:
    """The platform that this is."""
    found = [name for name, (machine, _) in TAGS.items() if machine == HERE]
    if not found:
        raise UserMistake(
            f"There is no name for wheels of {HERE.system} on {HERE.processor}.",
            hint=f"PLATFORMS chooses among {', '.join(TAGS)}.",
        )
    return found[0]


async def build(platforms: Sequence[str], dist: Path) -> list[Path]:
    """Every wheel; a platform that is not this one is compiled for."""
    if unknown := set(platforms) - set(TAGS):
        raise UserMistake(f"{', '.join(sorted(unknown))}: no such platform.", hint=f"There are: {', '.join(TAGS)}.")
    program = versions.control_planes()[0]
    wheels = [pack_longshore(dist)]
    with Steps(Console(stderr=True)) as report:
        go = await golang.provide(report)
        for platform in platforms:
            machine, _ = TAGS[platform]
            built = await binary.provide(report, program, machine)
            texts = licences.collect(licences.linked(go, program, machine))
            wheels.append(pack(program, platform, built, texts, dist))
    return wheels


def _write(builder: WheelBuilder, dist: Path) -> Path:
    (path,) = builder.build(directory=str(dist), versions=["standard"])
    return Path(path)


if __name__ == "__main__":
    try:
        asked = os.environ.get("PLATFORMS", "").replace(",", " ").split() or [here()]
        for path in asyncio.run(build(asked, CHECKOUT / "dist")):
            print(path.relative_to(CHECKOUT))
    except LongshoreError as error:
        Output(json=False).error(error)
        sys.exit(2)
