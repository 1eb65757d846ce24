"""lightkube, as its documentation uses it (docs/list-watch.md, and docs/migration-to-v1.md for retries)."""

from __future__ import annotations

import asyncio
import logging
import time
import urllib.request
from typing import Any

from lightkube import AsyncClient, Client
from lightkube.config.kubeconfig import KubeConfig
from lightkube.config.models import Cluster, User
from lightkube.resources.batch_v1 import Job
from lightkube.types import on_error_retry

from bench.harness.meter import resident_kb
from bench.harness.processes import Measured
from bench.harness.refusals import Refusals

Key = tuple[str, str]


def list_jobs(url: str, page: int | None) -> Measured:
    client = _client(url)
    _listed(client, page, "warm-up")
    resident, cpu = resident_kb(), time.process_time()
    jobs = _listed(client, page, "*")
    spent = time.process_time() - cpu
    return {"cpu_s": spent, "kb": resident_kb() - resident, "objects": len(jobs)}


def watch_jobs(url: str, version: int, events: int) -> Measured:
    """Keeps what the events say, as a cache would."""
    client = _client(url)
    _listed(client, None, "warm-up")
    urllib.request.urlopen(f"{url}/start").close()
    jobs: dict[Key, Any] = {}
    taken = 0
    cpu = time.process_time()
    for _, job in client.watch(Job, namespace="*", resource_version=str(version)):
        jobs[_key(job)] = job
        taken += 1
        if taken == events:
            break
    return {"cpu_s": time.process_time() - cpu, "events": taken}


async def hold_on(urls: dict[str, str], refused: str, seconds: float) -> Measured:
    """A list and a watch with `on_error_retry` for each way to break: which of them still run at the end."""
    logging.disable()
    urls = {**urls, "refused": refused}
    with Refusals(refused) as refusals:
        watches = {mode: asyncio.ensure_future(_follow(url)) for mode, url in urls.items()}
        await asyncio.wait(watches.values(), timeout=seconds)
        alive = [mode for mode, task in watches.items() if not task.done()]
    return {"gave_up": sorted(urls.keys() - set(alive)), "refused_at": refusals.at}


async def _follow(url: str) -> None:
    client = AsyncClient(_config(url), trust_env=False)
    jobs = client.list(Job, namespace="*")
    async for _ in jobs:
        pass
    version = jobs.resourceVersion
    async for _ in client.watch(Job, namespace="*", resource_version=version, on_error=on_error_retry):
        pass


def _listed(client: Client, page: int | None, namespace: str) -> dict[Key, Any]:
    return {_key(job): job for job in client.list(Job, namespace=namespace, chunk_size=page)}


def _key(job: Any) -> Key:
    return (job.metadata.namespace, job.metadata.name)


def _client(url: str) -> Client:
    return Client(_config(url), trust_env=False)


def _config(url: str) -> KubeConfig:
    return KubeConfig.from_one(cluster=Cluster(server=url), user=User())
