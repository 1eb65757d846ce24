"""How many plans a controller carries out a second: such that do nothing, and such that each write.

Those that do nothing show what the runtime itself costs: 10,000 Jobs are in the store, a controller starts and plans
each once. Those that write run on a real control plane, in a cluster of its own: 10,000 ConfigMaps are not as wanted,
each plan patches one with its uid and version as preconditions, until the cache shows all as wanted. Beside it, the
same client patches as many objects with as many tasks and nothing else.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from bench.harness.cache import SYNC_WITHIN, client, job_store, reflecting
from bench.harness.jobs import identity, job
from bench.harness.processes import Measured, alternate, call
from bench.harness.results import Measurement
from longshore.cluster.cluster import LocalCluster
from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.kube.objects import CONFIG_MAPS, NAMESPACES, AnyObject
from longshore.kube.store import Store, Writer
from longshore.runtime.controller import Controller
from longshore.runtime.executor import Executor
from longshore.runtime.plan import PatchObject, Plan
from longshore.runtime.queue import Queue

OBJECTS = 10_000
WORKERS = 16
ROUNDS = 5
NAMESPACE = "reconciles"


async def idle(count: int) -> Measured:
    """From the start of a controller until it has planned for each of `count` objects."""
    store = job_store()
    decode = msgspec.json.Decoder(store.resource.type).decode
    Writer(store).replace((decode(job(identity(number), number + 1)) for number in range(count)), count)
    planned, done = 0, asyncio.Event()

    def plan(_: str, __: datetime) -> Plan:
        nonlocal planned
        planned += 1
        if planned == count:
            done.set()
        return Plan()

    async with client("http://nowhere.invalid") as unused:
        controller = Controller("idle", Queue[str](), plan, Executor(unused), WORKERS)
        controller.watch(store, lambda found: [found.metadata.name])
        return await _timed(controller.run(), done, lambda: planned)


async def writing(kubeconfig: str, count: int, wanted: str) -> Measured:
    """From the start of a controller until the cache shows each of `count` ConfigMaps with the data `wanted`."""
    store = Store(CONFIG_MAPS)

    def plan(name: str, _: datetime) -> Plan:
        found = store.get(name, NAMESPACE)
        if found is None or found.data.get("state", wanted) == wanted:  # the cluster's own have none
            return Plan()
        meta, patch = found.metadata, {"data": {"state": wanted}}
        action = PatchObject(CONFIG_MAPS, name, NAMESPACE, patch, uid=meta.uid, resource_version=meta.resource_version)
        return Plan((action,))

    async with Client(Config.load(kubeconfig)) as kube, reflecting(kube, store, namespace=NAMESPACE):
        controller = Controller("writing", Queue[str](), plan, Executor(kube), WORKERS)
        controller.watch(store, lambda found: [found.metadata.name])
        done = asyncio.Event()
        following = asyncio.ensure_future(_follow(store, count, wanted, done))
        measured = await _timed(controller.run(), done, lambda: _having(store, wanted))
        await following
        return measured


async def bare(kubeconfig: str, count: int, wanted: str) -> Measured:
    """The same patches by as many tasks, without store or controller."""
    names = iter([identity(number).name for number in range(count)])
    patched = 0
    async with Client(Config.load(kubeconfig)) as kube:

        async def work() -> None:
            nonlocal patched
            for name in names:
                await kube.patch(CONFIG_MAPS, name, {"data": {"state": wanted}}, NAMESPACE)
                patched += 1

        return await _timed(_crowd(work), asyncio.Event(), lambda: patched)


def measure() -> Measurement:
    samples: dict[str, Any] = alternate({"idle": ("bench.reconciles:idle", OBJECTS)}, ROUNDS)
    version = asyncio.run(_on_a_cluster(samples))
    rates = {name: median(run["done"] / run["seconds"] for run in runs) for name, runs in samples.items()}
    figures = {
        "reconciles_per_second": rates["idle"],
        "reconciles_per_second_writing": rates["writing"],
        "reconciles_writing_ratio_vs_bare": rates["writing"] / rates["bare"],
    }
    return Measurement(figures, samples, {"kubernetes": version})


async def _on_a_cluster(samples: dict[str, Any]) -> str:
    """Adds the samples of those that write; the version of Kubernetes."""
    async with _cluster() as kubeconfig:
        async with Client(Config.load(kubeconfig)) as kube:
            version: str = msgspec.json.decode(await kube.call("GET", "/version"))["gitVersion"]
            await kube.create(NAMESPACES, {"metadata": {"name": NAMESPACE}})
            await _create_all(kube)
        for number, name in enumerate(("writing", "bare", "bare", "writing")):
            measured = await asyncio.to_thread(call, f"bench.reconciles:{name}", kubeconfig, OBJECTS, f"{number}")
            samples.setdefault(name, []).append(_complete(name, measured))
    return version


def _complete(name: str, run: Measured) -> Measured:
    if run["done"] != OBJECTS:
        raise RuntimeError(f"{name}: {run['done']} of {OBJECTS} were done in time")
    return run


async def _create_all(kube: Client) -> None:
    names = iter([identity(number).name for number in range(OBJECTS)])

    async def work() -> None:
        for name in names:
            await kube.create(CONFIG_MAPS, {"metadata": {"name": name}, "data": {"state": "new"}}, NAMESPACE)

    await _crowd(work)


async def _crowd(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async with asyncio.TaskGroup() as tasks:
        for _ in range(WORKERS):
            tasks.create_task(work())


async def _follow(store: Store[AnyObject], count: int, wanted: str, done: asyncio.Event) -> None:
    async with store.subscribe(bound=2 * count) as subscription:
        waiting = _names(subscription.snapshot, wanted, unlike=True)
        while waiting:
            deltas = await subscription.next()
            waiting -= _names((delta.new for delta in deltas if delta.new is not None), wanted)
    done.set()


def _names(objects: Iterable[AnyObject], wanted: str, *, unlike: bool = False) -> set[str]:
    ours = [found for found in objects if "state" in found.data]
    return {found.metadata.name for found in ours if (found.data["state"] == wanted) is not unlike}


def _having(store: Store[AnyObject], wanted: str) -> int:
    return sum(found.data.get("state") == wanted for found in store.list())


async def _timed(running: Coroutine[Any, Any, None], done: asyncio.Event, count: Callable[[], int]) -> Measured:
    """How long it runs, in seconds and in seconds of our CPU, until `done` or its own end; then it is ended."""
    cpu, began = time.process_time(), time.monotonic()
    task = asyncio.ensure_future(running)
    finished = asyncio.ensure_future(done.wait())
    await asyncio.wait([task, finished], timeout=SYNC_WITHIN, return_when=asyncio.FIRST_COMPLETED)
    seconds, cpu_s = time.monotonic() - began, time.process_time() - cpu
    for each in (task, finished):
        each.cancel()
        await asyncio.wait([each])
    return {"done": count(), "seconds": round(seconds, 3), "cpu_s": round(cpu_s, 3)}


@asynccontextmanager
async def _cluster() -> AsyncIterator[str]:
    """The kubeconfig of a control plane that is thrown away afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        cluster = LocalCluster("bench", state_root=Path(folder), fsync=False)
        try:
            await cluster.up()
            yield str(cluster.kubeconfig_path)
        finally:
            await cluster.reset()
