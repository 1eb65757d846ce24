"""How long `longshore up` takes with the control plane built, and what the idle cluster keeps resident.

The command as it is typed, in a state folder of its own, with fsync: from its start to its end, when control plane,
node, API and controllers are ready. Cold is a new cluster, warm the same one after `longshore down`. Memory is the sum
of the resident sets once it has idled for a while; what processes share, such as the one binary, counts for each.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from bench.harness.results import Measurement

ROUNDS = 5
IDLE_SECONDS = 20.0
COMMAND_SECONDS = 120.0
LONGSHORE = ("serve", "control")
Sample = dict[str, float]


def measure() -> Measurement:
    cold: list[float] = []
    warm: list[float] = []
    memory: Sample = {}
    for number in range(ROUNDS):
        with tempfile.TemporaryDirectory() as home:
            try:
                cold.append(_timed(home, "up"))
                if number == 0:
                    time.sleep(IDLE_SECONDS)
                    memory = _resident_mb(home)
                _timed(home, "down")
                warm.append(_timed(home, "up"))
            finally:
                _timed(home, "cluster", "reset", "--yes")
    figures = {
        "cold_start_s": median(cold),
        "warm_start_s": median(warm),
        "control_plane_rss_mb": sum(mb for part, mb in memory.items() if part.startswith(("etcd", "kube-"))),
        "process_node_rss_mb": memory["node0"],
        "longshore_rss_mb": sum(memory[part] for part in LONGSHORE),
    }
    return Measurement(figures, {"cold_s": cold, "warm_s": warm, "resident_mb": memory})


def _timed(home: str, *words: str) -> float:
    """Seconds that one command takes. Raises CalledProcessError when it fails."""
    began = time.monotonic()
    _run(home, *words)
    return round(time.monotonic() - began, 3)


def _resident_mb(home: str) -> Sample:
    parts: list[dict[str, Any]] = msgspec.json.decode(_run(home, "cluster", "status", "--json"))["parts"]
    return {part["name"]: round(part["rss"] / 1e6, 1) for part in parts}


def _run(home: str, *words: str) -> bytes:
    environment = {**os.environ, "XDG_STATE_HOME": str(Path(home))}
    argv = [sys.executable, "-m", "longshore", *words]
    done = subprocess.run(argv, env=environment, stdout=subprocess.PIPE, timeout=COMMAND_SECONDS, check=True)
    return done.stdout
