"""What one change of one object costs when many follow the store: a task each, all awaiting their next change.

CPU from the change until the last has it, and how long that takes. Changes come one by one: none is merged.
"""

from __future__ import annotations

import asyncio
import time
from statistics import median

import msgspec

from bench.harness.cache import job_store
from bench.harness.jobs import changed, identity
from bench.harness.meter import percentile
from bench.harness.processes import Measured, alternate
from bench.harness.results import Measurement
from longshore.kube.objects import JOBS, Job
from longshore.kube.store import Store, Writer

OBJECTS = 1_000
CHANGES = {1: 2_000, 1_000: 100, 10_000: 20}  # by how many subscribers there are
ROUNDS = 3


class Crowd:
    """`everyone` is set when each of `size` readers has had the change."""

    def __init__(self, store: Store[Job], size: int) -> None:
        self.everyone = asyncio.Event()
        self._store = store
        self._size = size
        self._told = 0

    async def follow(self) -> None:
        async with self._store.subscribe() as subscription:
            while True:
                deltas = await subscription.next()
                self._told += len(deltas)
                if self._told == self._size:
                    self._told = 0
                    self.everyone.set()


async def ours(subscribers: int, changes: int) -> Measured:
    decode = msgspec.json.Decoder(JOBS.type).decode
    writer = Writer(job_store())
    writer.replace([decode(changed(identity(n), n + 1)) for n in range(OBJECTS)], OBJECTS)
    coming = [decode(changed(identity(n % OBJECTS), OBJECTS + 1 + n)) for n in range(changes + changes // 10 + 1)]
    crowd = Crowd(writer.store, subscribers)
    tasks = [asyncio.ensure_future(crowd.follow()) for _ in range(subscribers)]
    await asyncio.sleep(0)
    cpu_us, last_ms = [], []
    for job in coming:
        cpu, began = time.process_time_ns(), time.perf_counter_ns()
        writer.put(job)
        await crowd.everyone.wait()
        crowd.everyone.clear()
        last_ms.append((time.perf_counter_ns() - began) / 1e6)
        cpu_us.append((time.process_time_ns() - cpu) / 1e3)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    return {"cpu_us": _rounded(cpu_us[-changes:]), "last_ms": _rounded(last_ms[-changes:])}  # the first warmed up


def measure() -> Measurement:
    samples = alternate(
        {str(size): ("bench.fanout:ours", size, changes) for size, changes in CHANGES.items()},
        ROUNDS,
    )
    us = {size: median(us for run in samples[str(size)] for us in run["cpu_us"]) for size in CHANGES}
    largest = max(CHANGES)
    last = [ms for run in samples[str(largest)] for ms in run["last_ms"]]
    figures = {f"fanout_us_{size}": us[size] for size in CHANGES}
    figures |= {"fanout_us_per_subscriber": us[largest] / largest, "fanout_last_ms_10000": percentile(last, 99)}
    return Measurement(figures, {**samples, "1": [_summed(run) for run in samples["1"]]})


def _summed(run: Measured) -> Measured:
    """Of thousands of samples, the percentiles."""
    return {
        what: {f"p{percent}": round(percentile(values, percent), 3) for percent in (1, 10, 50, 90, 99)}
        for what, values in run.items()
    }


def _rounded(values: list[float]) -> list[float]:
    return [round(value, 3) for value in values]
