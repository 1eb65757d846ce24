"""What it costs to have all Jobs of a cluster at hand: CPU to list and decode them, and the memory that they take.

Each client lists the same Jobs from the same server and keeps them by namespace and name, as a cache would: ours in
its store with the product's indexes, the others in a dict. Each does so once to warm up, with 100 other objects.
"""

from __future__ import annotations

import time
from statistics import median

from bench.harness.cache import client, job_store, reflecting
from bench.harness.jobs import mean_bytes
from bench.harness.meter import resident_kb
from bench.harness.processes import Measured, alternate, serving
from bench.harness.results import Measurement

JOBS = 10_000
PAGE = 500  # what ours asks for; the others are measured with it and with everything in one piece
ROUNDS = 3
SERVER = "bench.harness.apiserver:serve"


async def ours(url: str) -> Measured:
    async with client(url) as source:
        async with reflecting(source, job_store(), namespace="warm-up"):
            pass
        resident, cpu = resident_kb(), time.process_time()
        async with reflecting(source, job_store()) as store:
            spent = time.process_time() - cpu
            return {"cpu_s": spent, "kb": resident_kb() - resident, "objects": len(store)}


def measure() -> Measurement:
    with serving(SERVER, JOBS) as server, serving(SERVER, JOBS, 0, 0.0, "jobs", False) as unstreamed:
        samples = alternate(
            {
                "ours_paged": ("bench.list_decode:ours", unstreamed["url"]),
                "ours_streamed": ("bench.list_decode:ours", server["url"]),
                "lightkube_paged": ("bench.peers.lightkube:list_jobs", server["url"], PAGE),
                "lightkube_whole": ("bench.peers.lightkube:list_jobs", server["url"], None),
                "official_paged": ("bench.peers.official:list_jobs", server["url"], PAGE),
                "official_whole": ("bench.peers.official:list_jobs", server["url"], None),
                "asyncio_paged": ("bench.peers.asyncio:list_jobs", server["url"], PAGE),
            },
            ROUNDS,
        )
    return Measurement(figures(samples), {"bytes_per_job": round(mean_bytes(JOBS)), "jobs": JOBS, **samples})


def figures(samples: dict[str, list[Measured]]) -> dict[str, float]:
    """Of a peer, the cheaper of its two ways counts, for CPU and memory each."""
    if wrong := {name for name, runs in samples.items() for run in runs if run["objects"] != JOBS}:
        raise RuntimeError(f"not all Jobs arrived: {sorted(wrong)}")
    ours_s = _middle(samples, "ours_paged", "cpu_s")
    return {
        "list_decode_cpu_s": ours_s,
        "list_decode_streamed_cpu_s": _middle(samples, "ours_streamed", "cpu_s"),
        "list_decode_cpu_ratio": _least(samples, "official", "cpu_s") / ours_s,
        "list_decode_cpu_ratio_lightkube": _least(samples, "lightkube", "cpu_s") / ours_s,
        "list_decode_cpu_ratio_asyncio": _least(samples, "asyncio", "cpu_s") / ours_s,
        "cache_kb_per_job": max(_middle(samples, f"ours_{way}", "kb") for way in ("paged", "streamed")) / JOBS,
        "cache_kb_per_job_official": _least(samples, "official", "kb") / JOBS,
        "cache_kb_per_job_lightkube": _least(samples, "lightkube", "kb") / JOBS,
    }


def _middle(samples: dict[str, list[Measured]], name: str, what: str) -> float:
    return float(median(run[what] for run in samples[name]))


def _least(samples: dict[str, list[Measured]], peer: str, what: str) -> float:
    return min(_middle(samples, name, what) for name in samples if name.startswith(f"{peer}_"))
