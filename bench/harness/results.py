"""Results on disk: the raw samples of each run with what they were measured on, and one flat file of the figures."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from bench.figures import FIGURES
from bench.harness.processes import ROOT

RESULTS = ROOT / "bench" / "results"
PACKAGES = ("longshore", "aiohttp", "msgspec", "fastapi", "uvicorn", "kubernetes", "kubernetes-asyncio", "lightkube")


class Measurement(Struct, frozen=True):
    """What a benchmark's `measure` returns. `samples` are as raw as they can be kept in 300 kB."""

    figures: dict[str, float]
    samples: dict[str, Any]
    versions: dict[str, str] = {}


class Hardware(Struct, frozen=True):
    cpu: str
    cores: int
    memory_gib: float


class Record(Struct, frozen=True):
    """One run of one benchmark, as it is kept. `load` is the load average before and after; times in seconds, UTC."""

    benchmark: str
    at: datetime
    seconds: float
    commit: str
    figures: dict[str, float]
    versions: dict[str, str]
    hardware: Hardware
    load: dict[str, tuple[float, float, float]]
    samples: dict[str, Any]


def write(record: Record, folder: Path = RESULTS) -> None:
    """The record into its file, and its figures among the latest. Raises ValueError when it holds
    other figures than the table names."""
    expected = {figure.key for figure in FIGURES[record.benchmark]}
    if record.figures.keys() != expected:
        odd = sorted(record.figures.keys() ^ expected)
        raise ValueError(f"{record.benchmark} and bench/figures.py do not agree on {odd}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{record.at:%Y-%m-%d}-{record.benchmark}.json").write_bytes(_pretty(record))
    known = latest(folder) | record.figures
    figures = {figure.key: known[figure.key] for part in FIGURES.values() for figure in part if figure.key in known}
    (folder / "latest.json").write_bytes(_pretty(figures))


def latest(folder: Path = RESULTS) -> dict[str, float]:
    """The figures of the latest run of each benchmark."""
    path = folder / "latest.json"
    return msgspec.json.decode(path.read_bytes(), type=dict[str, float]) if path.exists() else {}


def hardware() -> Hardware:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return Hardware(_cpu_model(), len(os.sched_getaffinity(0)), round(memory, 1))


def versions(more: Mapping[str, str]) -> dict[str, str]:
    """Of Python and of what was measured."""
    return {"python": platform.python_version(), **dict(_installed(PACKAGES)), **more}


def commit() -> str:
    """Which state of the project was measured; `+` when it had changes that are not committed."""
    git = ("git", "-C", str(ROOT))
    head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=False)
    if head.returncode:
        return "unknown"
    changes = [*git, "status", "--porcelain", "--untracked-files=no", "--", "src", "bench/*.py"]
    changed = subprocess.run(changes, capture_output=True, text=True, check=False)
    return head.stdout.strip() + ("+" if changed.stdout else "")


def now() -> datetime:
    return datetime.now(UTC)


def _installed(names: Iterable[str]) -> Iterable[tuple[str, str]]:
    for name in names:
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:
            yield name, "not installed"


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _pretty(value: Any) -> bytes:
    """Compact inside of lists, so that raw samples do not take a line each."""
    return msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"
