"""The binary of a Go program: found in an installed wheel or in the cache, else built from the sources.

A build belongs to the hash of its sources, so a change of a pin gets a folder of its own; it is written beside its
place and moved there when it is whole, under a lock, so that a build that died or runs twice spoils nothing.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from longshore.cluster import golang, versions
from longshore.cluster.locks import locked
from longshore.cluster.program import HERE, Machine, Program
from longshore.cluster.progress import Report, Step, silent

DIGEST = "digest"  # the wheel's file of this name: the hash of the sources of the binary beside it
PATIENCE = 3600.0  # seconds to wait for somebody else's build


async def provide(report: Report = silent, program: Program | None = None, machine: Machine = HERE) -> Path:
    """Where the program's binary is, after building it if it must be; by default that of the control plane."""
    program = program or versions.control_plane()
    return installed(program, machine) or cached(program, machine) or await _build(program, machine, report)


def installed(program: Program, machine: Machine = HERE) -> Path | None:
    """The binary of the platform wheel, if that is installed and was built from the same sources."""
    folder = _wheel(program)
    if folder is None or not (folder / DIGEST).exists():
        return None
    return folder / program.name if (folder / DIGEST).read_text().strip() == program.digest(machine) else None


def cached(program: Program, machine: Machine = HERE) -> Path | None:
    """The binary of an earlier build from the same sources."""
    binary = program.cache_path(machine)
    return binary if binary.exists() else None


def _wheel(program: Program) -> Path | None:
    """The folder of the platform wheel's package, which holds the binary and the digest of its sources."""
    spec = importlib.util.find_spec(program.name.replace("-", "_")) if program.wheel else None
    return Path(spec.origin).parent if spec and spec.origin else None


async def _build(program: Program, machine: Machine, report: Report) -> Path:
    target = program.cache_path(machine)
    what = f"building {program.title}"
    if _wheel(program):
        what += f" (the installed {program.name} is of other sources; {program.wheel} fits)"
    waiting = Step(what, "another process is building it already")
    async with locked(target.with_name(".lock"), deadline=PATIENCE, waiting=lambda: report(waiting)):
        if target.exists():  # built by whoever had the lock before
            return target
        report(Step(what, "looking for Go"))
        go = await golang.provide(report)
        part = target.with_name(f".{program.name}.part")
        await golang.build(go, program, part, machine=machine, what=what, report=report)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(target)
    return target
