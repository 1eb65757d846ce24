"""How many jobs a second go into the archive: log, record and index entry, read back, then the finalizer.

1,000 jobs of 20 tenants have ended on simulated nodes, each with one line of log, and wait: admission has run and
nothing else of longshore's. Then the jobs' controller and the collector of logs start, in this process, logged in as
`control` is; from there until the cluster shows the last Job without its finalizer. The archive is a folder. Beside it,
on the same control plane: bare patches that each take a finalizer off as many ConfigMaps, by as many tasks and the same
client, which is what the API server alone allows.
"""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from bench.harness.product import ROOMY, SMALL_JOB, new_tenants, product, submit
from bench.harness.results import Measurement
from longshore.cli.local import LocalApi
from longshore.kinds.jobs import lag
from longshore.kinds.jobs.control import WORKERS
from longshore.kinds.jobs.control import controllers as job_controllers
from longshore.kinds.jobs.control import everywhere as job_collectors
from longshore.kinds.kind import Services
from longshore.kinds.tenants.control import controllers as tenant_controllers
from longshore.kube.client import Client
from longshore.kube.objects import CONFIG_MAPS
from longshore.runtime.term import Term
from longshore.services import services
from longshore.settings import Settings

JOBS_COUNT, TENANTS, NODES, CALLERS = 1_000, 20, 20, 16
PATIENCE = 200.0
Raw = dict[str, Any]


def measure() -> Measurement:
    return asyncio.run(_measure())


async def _measure() -> Measurement:
    async with product(simulated=NODES) as bed:
        api = await bed.start()
        keys = await new_tenants(api, [f"t{number}" for number in range(TENANTS)], **ROOMY)
        await bed.cluster.up(without=("control",))
        settings = Settings(
            kubeconfig=bed.cluster.identity_kubeconfig("longshore-control"),
            archive=(bed.cluster.folder.root / "archive").as_uri(),
            log_spool=bed.cluster.folder.root / "spool",
        )
        async with services(settings, role="control") as parts:
            await _run_to_their_end(parts, api, keys)
            ours = await _archive(parts)
        found = await _listed(api, keys)
        bare = await _bare(bed.admin)
    if found != JOBS_COUNT:
        raise RuntimeError(f"{JOBS_COUNT} jobs were archived and the lists show {found}")
    figures = {
        "archive_jobs_per_second": ours["rate"],
        "archive_jobs_cpu_ms": ours["cpu_s"] * 1000 / JOBS_COUNT,
        "archive_jobs_bare_patches_per_second": bare,
    }
    return Measurement(figures, {"ours": ours}, {"kubernetes": bed.kubernetes})


async def _run_to_their_end(parts: Services, api: LocalApi, keys: dict[str, str]) -> None:
    """All jobs over and none archived."""
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(each.run(Term(time.monotonic() + 1e6))) for each in tenant_controllers(parts)]
        await _submit(api, list(keys.values()))
        async with asyncio.timeout(PATIENCE):
            while lag.waiting(parts.stores.jobs) < JOBS_COUNT:  # noqa: ASYNC110 - the store counts, it does not tell
                await asyncio.sleep(0.1)
        for each in running:
            each.cancel()


async def _submit(api: LocalApi, keys: list[str]) -> None:
    numbers = iter(range(JOBS_COUNT))
    async with aiohttp.ClientSession() as session:

        async def caller() -> None:
            for number in numbers:
                await submit(session, api.url, keys[number % len(keys)], SMALL_JOB)

        await asyncio.gather(*(caller() for _ in range(CALLERS)))


async def _archive(parts: Services) -> Raw:
    """From the start of the controllers until none waits any more."""
    jobs, left = parts.stores.jobs, []
    began, cpu = time.monotonic(), time.process_time()
    running = [asyncio.ensure_future(each.run(Term(time.monotonic() + 1e6))) for each in job_controllers(parts)]
    running += [asyncio.ensure_future(each.run()) for each in job_collectors(parts)]
    async with asyncio.timeout(PATIENCE):
        while waiting := lag.waiting(jobs):
            left.append((round(time.monotonic() - began, 2), waiting))
            await asyncio.sleep(0.05)
    seconds = time.monotonic() - began
    used = time.process_time() - cpu
    for each in running:
        each.cancel()
        with suppress(asyncio.CancelledError):
            await each
    files = sum(len(names) for _, _, names in os.walk(Path(parts.settings.archive.removeprefix("file://"))))
    return {
        "rate": JOBS_COUNT / seconds,
        "seconds": round(seconds, 3),
        "cpu_s": round(used, 3),
        "files": files,
        "left": left[:: max(1, len(left) // 100)],
    }


async def _listed(api: LocalApi, keys: dict[str, str]) -> int:
    """How many the lists show as archived."""
    seen = 0
    async with aiohttp.ClientSession() as session:
        for key in keys.values():
            async with session.get(f"{api.url}/v1/jobs?limit=500", headers={"X-API-Key": key}) as answer:
                page = msgspec.json.decode(await answer.read())
            seen += sum(bool(item["archived"]) for item in page["items"])
    return seen


async def _bare(admin: Client) -> float:
    """Patches a second that take a finalizer off and do nothing else."""
    for start in range(0, JOBS_COUNT, 100):
        await asyncio.gather(*(_held(admin, number) for number in range(start, start + 100)))
    numbers, began = iter(range(JOBS_COUNT)), time.monotonic()

    async def worker() -> None:
        for number in numbers:
            await admin.patch(CONFIG_MAPS, f"bare-{number}", {"metadata": {"finalizers": []}}, "default")

    await asyncio.gather(*(worker() for _ in range(WORKERS)))
    return JOBS_COUNT / (time.monotonic() - began)


async def _held(admin: Client, number: int) -> None:
    await admin.create(
        CONFIG_MAPS, {"metadata": {"name": f"bare-{number}", "finalizers": ["bench.dev/held"]}}, "default"
    )
