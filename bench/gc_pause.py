"""How long a full garbage collection holds up everything else while many Jobs are cached.

Python collects in the event loop's thread: for that long, no request is answered. Ours is warmed up as the product is.
Measured then, while events come in, and by collections that are forced afterwards; the worst counts. Those during the
first list and the warm-up are in the raw samples only: nobody is served before those are over.
"""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import aiohttp

from bench.harness.cache import client, job_store, reflecting
from bench.harness.pauses import Pauses
from bench.harness.processes import Measured, alternate, call, serving
from bench.harness.results import Measurement
from longshore.kube.store import Store
from longshore.kube.warmup import warmed_up

SERVER = "bench.harness.apiserver:serve"
SMALL, LARGE = 10_000, 100_000
EVENTS = 50_000
FORCED = 5
ROUNDS = 3


async def ours(url: str, last: int, collections: int) -> Measured:
    async with client(url) as source, aiohttp.ClientSession() as session:
        with Pauses() as loading:
            caching = reflecting(source, job_store())
            store = await caching.__aenter__()
            await warmed_up([store], 1)  # as longshore does
        with Pauses() as living:
            reader = asyncio.ensure_future(_read(store, last))
            async with session.get(f"{url}/start"):
                pass
            await reader
        with Pauses() as forced:
            for _ in range(collections):
                gc.collect()
        measured = {
            "loading_ms": loading.full_ms,
            "living_ms": living.full_ms,
            "forced_ms": forced.full_ms,
            "objects": len(store),
            "tracked": len(gc.get_objects()),
        }
        await caching.__aexit__(None, None, None)
        return measured


async def _read(store: Store[Any], last: int) -> None:
    async with store.subscribe() as subscription:
        while store.version < last:
            await subscription.next()


def measure() -> Measurement:
    samples: dict[str, Any] = {"official_10k": [], "ours_10k": [], "ours_100k": []}
    for _ in range(ROUNDS):
        for name, count in (("ours_10k", SMALL), ("ours_100k", LARGE)):
            with serving(SERVER, count, EVENTS) as server:
                run = call("bench.gc_pause:ours", server["url"], server["last"], FORCED)
            samples[name].append(_checked(run, count))
    with serving(SERVER, SMALL) as server:
        peer = alternate({"official_10k": ("bench.peers.official:pauses", server["url"], FORCED)}, 1)
    samples["official_10k"] = [_checked(run, SMALL) for run in peer["official_10k"]]
    figures = {
        "gc_pause_ms_10k": _worst(samples["ours_10k"]),
        "gc_pause_ms_100k": _worst(samples["ours_100k"]),
        "gc_pause_ms_10k_official": _worst(samples["official_10k"]),
    }
    return Measurement(figures, samples)


def _checked(run: Measured, count: int) -> Measured:
    if run["objects"] != count:
        raise RuntimeError(f"{run['objects']} objects are cached, not {count}")
    return run


def _worst(runs: list[Measured]) -> float:
    return max(float(ms) for run in runs for ms in [*run.get("living_ms", ()), *run["forced_ms"]])
