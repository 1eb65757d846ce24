"""kubernetes_asyncio, as its README and `examples/` use it."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import aiohttp
from kubernetes_asyncio import client, watch

from bench.harness.meter import resident_kb
from bench.harness.processes import Measured
from bench.harness.refusals import Refusals

Key = tuple[str, str]


async def list_jobs(url: str, page: int | None) -> Measured:
    async with _connected(url) as connection:
        api = client.BatchV1Api(connection)
        await _listed(api.list_namespaced_job, page, namespace="warm-up")
        resident, cpu = resident_kb(), time.process_time()
        jobs = await _listed(api.list_job_for_all_namespaces, page)
        spent = time.process_time() - cpu
        return {"cpu_s": spent, "kb": resident_kb() - resident, "objects": len(jobs)}


async def watch_jobs(url: str, version: int, events: int) -> Measured:
    """Keeps what the events say, as a cache would."""
    async with _connected(url) as connection:
        api = client.BatchV1Api(connection)
        await _listed(api.list_namespaced_job, None, namespace="warm-up")
        async with aiohttp.ClientSession() as session, session.get(f"{url}/start"):
            pass
        jobs: dict[Key, Any] = {}
        taken = 0
        cpu = time.process_time()
        async with watch.Watch() as stream:
            async for event in stream.stream(api.list_job_for_all_namespaces, resource_version=version):
                jobs[_key(event["object"])] = event["object"]
                taken += 1
                if taken == events:
                    break
        return {"cpu_s": time.process_time() - cpu, "events": taken}


async def hold_on(urls: dict[str, str], refused: str, seconds: float) -> Measured:
    """A list and a Watch for each way to break, without `timeout_seconds`, which makes it watch for ever."""
    logging.disable()
    urls = {**urls, "refused": refused}
    with Refusals(refused) as refusals:
        watches = {mode: asyncio.ensure_future(_follow(url)) for mode, url in urls.items()}
        await asyncio.wait(watches.values(), timeout=seconds)
        alive = [mode for mode, task in watches.items() if not task.done()]
    return {"gave_up": sorted(urls.keys() - set(alive)), "refused_at": refusals.at}


async def _follow(url: str) -> None:
    async with _connected(url) as connection:
        api = client.BatchV1Api(connection)
        listed = await api.list_job_for_all_namespaces()
        version = listed.metadata.resource_version
        async with watch.Watch() as stream:
            async for _ in stream.stream(api.list_job_for_all_namespaces, resource_version=version):
                pass


async def _listed(function: Any, page: int | None, **scope: str) -> dict[Key, Any]:
    jobs: dict[Key, Any] = {}
    more: dict[str, Any] = {} if page is None else {"limit": page}
    while True:
        answer = await function(**scope, **more)
        jobs.update((_key(job), job) for job in answer.items)
        if not answer.metadata._continue:
            return jobs
        more["_continue"] = answer.metadata._continue


def _key(job: Any) -> Key:
    return (job.metadata.namespace, job.metadata.name)


def _connected(url: str) -> client.ApiClient:
    return client.ApiClient(client.Configuration(host=url))
