"""The official client (`kubernetes` on PyPI), as its README, `examples/` and docstrings use it."""

from __future__ import annotations

import gc
import logging
import threading
import time
import urllib.request
from typing import Any

from kubernetes import client, watch
from kubernetes.informer import ERROR, SharedInformer

from bench.harness.meter import resident_kb
from bench.harness.pauses import Pauses
from bench.harness.processes import Measured
from bench.harness.refusals import Refusals

Key = tuple[str, str]


def list_jobs(url: str, page: int | None) -> Measured:
    api = _api(url)
    _listed(api.list_namespaced_job, page, namespace="warm-up")
    resident, cpu = resident_kb(), time.process_time()
    jobs = _listed(api.list_job_for_all_namespaces, page)
    spent = time.process_time() - cpu
    return {"cpu_s": spent, "kb": resident_kb() - resident, "objects": len(jobs)}


def watch_jobs(url: str, version: int, events: int) -> Measured:
    """Keeps what the events say, as a cache would."""
    api = _api(url)
    _listed(api.list_namespaced_job, None, namespace="warm-up")
    urllib.request.urlopen(f"{url}/start").close()
    jobs: dict[Key, Any] = {}
    taken = 0
    cpu = time.process_time()
    stream = watch.Watch()
    for event in stream.stream(api.list_job_for_all_namespaces, resource_version=version):
        jobs[_key(event["object"])] = event["object"]
        taken += 1
        if taken == events:
            break
    return {"cpu_s": time.process_time() - cpu, "events": taken}


def pauses(url: str, collections: int) -> Measured:
    """Full garbage collections with all Jobs at hand."""
    jobs = _listed(_api(url).list_job_for_all_namespaces, 500)
    with Pauses() as seen:
        for _ in range(collections):
            gc.collect()
    return {"forced_ms": seen.full_ms, "objects": len(jobs)}


def hold_on(urls: dict[str, str], refused: str, seconds: float) -> Measured:
    """A SharedInformer for each way to break, as examples/informer_example.py: which of them still run at the end."""
    logging.disable()
    urls = {**urls, "refused": refused}
    with Refusals(refused) as refusals:
        informers = {mode: _informer(url) for mode, url in urls.items()}
        time.sleep(seconds)
        # SharedInformer keeps its thread to itself; it ends when the loop does.
        alive = [mode for mode, informer in informers.items() if informer._thread.is_alive()]
    return {"gave_up": sorted(urls.keys() - set(alive)), "refused_at": refusals.at}


def _informer(url: str) -> SharedInformer:
    informer = SharedInformer(list_func=_api(url).list_job_for_all_namespaces)
    informer.add_event_handler(ERROR, lambda _: None)
    informer.start()
    assert threading.active_count() > 1
    return informer


def _listed(function: Any, page: int | None, **scope: str) -> dict[Key, Any]:
    jobs: dict[Key, Any] = {}
    more: dict[str, Any] = {} if page is None else {"limit": page}
    while True:
        answer = function(**scope, **more)
        jobs.update((_key(job), job) for job in answer.items)
        if not answer.metadata._continue:
            return jobs
        more["_continue"] = answer.metadata._continue


def _key(job: Any) -> Key:
    return (job.metadata.namespace, job.metadata.name)


def _api(url: str) -> client.BatchV1Api:
    return client.BatchV1Api(client.ApiClient(client.Configuration(host=url)))
