"""How many MB of log a second one follower gets through the API.

A job on a process node prints lines of 100 bytes as fast as they are taken. One client follows it from its first byte,
so that every byte goes the whole way: node, API server, collector, its spool, relay, API, client. Then, when the job is
archived, the same client reads all of it again from the archive, and the node's own answer is read beside it, straight
from the API server by a bare client without longshore. All of it, control plane included, shares the cores.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp

from bench.harness.product import new_tenants, product
from bench.harness.results import Measurement
from longshore.kinds.jobs.logs.answer import COMPLETE
from longshore.kinds.jobs.model import LABEL_JOB_NAME, MAIN_CONTAINER
from longshore.kinds.tenants.model import namespace_of
from longshore.kube.client import Client
from longshore.kube.objects import PODS

LINE = 100  # bytes
STAMP = 31  # bytes before each line when times are asked for
SIZE = 30_000_000  # bytes: with times and marks below the 50 MiB that a node keeps of a log
ROUNDS = 3
PATIENCE = 90.0
LIMITS = {"cpu": 8, "memory_gi": 8}
SCRIPT = f"yes {'x' * (LINE - 1)} | head -c {SIZE}"
REQUEST: dict[str, Any] = {"name": "bench", "image": "bash", "command": ["bash", "-c", SCRIPT]}
NODE = "node0"


def measure() -> Measurement:
    return asyncio.run(_measure())


async def _measure() -> Measurement:
    async with product() as bed:
        await bed.cluster.up(extra_parts=[bed.cluster.node_part(NODE)])
        api = await bed.start()
        key = (await new_tenants(api, ["bench"], **LIMITS))["bench"]
        timeout = aiohttp.ClientTimeout(total=PATIENCE)
        async with aiohttp.ClientSession(
            api.url, headers={"X-API-Key": key}, timeout=timeout, read_bufsize=1 << 20
        ) as session:
            rounds = [await _round(session, bed.admin) for _ in range(ROUNDS)]
    best = sorted(rounds, key=lambda r: r["follow_mb_s"])[len(rounds) // 2]
    figures = {
        "log_follow_mb_per_second": best["follow_mb_s"],
        "log_archived_mb_per_second": best["archived_mb_s"],
        "log_bare_mb_per_second": best["bare_mb_s"],
    }
    return Measurement(figures, {"rounds": rounds}, {"kubernetes": bed.kubernetes})


async def _round(session: aiohttp.ClientSession, admin: Client) -> dict[str, float]:
    async with session.post("/v1/jobs", json=REQUEST) as answer:
        id: str = (await answer.json())["id"]
    live = await _read(session, f"/v1/jobs/{id}/logs?follow=true")
    bare = await _bare(admin, id)
    async with asyncio.timeout(PATIENCE):
        while not (await _record(session, id))["archived"]:  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.1)
    kept = await _read(session, f"/v1/jobs/{id}/logs")
    return {"follow_mb_s": live, "archived_mb_s": kept, "bare_mb_s": bare}


async def _read(session: aiohttp.ClientSession, path: str) -> float:
    """MB a second until the last byte, from the first where it is followed and from the request where it is kept."""
    follow = "follow" in path
    began, ended, size = time.monotonic(), 0.0, 0
    async with session.get(path) as answer:
        async for chunk in answer.content.iter_any():
            ended = time.monotonic()
            if follow and not size:
                began = ended
            size += len(chunk)
        seconds = ended - began
        complete = answer.headers[COMPLETE] == "true" or follow
    if size != SIZE or not complete:
        raise RuntimeError(f"{path}: {size} of {SIZE} bytes, complete: {complete}")
    return size / seconds / 1e6


async def _bare(admin: Client, id: str) -> float:
    """The same bytes from the kubelet by the API server, with times, as a collector asks for them."""
    namespace = namespace_of("bench")
    (pod,) = (await admin.list_page(PODS, namespace, label_selector=f"{LABEL_JOB_NAME}={id}")).items
    began, size = 0.0, 0
    async for chunk in admin.logs(pod.metadata.name, namespace, container=MAIN_CONTAINER, timestamps=True):
        began = began or time.monotonic()
        size += len(chunk)
    lines = SIZE // LINE
    return (size - lines * STAMP) / (time.monotonic() - began) / 1e6


async def _record(session: aiohttp.ClientSession, id: str) -> dict[str, Any]:
    async with session.get(f"/v1/jobs/{id}") as answer:
        record: dict[str, Any] = await answer.json()
        return record
