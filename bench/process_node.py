"""How many pods a second one process node takes from created to done, and how long it takes to run 200 at once.

Pods of a Job whose command is `true`, in a cluster of its own: at a parallelism of 20 each pod that ends makes room for
the next, so the rate is that of whole lives, with control plane and node on the same cores. Beside it one Job of 200
pods that stay: until all of them run at the same moment, what each of them keeps resident, and what 200 of them that
do nothing cost in CPU.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from bench.harness.results import Measurement
from longshore.cluster.cluster import LocalCluster
from longshore.cluster.processes import marked
from longshore.errors import NotFound
from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.kube.objects import CONFIG_MAPS, JOBS, SERVICE_ACCOUNTS

PODS, PARALLELISM, ROUNDS = 200, 20, 3
AT_ONCE = 200
IDLE_SECONDS = 10.0
PATIENCE = 90.0
NODE = "node0"
Raw = dict[str, Any]
RAW_JOBS = JOBS.read_as(Raw)


def measure() -> Measurement:
    return asyncio.run(_measure())


async def _measure() -> Measurement:
    async with _cluster() as (kube, node):
        version: str = msgspec.json.decode(await kube.call("GET", "/version"))["gitVersion"]
        await _run(kube, "warm-up", ["true"], PARALLELISM, PARALLELISM)
        rounds = [await _run(kube, f"trivial-{n}", ["true"], PODS, PARALLELISM) for n in range(ROUNDS)]
        crowd = await _crowd(kube, node)
    figures = {
        "process_node_pods_per_second": median(PODS / seconds for seconds in rounds),
        "process_node_200_running_s": crowd["running_s"],
        "process_node_mb_per_pod": crowd["mb_per_pod"],
        "process_node_200_idle_cpu": crowd["idle_cpu"],
    }
    return Measurement(figures, {"seconds": rounds, "at_once": crowd}, {"kubernetes": version})


async def _run(kube: Client, name: str, command: list[str], pods: int, parallelism: int) -> float:
    """Seconds from the creation of a Job until it is complete."""
    began = time.monotonic()
    await _create(kube, name, command, pods, parallelism)
    await _until(kube, name, lambda status: status.get("succeeded") == pods and "completionTime" in status)
    return round(time.monotonic() - began, 3)


async def _crowd(kube: Client, node: Path) -> dict[str, float]:
    before = _used(node)
    began = time.monotonic()
    await _create(kube, "crowd", ["sleep", "1000"], AT_ONCE, AT_ONCE)
    await _until(kube, "crowd", lambda status: status.get("ready") == AT_ONCE)
    running = time.monotonic() - began
    full = _used(node)
    await asyncio.sleep(IDLE_SECONDS)
    later = _used(node)
    return {
        "running_s": round(running, 3),
        "mb_per_pod": (full["mb"] - before["mb"]) / AT_ONCE,
        "idle_cpu": (later["cpu_s"] - full["cpu_s"]) / IDLE_SECONDS,
    }


async def _create(kube: Client, name: str, command: list[str], pods: int, parallelism: int) -> None:
    template = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "busybox", "command": command}]}
    spec = {"completions": pods, "parallelism": parallelism, "template": {"spec": template}}
    await kube.create(RAW_JOBS, {"metadata": {"name": name}, "spec": spec}, "default")


async def _until(kube: Client, name: str, holds: Callable[[Raw], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            if holds((await kube.get(RAW_JOBS, name, "default")).get("status", {})):
                return
            await asyncio.sleep(0.05)


def _used(node: Path) -> dict[str, float]:
    """Proportional memory in MB, CPU seconds, of the node and of all that carries its mark. Source: proc(5)."""
    mb = cpu = 0.0
    for process in marked(node):
        folder = Path("/proc") / str(process.pid)
        try:
            pss = next(line for line in (folder / "smaps_rollup").read_text().splitlines() if line.startswith("Pss:"))
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except (OSError, StopIteration):  # it has just ended
            continue
        name = (folder / "comm").read_text().strip()
        if not name.startswith("longshore-contr"):
            mb += int(pss.split()[1]) * 1024 / 1e6
            cpu += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return {"mb": mb, "cpu_s": cpu}


@asynccontextmanager
async def _cluster() -> AsyncIterator[tuple[Client, Path]]:
    """A cluster with one node, which is thrown away afterwards, and the mark of its processes."""
    with tempfile.TemporaryDirectory() as folder:
        cluster = LocalCluster("bench", state_root=Path(folder), fsync=False)
        try:
            await cluster.up(extra_parts=[cluster.node_part(NODE)])
            async with Client(Config.load(cluster.kubeconfig_path)) as kube:
                await _account(kube)
                yield kube, cluster.folder.root
        finally:
            await cluster.reset()


async def _account(kube: Client) -> None:
    """Pods need it, and it comes a moment after the cluster."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await kube.get(SERVICE_ACCOUNTS, "default", "default")
                await kube.get(CONFIG_MAPS, "kube-root-ca.crt", "default")
                return
            except NotFound:
                await asyncio.sleep(0.05)
