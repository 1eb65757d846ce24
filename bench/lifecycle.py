"""How many whole lives of jobs a second: submitted, admitted, run to their end, archived and released.

2,000 jobs of 40 tenants, each with one pod that ends at once on one of 40 simulated nodes and has printed one line,
from the first request until no Job is held back for its archive any more and the lists show all as archived. Beside it,
on the same control plane without longshore, before and after: Jobs with the very same pods, created by as many
callers, until all are complete. And Argo Workflows, whose controller is built from its module at the version that
`peers/argo/go.mod` pins: 200 workflows of one such pod, as it ships and with its limits raised.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from statistics import mean
from typing import Any

import aiohttp
import msgspec

from bench.harness.product import ROOMY, SMALL_JOB, Product, default_account, new_tenants, product, submit
from bench.harness.results import Measurement
from bench.peers import argo
from longshore.cli.local import LocalApi
from longshore.kinds.jobs import model
from longshore.kube.objects import JOBS, NAMESPACES, Job
from longshore.kube.reflector import Reflector
from longshore.kube.store import Store

JOBS_COUNT, BARE_COUNT, WORKFLOWS = 2_000, 1_000, 200
CALLERS, TENANTS, NODES = 16, 40, 40
PATIENCE = 240.0
Raw = dict[str, Any]


def measure() -> Measurement:
    return asyncio.run(_measure())


async def _measure() -> Measurement:
    names = [f"t{number}" for number in range(TENANTS)]
    async with product(simulated=NODES) as bed:
        api = await bed.start()
        keys = await new_tenants(api, names, **ROOMY)
        warm = await _ours(bed, api, keys, 100, "warm-up")
        manifest = await _manifest(bed)
        await bed.stop()
        for name in names:
            await bed.admin.create(NAMESPACES, {"metadata": {"name": f"bare-{name}"}})
            await default_account(bed.admin, f"bare-{name}")
        before = await _bare(bed, manifest, names, BARE_COUNT, "before")
        await bed.start()
        ours = await _ours(bed, api, keys, JOBS_COUNT, "run")
        await bed.stop()
        after = await _bare(bed, manifest, names, BARE_COUNT, "after")
        argos = {how: await argo.lives(bed, WORKFLOWS, how) for how in ("default", "tuned")}
    bare_rate = mean((before["rate"], after["rate"]))
    figures = {
        "lifecycle_jobs_per_second": ours["rate"],
        "lifecycle_ratio_vs_bare": ours["rate"] / bare_rate,
        "lifecycle_bare_per_second": bare_rate,
        **{f"lifecycle_argo_{how}_per_second": run["rate"] for how, run in argos.items()},
    }
    samples = {"ours": ours, "warm_up": warm, "bare": [before, after], "argo": argos}
    return Measurement(figures, samples, {"kubernetes": bed.kubernetes, "argo": argo.VERSION})


async def _ours(bed: Product, api: LocalApi, keys: dict[str, str], count: int, run: str) -> Raw:
    callers = list(keys.values())
    async with aiohttp.ClientSession() as session:

        async def post(number: int) -> None:
            await submit(session, api.url, callers[number % len(callers)], SMALL_JOB, f"{run}-{number}")

        measured = await _lives(bed, post, count, lambda job: model.is_released(job) and bool(model.tenant_of(job)))
        shown = [await _archived(session, api, key) for key in callers]
    if sum(shown) < count:
        raise RuntimeError(f"{count} jobs were released and the lists show {sum(shown)} as archived")
    return measured


async def _archived(session: aiohttp.ClientSession, api: LocalApi, key: str) -> int:
    """How many jobs of one tenant its list shows as archived and succeeded."""
    seen, cursor = 0, ""
    while True:
        params = {"limit": "500", "status": "Succeeded", **({"cursor": cursor} if cursor else {})}
        async with session.get(f"{api.url}/v1/jobs", params=params, headers={"X-API-Key": key}) as answer:
            page = msgspec.json.decode(await answer.read())
        seen += sum(bool(item["archived"]) for item in page["items"])
        cursor = page["cursor"]
        if not cursor:
            return seen


async def _bare(bed: Product, manifest: Raw, names: list[str], count: int, run: str) -> Raw:
    async def post(number: int) -> None:
        namespace = f"bare-{names[number % len(names)]}"
        await bed.admin.create(JOBS, {**manifest, "metadata": {"name": f"{run}-{number}"}}, namespace)

    return await _lives(bed, post, count, lambda job: job.metadata.name.startswith(f"{run}-") and model.is_over(job))


async def _lives(bed: Product, post: Callable[[int], Awaitable[None]], count: int, ended: Callable[[Job], bool]) -> Raw:
    """From the first request until the cluster has shown the end of `count` Jobs, as a watcher sees it."""
    store = Store(JOBS)
    reflecting = asyncio.ensure_future(Reflector(bed.admin, store).run())
    try:
        await store.wait_synced()
        earlier = {job.metadata.uid for job in store.list()}
        began = time.monotonic()
        watching = asyncio.ensure_future(_ended(store, earlier, count, ended))
        await _crowd(post, count)
        submitted = time.monotonic() - began
        async with asyncio.timeout(PATIENCE):
            ends = await watching
    finally:
        reflecting.cancel()
    seconds = ends[-1] - began
    return {
        "jobs": count,
        "submitted_s": round(submitted, 3),
        "seconds": round(seconds, 3),
        "rate": count / seconds,
        "ended_s": [round(end - began, 2) for end in ends[:: max(1, count // 200)]],
    }


async def _ended(store: Store[Job], earlier: set[str], count: int, ended: Callable[[Job], bool]) -> list[float]:
    """When each ended."""
    seen: set[str] = set()
    times: list[float] = []

    def look(jobs: Iterable[Job]) -> None:
        for job in jobs:
            uid = job.metadata.uid
            if uid not in seen and uid not in earlier and ended(job):
                seen.add(uid)
                times.append(time.monotonic())

    async with store.subscribe(bound=1_000_000) as changes:
        look(changes.snapshot)
        while len(times) < count:
            look(delta.new for delta in await changes.next() if delta.new is not None)
    return times


async def _crowd(post: Callable[[int], Awaitable[None]], count: int) -> None:
    numbers = iter(range(count))

    async def caller() -> None:
        for number in numbers:
            await post(number)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(CALLERS):
            tasks.create_task(caller())


async def _manifest(bed: Product) -> Raw:
    """A Job whose pods are those that longshore makes, and nothing else of longshore's."""
    made: Raw = (await bed.admin.list_page(JOBS.read_as(Raw), namespace="tenant-t0", limit=1)).items[0]
    pod = {**made["spec"]["template"]["spec"], "serviceAccountName": "default"}
    del pod["serviceAccount"]
    return {"spec": {"backoffLimit": 0, "podReplacementPolicy": "Failed", "template": {"spec": pod}}}
