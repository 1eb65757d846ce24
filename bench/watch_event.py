"""What one event of a watch costs: CPU to take it off the wire and into the store, and to hand it to one subscriber.

The server sends changes as fast as they are taken, so several arrive together, as they do when a cluster is busy; and
once 1,000 a second, each on its own. Ours has 10,000 objects in its store; the other clients only keep what they see.
"""

from __future__ import annotations

import asyncio
import time
from statistics import median
from typing import Any

import aiohttp

from bench.harness.cache import client, job_store, reflecting
from bench.harness.processes import Measured, call, serving
from bench.harness.results import Measurement
from longshore.kube.objects import CONFIG_MAPS
from longshore.kube.store import Store

SERVER = "bench.harness.apiserver:serve"
OBJECTS = 10_000
EVENTS = 100_000
PACED_EVENTS, PACE = 5_000, 1_000.0
PEERS = {"official": 3_000, "asyncio": 3_000, "lightkube": 20_000}  # events: they are slower
ROUNDS = 3
PEER_ROUNDS = 2


async def ours(url: str, last: int, what: str) -> Measured:
    """From the first change to `last`, the version of the last."""
    store: Store[Any] = job_store() if what == "jobs" else Store(CONFIG_MAPS)
    async with client(url) as source, aiohttp.ClientSession() as session, reflecting(source, store):
        reader = asyncio.ensure_future(_read(store, last))
        await asyncio.sleep(0)
        begun, version = store.stats.events, store.version
        cpu, began = time.process_time(), time.monotonic()
        async with session.get(f"{url}/start"):
            pass
        seen = await reader
        return {
            "cpu_s": time.process_time() - cpu,
            "seconds": time.monotonic() - began,
            "events": store.stats.events - begun,
            "versions": last - version,
            "seen": seen,
        }


async def _read(store: Store[Any], last: int) -> int:
    """How many changes the subscriber was told of; changes of one object that come together are told as one."""
    told = 0
    async with store.subscribe() as subscription:
        while store.version < last:
            told += len(await subscription.next())
    return told


def measure() -> Measurement:
    samples: dict[str, list[Measured]] = {"ours": [], "small": [], "paced": [], **{peer: [] for peer in PEERS}}
    for number in range(ROUNDS):
        samples["ours"].append(_ours(EVENTS))
        samples["small"].append(_ours(EVENTS, what="configmaps"))
        samples["paced"].append(_ours(PACED_EVENTS, pace=PACE))
        for peer, events in PEERS.items() if number < PEER_ROUNDS else ():
            samples[peer].append(_peer(peer, events))
    us = {name: median(run["cpu_s"] / run["events"] for run in runs) * 1e6 for name, runs in samples.items()}
    figures = {
        "watch_event_us": us["ours"],
        "watch_event_small_us": us["small"],
        "watch_event_paced_us": us["paced"],
        **{f"watch_event_us_{peer}": us[peer] for peer in PEERS},
    }
    return Measurement(figures, samples)


def _ours(events: int, *, pace: float = 0.0, what: str = "jobs") -> Measured:
    with serving(SERVER, OBJECTS, events, pace, what) as server:
        run = call("bench.watch_event:ours", server["url"], server["last"], what)
    if run["events"] != events:
        raise RuntimeError(f"{run['events']} events were taken, {events} were sent")
    return run


def _peer(peer: str, events: int) -> Measured:
    with serving(SERVER, OBJECTS, events) as server:
        return call(f"bench.peers.{peer}:watch_jobs", server["url"], server["version"], events)
