"""The licences of everything that is linked into a Go program, as one text for `wheels.py` to ship with it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from longshore.cluster import golang
from longshore.cluster.program import Machine, Program
from longshore.errors import LongshoreError

FILES = re.compile(r"(licen[cs]e|copying|copyright|notice|patents)([-._].*)?", re.IGNORECASE)
RULE = "=" * 80
HEAD = """\
What is linked into the program beside this file, and the terms of each. Every line above a text names a Go module: its
sources are at the public Go module proxy under that name and version.
"""
# The module that replaces another is the one whose text is linked.
LISTED = '{{$dir := .Dir}}{{with .Module}}{{$it := or .Replace .}}{{$it}}\t{{.Dir}}\t{{$dir}}{{"\\n"}}{{end}}'


class Package(Struct, frozen=True):
    """What one module gives to the program: `folder` is at `root` or below."""

    module: str
    root: Path
    folder: Path


def linked(go: Path, program: Program, machine: Machine) -> list[Package]:
    """Every package in the program, and Go's own, whose licence is at GOROOT."""
    own = program.modfile.parent
    environment = golang.environment_for(machine)

    def says(*argv: str) -> list[str]:
        ran = subprocess.run([go, *argv], cwd=own, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        return ran.stdout.splitlines()

    (goroot,) = says("env", "GOROOT")
    listed = says("list", f"-modfile={program.modfile.name}", "-deps", "-f", LISTED, program.package)
    found = (line.split("\t") for line in listed)
    packages = [Package(module, Path(root), Path(folder)) for module, root, folder in found if Path(root) != own]
    return [Package("the Go standard library", Path(goroot), Path(goroot)), *packages]


def collect(packages: Sequence[Package]) -> str:
    """All their texts, each once, below the names of those it belongs to; the same for the same packages."""
    holders: dict[str, set[str]] = {}
    without = {package.module for package in packages}
    for package in packages:
        for path in _texts(package):
            below = path.parent.relative_to(package.root)
            name = package.module if below == Path() else f"{package.module} ({below})"
            holders.setdefault(path.read_text(errors="replace").strip(), set()).add(name)
            without.discard(package.module)
    if without:
        raise LongshoreError(
            f"No licence was found of {', '.join(sorted(without))}.",
            hint="See what its authors say. If it is Go's own: the Go of go.dev brings it, PyPI's does not.",
        )
    chapters = sorted(("\n".join(sorted(names)), text) for text, names in holders.items())
    return HEAD + "".join(f"\n{RULE}\n{names}\n{RULE}\n\n{text}\n" for names, text in chapters)


def _texts(package: Package) -> Iterator[Path]:
    """Those of its folder and of each above it, up to the root of its module: parts may have come from elsewhere."""
    folder = package.folder
    while True:
        yield from (path for path in sorted(folder.iterdir()) if FILES.fullmatch(path.name) and path.is_file())
        if folder == package.root:
            return
        folder = folder.parent
