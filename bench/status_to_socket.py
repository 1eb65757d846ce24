"""How long a change of a job takes from the API server's answer to whoever wrote it until it is at those who follow it.

On a real control plane of its own: the status of one of 20 jobs is patched, ten or five times a second, and 1 or 1,000
sockets in other processes note when the job's new version arrives. Each pair of a change and a socket is a sample. The
CPU of `serve` while 1,000 listen, less what it takes with one, divided by what it sent, is the cost of a message.
Nobody fsyncs, and there are no nodes, so that nothing else changes.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from statistics import median
from typing import Any

import aiohttp

from bench.harness.meter import percentile
from bench.harness.processes import Measured, call
from bench.harness.product import Product, new_tenants, product
from bench.harness.results import Measurement
from bench.harness.sockets import connected, metric
from longshore.kube.objects import JOBS
from longshore.sdk.client import LongshoreClient

JOBS_KEPT = 20
RUNS = {1: (300, 0.1), 1_000: (100, 0.2)}  # by sockets: how many changes, seconds between them
CLIENTS = 2  # processes that the sockets are in
ENOUGH = 2_000
ENOUGH_ARRIVED = 0.95


def measure() -> Measurement:
    return asyncio.run(_measure())


async def _measure() -> Measurement:
    async with product() as bed:
        api = await bed.start()
        keys = await new_tenants(api, ["t0"], queued_jobs=1000)
        async with LongshoreClient(api.url, keys["t0"]) as client:
            names = [(await client.jobs.submit("busybox:1.37", ["true"], cpu=0.01)).id for _ in range(JOBS_KEPT)]
        async with aiohttp.ClientSession() as session:
            await _settled(session, api.url)
            runs = {count: await _run(bed, session, api.url, keys["t0"], names, count) for count in RUNS}
    per_change = {count: run["cpu_us"] / run["changes"] for count, run in runs.items()}
    figures = {f"status_to_socket_p99_ms_{count}": run["p99_ms"] for count, run in runs.items()}
    figures |= {f"status_to_socket_p50_ms_{count}": run["p50_ms"] for count, run in runs.items()}
    # of all that was sent: the Job controller writes too
    each = (runs[1_000]["messages"] - RUNS[1_000][0]) / RUNS[1_000][0]
    figures["fanout_us_per_socket"] = (per_change[1_000] - per_change[1]) / each
    return Measurement(figures, {str(count): run for count, run in runs.items()}, {"kubernetes": bed.kubernetes})


async def _run(
    bed: Product, session: aiohttp.ClientSession, url: str, key: str, names: list[str], count: int
) -> Measured:
    changes, every = RUNS[count]
    processes = min(count, CLIENTS)
    followers = [
        asyncio.create_task(asyncio.to_thread(call, "bench.harness.sockets:follow", url, [key], count // processes))
        for _ in range(processes)
    ]
    await connected(session, url, count)
    cpu = await metric(session, url, "process_cpu_seconds_total")
    written: dict[str, int] = {}
    for number in range(changes):
        began = time.monotonic()
        version = await _change(bed, names[number % len(names)], number)
        written[version] = time.monotonic_ns()
        await asyncio.sleep(max(0.0, every - (time.monotonic() - began)))
    await asyncio.sleep(1.0)
    cpu = await metric(session, url, "process_cpu_seconds_total") - cpu
    took: list[float] = []
    messages = 0
    for arrivals in [(await follower)["arrivals"] for follower in followers]:
        messages += sum(len(each) for each in arrivals.values())
        took += [
            (at - written[version]) / 1e6 for version, each in arrivals.items() if version in written for at in each
        ]
    # a version that the Job controller has overtaken at once is not told for itself
    if not ENOUGH_ARRIVED * changes * count <= len(took) <= changes * count:
        raise RuntimeError(f"of {changes} changes to {count} sockets {len(took)} arrived")
    return {
        "changes": changes,
        "arrived": len(took),
        "messages": messages,
        "cpu_us": cpu * 1e6,
        "p50_ms": median(took),
        "p99_ms": percentile(took, 99),
        "worst_ms": max(took),
        "ms": [round(each, 2) for each in took[:: max(1, len(took) // ENOUGH)]],
    }


async def _change(bed: Product, name: str, number: int) -> str:
    """A condition of no meaning; the version that the API server answers."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    condition: dict[str, Any] = {"type": "Bench", "status": "True", "reason": f"N{number}", "lastTransitionTime": now}
    patch = {"status": {"conditions": [condition]}}
    job = await bed.admin.patch(JOBS, name, patch, "tenant-t0", subresource="status")
    return job.metadata.resource_version


async def _settled(session: aiohttp.ClientSession, url: str) -> None:
    """The jobs are admitted, and nothing changes any more."""
    before = -1.0
    async with asyncio.timeout(60):
        while True:
            now = await metric(session, url, 'longshore_cache_events_total{resource="jobs.batch"}')
            if now == before:
                return
            before = now
            await asyncio.sleep(2.0)
