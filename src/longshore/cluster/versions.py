"""The versions of Kubernetes that a cluster can run: the default is pinned by controlplane/go.mod, the others by
`<minor>.mod` files beside it, for the same main.go. Whoever needs a control plane's program asks here.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from longshore.cluster.program import Program, sources
from longshore.errors import LongshoreError, UserMistake

NAME = "longshore-controlplane"
ENVIRONMENT = "LONGSHORE_KUBERNETES"
BUILD = 0  # of the wheel that holds the default: one more when its sources change but not its Kubernetes


def control_plane(asked: str = "") -> Program:
    """The control plane of a version such as 1.35 or 1.35.0, else of $LONGSHORE_KUBERNETES, else the default.

    UserMistake when there is none of it.
    """
    asked = (asked or os.environ.get(ENVIRONMENT, "")).removeprefix("v")
    programs = control_planes()
    if not asked:
        return programs[0]
    for program in programs:
        if asked in (program.version, minor(program.version)):
            return program
    known = ", ".join(f"{minor(program.version)} ({program.version})" for program in programs)
    raise UserMistake(f"longshore has no Kubernetes {asked}.", hint=f"There are: {known}; the first is the default.")


def next_control_plane(asked: str, wrote: str) -> Program:
    """The control plane of a cluster whose state Kubernetes `wrote` has written ("" if none): as asked, or the same.

    UserMistake when it would be an older one: neither etcd nor objects of newer APIs can go back.
    """
    same = {minor(program.version): program for program in control_planes()}.get(minor(wrote))
    program = control_plane(asked) if asked or os.environ.get(ENVIRONMENT) or not same else same
    if wrote and number(minor(program.version)) < number(minor(wrote)):
        raise UserMistake(
            f"Kubernetes {wrote} has written the state of this cluster, which {program.version} cannot read.",
            hint=f"Ask for {minor(wrote)} or later, or make another cluster: --cluster NAME.",
        )
    return program


def control_planes(folder: Path | None = None) -> tuple[Program, ...]:
    """The default, then the others, newest first."""
    folder = folder or sources()
    others = [_control_plane(path) for path in folder.glob("*.mod") if path.name != "go.mod"]
    return (_control_plane(folder / "go.mod"), *sorted(others, key=lambda one: number(one.version), reverse=True))


def number(version: str) -> tuple[int, ...]:
    """To compare by: 1.37.1 is (1, 37, 1)."""
    return tuple(map(int, version.split(".")))


def minor(version: str) -> str:
    """1.37 of 1.37.1."""
    return version.rpartition(".")[0]


def _control_plane(modfile: Path) -> Program:
    """With the version of Kubernetes that the module pins stamped in."""
    found = re.search(r"^\s*k8s\.io/kubernetes (v((\d+)\.(\d+)\.\d+))$", modfile.read_text(), re.MULTILINE)
    if not found:
        raise LongshoreError(f"{modfile} does not pin k8s.io/kubernetes.", hint="Restore it.")
    stamps = zip(("gitVersion", "gitMajor", "gitMinor"), found.group(1, 3, 4), strict=True)
    flags = " ".join(["-s -w", *(f"-X k8s.io/component-base/version.{name}={value}" for name, value in stamps)])
    wheel = f"{found[2]}.{BUILD}" if modfile.name == "go.mod" else ""
    return Program(NAME, "the control plane", found[2], modfile, linker_flags=flags, wheel=wheel)
