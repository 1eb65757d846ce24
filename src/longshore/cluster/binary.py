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
from longshore.cluster.program import Program
from longshore.cluster.progress import Report, Step, silent

PATIENCE = 3600.0  # seconds to wait for somebody else's build


async def provide(report: Report = silent, program: Program | None = None) -> Path:
    """Where the program's binary is, after building it if it must be; by default that of the control plane."""
    program = program or versions.control_plane()
    return installed(program) or cached(program) or await _build(program, report)


def installed(program: Program) -> Path | None:
    """The binary of the platform wheel, if that is installed."""
    spec = importlib.util.find_spec(program.wheel) if program.wheel else None
    places = [Path(place) / program.name for place in (spec.submodule_search_locations or [])] if spec else []
    return next((place for place in places if place.exists()), None)


def cached(program: Program) -> Path | None:
    """The binary of an earlier build from the same sources."""
    binary = program.cache_path()
    return binary if binary.exists() else None


async def _build(program: Program, report: Report) -> Path:
    target = program.cache_path()
    what = f"building {program.title}"
    waiting = Step(what, "another process is building it already")
    async with locked(target.with_name(".lock"), deadline=PATIENCE, waiting=lambda: report(waiting)):
        if target.exists():  # built by whoever had the lock before
            return target
        report(Step(what, "looking for Go"))
        go = await golang.provide(report)
        part = target.with_name(f".{program.name}.part")
        await golang.build(go, program, part, what=what, report=report)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(target)
    return target
