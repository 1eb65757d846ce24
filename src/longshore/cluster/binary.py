"""The control plane's one binary: found in an installed wheel or in the cache, else built from `controlplane/`.

A build belongs to the hash of its sources, so a change of a pin gets a folder of its own; it is written beside its
place and moved there when it is whole, under a lock, so that a build that died or runs twice spoils nothing.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import re
import sys
from pathlib import Path

from longshore.cluster import golang
from longshore.cluster.locks import locked
from longshore.cluster.progress import Report, Step, silent
from longshore.cluster.state import cache_home
from longshore.errors import LongshoreError

NAME = "longshore-controlplane"
WHEEL = "longshore_controlplane"  # the platform wheel: a package that holds the binary beside its __init__
WHAT = "building the control plane"
PATIENCE = 3600.0  # seconds to wait for somebody else's build


async def provide(report: Report = silent) -> Path:
    """Where the binary is, after building it if it must be."""
    return installed() or cached() or await _build(sources(), report)


def installed() -> Path | None:
    """The binary of the platform wheel, if that is installed."""
    spec = importlib.util.find_spec(WHEEL)
    places = [Path(place) / NAME for place in (spec.submodule_search_locations or [])] if spec else []
    return next((place for place in places if place.exists()), None)


def cached() -> Path | None:
    """The binary of an earlier build from the same sources."""
    binary = cache_path(sources())
    return binary if binary.exists() else None


def sources() -> Path:
    """The Go module: shipped inside the wheel, or in the checkout that this file is in."""
    for folder in (Path(__file__).with_name("sources"), Path(__file__).parents[3] / "controlplane"):
        if (folder / "go.mod").exists():
            return folder
    raise LongshoreError(
        "This installation of longshore lacks the sources of the control plane.",
        hint=f"Install longshore again, or install {WHEEL.replace('_', '-')}.",
    )


def cache_path(folder: Path) -> Path:
    """Where the build of these sources for this machine is, or will be."""
    digest = hashlib.sha256(f"{sys.platform} {platform.machine()} {_linker_flags(folder)}".encode())
    for path in (folder / "go.mod", folder / "go.sum", *sorted(folder.glob("*.go"))):
        digest.update(f"\0{path.name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return cache_home() / "controlplane" / digest.hexdigest()[:16] / NAME


def _linker_flags(folder: Path) -> str:
    """Without debug information, and with the version of Kubernetes that go.mod pins stamped in."""
    found = re.search(r"^\s*k8s\.io/kubernetes (v(\d+)\.(\d+)\.\S+)", (folder / "go.mod").read_text(), re.MULTILINE)
    if not found:
        raise LongshoreError(f"{folder / 'go.mod'} does not pin k8s.io/kubernetes.", hint="Restore it.")
    stamps = zip(("gitVersion", "gitMajor", "gitMinor"), found.groups(), strict=True)
    return " ".join(["-s -w", *(f"-X k8s.io/component-base/version.{name}={value}" for name, value in stamps)])


async def _build(folder: Path, report: Report) -> Path:
    target = cache_path(folder)
    waiting = Step(WHAT, "another process is building it already")
    async with locked(target.with_name(".lock"), deadline=PATIENCE, waiting=lambda: report(waiting)):
        if target.exists():  # built by whoever had the lock before
            return target
        report(Step(WHAT, "looking for Go"))
        go = await golang.provide(report)
        part = target.with_name(f".{NAME}.part")
        await golang.build(go, folder, part, linker_flags=_linker_flags(folder), what=WHAT, report=report)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(target)
    return target
