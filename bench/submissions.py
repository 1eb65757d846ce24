"""How many jobs a second `POST /v1/jobs` takes in, and how long one caller waits for the answer.

16 callers, 40 tenants, for a minute: each request with a tenant's key and an idempotency key of its own, checked
against the tenant's limits; the clock stops when the lists of all tenants show all that were accepted. `control`
admits meanwhile, as it does. Beside it, before and after, on the same control plane without longshore: bare POSTs of
the very Jobs that longshore makes, by as many callers into as many namespaces, with aiohttp and nothing else. And one
request each tenth of a second: how long until its answer, by longshore and bare. There are no nodes, so no pod runs,
and nobody fsyncs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from statistics import mean
from typing import Any

import aiohttp
import msgspec

from bench.harness.meter import percentile
from bench.harness.processes import Measured, call
from bench.harness.product import Product, new_tenants, product, submit
from bench.harness.results import Measurement
from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.kube.objects import JOBS, NAMESPACES

CALLERS, TENANTS = 16, 40
SECONDS, BARE_SECONDS, WARM_UP_SECONDS = 60.0, 15.0, 5.0
PACED_SECONDS, EVERY = 30.0, 0.1
LIMITS = {"queued_jobs": 100_000, "objects": 100_000}
REQUEST = {"name": "bench", "image": "busybox:1.37", "command": ["true"]}
ENOUGH = 2_000  # that are kept of a run's latencies, evenly
Raw = dict[str, Any]
Post = Callable[[int], Awaitable[None]]


def measure() -> Measurement:
    return asyncio.run(_measure())


async def _measure() -> Measurement:
    names = [f"t{number}" for number in range(TENANTS)]
    async with product() as bed:
        api = await bed.start()
        keys = await new_tenants(api, names, **LIMITS)
        await _in_process("through", api.url, keys, WARM_UP_SECONDS, "warm-up")
        manifest = await _manifest(bed)
        await bed.stop()
        for name in names:
            await bed.admin.create(NAMESPACES, {"metadata": {"name": f"bare-{name}"}})
        kubeconfig = str(bed.cluster.kubeconfig_path)
        before = await _in_process("bare", kubeconfig, manifest, names, BARE_SECONDS, "before")
        await bed.start()
        ours = await _in_process("through", api.url, keys, SECONDS, "run")
        paced = await _in_process("paced", api.url, keys, PACED_SECONDS)
        await bed.stop()
        after = await _in_process("bare", kubeconfig, manifest, names, BARE_SECONDS, "after")
        paced_bare = await _in_process("paced_bare", kubeconfig, manifest, names, PACED_SECONDS)
    bare_rate = mean((before["rate"], after["rate"]))
    figures = {
        "submissions_per_second": ours["rate"],
        "submit_ratio_vs_raw": ours["rate"] / bare_rate,
        "submit_raw_per_second": bare_rate,
        "submit_loaded_p99_ms": ours["p99_ms"],
        "submit_ack_p50_ms": paced["p50_ms"],
        "submit_ack_p99_ms": paced["p99_ms"],
        "submit_ack_raw_p50_ms": paced_bare["p50_ms"],
        "submit_ack_raw_p99_ms": paced_bare["p99_ms"],
    }
    samples = {"ours": ours, "bare": [before, after], "paced": paced, "paced_bare": paced_bare}
    return Measurement(figures, samples, {"kubernetes": bed.kubernetes})


async def _in_process(function: str, *arguments: Any) -> Measured:
    return await asyncio.to_thread(call, f"bench.submissions:{function}", *arguments)


async def through(url: str, keys: dict[str, str], seconds: float, run: str) -> Measured:
    """By the API, until the lists show all."""
    callers = list(keys.values())
    body, accepted = msgspec.json.encode(REQUEST), 0

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CALLERS)) as session:

        async def post(number: int) -> None:
            nonlocal accepted
            await submit(session, url, callers[number % len(callers)], body, f"{run}-{number}")
            accepted += 1

        began = time.monotonic()
        took = await _crowd(post, seconds)
        posting = time.monotonic() - began
        listed = await asyncio.gather(*(_listed(session, url, key) for key in callers))
        whole = time.monotonic() - began
    # the lists of an earlier run are in there too: names are the same, so the count says at least as many
    if sum(listed) < accepted:
        raise RuntimeError(f"{accepted} jobs were accepted and the lists show {sum(listed)}")
    return {
        **_distribution(took),
        "accepted": accepted,
        "posting_s": posting,
        "seconds": whole,
        "rate": accepted / whole,
    }


async def _listed(session: aiohttp.ClientSession, url: str, key: str) -> int:
    """How many jobs the lists of one tenant show, page after page."""
    seen, cursor = 0, ""
    while True:
        params = {"limit": "500", **({"cursor": cursor} if cursor else {})}
        async with session.get(f"{url}/v1/jobs", params=params, headers={"X-API-Key": key}) as answer:
            page = msgspec.json.decode(await answer.read())
        seen += len(page["items"])
        cursor = page["cursor"]
        if not cursor:
            return seen


async def bare(kubeconfig: str, manifest: Raw, names: list[str], seconds: float, run: str) -> Measured:
    """By the API server alone: the same objects, each under a name of its own."""
    async with _straight(kubeconfig, manifest, names, run) as post:
        began = time.monotonic()
        took = await _crowd(post, seconds)
        whole = time.monotonic() - began
    return {**_distribution(took), "seconds": whole, "rate": len(took) / whole}


async def paced_bare(kubeconfig: str, manifest: Raw, names: list[str], seconds: float) -> Measured:
    """By the API server alone, one each tenth of a second."""
    async with _straight(kubeconfig, manifest, names, "paced") as post:
        return _distribution(await _paced(post, seconds))


@asynccontextmanager
async def _straight(kubeconfig: str, manifest: Raw, names: list[str], run: str) -> AsyncIterator[Post]:
    config = Config.load(kubeconfig)
    connector = aiohttp.TCPConnector(limit=CALLERS, ssl=config.ssl or True)
    headers = {"Content-Type": "application/json"}

    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def post(number: int) -> None:
            namespace = f"bare-{names[number % len(names)]}"
            metadata = {**manifest["metadata"], "name": f"{run}-{number}", "namespace": namespace}
            url = f"{config.server}/apis/batch/v1/namespaces/{namespace}/jobs"
            async with session.post(url, data=msgspec.json.encode({**manifest, "metadata": metadata})) as answer:
                said = await answer.read()
                if answer.status != 201:
                    raise RuntimeError(f"the API server answered {answer.status}: {said.decode()[:300]}")

        yield post


async def paced(url: str, keys: dict[str, str], seconds: float) -> Measured:
    """By the API, one each tenth of a second."""
    callers, body = list(keys.values()), msgspec.json.encode(REQUEST)

    async with aiohttp.ClientSession() as session:

        async def post(number: int) -> None:
            await submit(session, url, callers[number % len(callers)], body, f"paced-{number}")

        return _distribution(await _paced(post, seconds))


async def _paced(post: Post, seconds: float) -> list[float]:
    """Milliseconds of each request, one each tenth of a second, whether or not the one before is answered."""
    took: list[float] = []

    async def timed(number: int) -> None:
        began = time.perf_counter()
        await post(number)
        took.append((time.perf_counter() - began) * 1e3)

    async with asyncio.TaskGroup() as tasks:
        for number in range(int(seconds / EVERY)):
            tasks.create_task(timed(number))
            await asyncio.sleep(EVERY)
    return took


async def _crowd(post: Post, seconds: float) -> list[float]:
    """Milliseconds of each request that 16 callers made one after the other for so long."""
    numbers, took = count(), []
    end = time.monotonic() + seconds

    async def caller() -> None:
        while (began := time.monotonic()) < end:
            await post(next(numbers))
            took.append((time.monotonic() - began) * 1e3)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(CALLERS):
            tasks.create_task(caller())
    return took


async def _manifest(bed: Product) -> Raw:
    """A Job as longshore makes it, without what the API server adds."""
    async with Client(Config.load(bed.cluster.kubeconfig_path)) as kube:
        made: Raw = (await kube.list_page(JOBS.read_as(Raw), namespace="tenant-t0", limit=1)).items[0]
    template = made["spec"]["template"]
    own = ("batch.kubernetes.io/controller-uid", "controller-uid", "batch.kubernetes.io/job-name", "job-name")
    labels = {key: value for key, value in template["metadata"]["labels"].items() if key not in own}
    spec = {key: value for key, value in made["spec"].items() if key != "selector"}
    spec["template"] = {**template, "metadata": {**template["metadata"], "labels": labels}}
    spec["suspend"] = True
    kept = {key: made["metadata"][key] for key in ("labels", "annotations", "finalizers")}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": kept, "spec": spec}


def _distribution(took: list[float]) -> Measured:
    percents = {f"p{percent}_ms": round(percentile(took, percent), 3) for percent in (1, 10, 50, 90, 99)}
    few = took[:: max(1, len(took) // ENOUGH)]
    return {**percents, "worst_ms": round(max(took), 3), "requests": len(took), "ms": [round(each, 2) for each in few]}
