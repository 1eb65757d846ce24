"""What is read off the process that is measured, and off samples."""

from __future__ import annotations

import gc
import os
from collections.abc import Sequence
from pathlib import Path
from statistics import quantiles


def resident_kb() -> float:
    """Resident memory in KB (1,000 bytes) once garbage is collected. Source: proc_pid_statm(5)."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1000


def percentile(samples: Sequence[float], percent: int) -> float:
    return quantiles(samples, n=100, method="inclusive")[percent - 1]
