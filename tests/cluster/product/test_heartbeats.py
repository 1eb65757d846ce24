"""The heartbeat monitor on the real control plane: it ends the silent, leaves the others, and counts in the Job."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.cluster.product.serving import Serving, replica_env, serving

from longshore.cli.local import LocalApi
from longshore.cluster.cluster import LocalCluster
from longshore.kinds.jobs import model as jobs
from longshore.kinds.kind import Services, Stores
from longshore.kinds.tasks.monitor import Monitor
from longshore.kinds.tenants.model import TENANTS
from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.kube.objects import JOBS, LEASES, PODS, SECRETS, Lease
from longshore.kube.reflector import Reflector
from longshore.kube.store import Store
from longshore.runtime.bus import Bus
from longshore.runtime.replicas import LABEL, Replicas
from longshore.runtime.term import Term
from longshore.services import open_archive, utc_now
from longshore.settings import Settings

NewTenant = Callable[..., Awaitable[Any]]
LIMIT = 4.0


@asynccontextmanager
async def control(cluster: LocalCluster) -> AsyncIterator[Services]:
    """What the monitor needs of a `control`, without being one: the cluster's own shares the logs out."""
    env = replica_env(cluster, "control")
    settings = Settings(
        archive=env["LONGSHORE_ARCHIVE"], task_heartbeat_check_seconds=0.2, task_heartbeat_limit_seconds=LIMIT
    )
    leases: Store[Lease] = Store(LEASES)
    stores = Stores(
        Store(JOBS, {"id": jobs.own_id, "tenant": jobs.own_tenant}),
        Store(PODS, {"job": jobs.owner_uid}),
        Store(TENANTS),
        Store(SECRETS),
    )
    async with Client(Config.load(env["LONGSHORE_KUBECONFIG"])) as client, asyncio.TaskGroup() as tasks:
        replicas = Replicas(leases)
        work = (
            Reflector(client, stores.jobs).run(),
            Reflector(client, stores.pods, label_selector=jobs.LABEL_JOB_NAME).run(),
            Reflector(client, leases, namespace=settings.namespace, label_selector=LABEL).run(),
            replicas.run(),
        )
        running = [tasks.create_task(each) for each in work]
        yield Services(settings, client, stores, open_archive(settings.archive), Bus(), utc_now, replicas=replicas)
        for task in running:
            task.cancel()


@pytest.mark.timeout(300)
async def test_the_silent_are_tried_again_and_given_up_and_the_others_are_left_alone(
    cluster: LocalCluster, api: LocalApi, new_tenant: NewTenant, tmp_path: Path
) -> None:
    tenant = await new_tenant(concurrent_jobs=3)
    template = "{image: bash, command: [sleep, '300'], resources: {cpu: 100m, memory: 64Mi}, retries: %d}"
    env = {**replica_env(cluster), "TASK_TEMPLATE": template % 0}
    async with (
        control(cluster) as parts,
        serving(tmp_path, env) as none_left,
        serving(tmp_path, env | {"TASK_TEMPLATE": template % 1}) as one_left,
        aiohttp.ClientSession(headers={"X-API-Key": tenant.key}) as session,
    ):

        async def submit(one: Serving) -> str:
            body = {"pipeline_run_id": "r", "heartbeat": True}
            async with session.post(f"{one.url}/api/tasks", json=body) as answer:
                made = await answer.json()
                assert answer.status == 202, made
                return str(made["task_id"])

        async def status(id: str) -> dict[str, Any]:
            async with session.get(f"{none_left.url}/api/task-status?job_name={id}") as answer:
                found: dict[str, Any] = await answer.json()
                return found

        last, again, alive = await submit(none_left), await submit(one_left), await submit(none_left)
        beating = {alive}

        async def beat() -> None:
            """Whoever else stands still: silence is to be the task's own."""
            while True:
                for id in beating:
                    parts.bus.publish(f"heartbeat/{id}", {})
                await asyncio.sleep(0.05)

        working = [asyncio.create_task(work) for work in (Monitor(parts).run(Term(until=float("inf"))), beat())]
        try:
            async with asyncio.timeout(200):
                while (
                    (await status(last))["status"] != "Failed"
                    or not (await status(again))["failed"]
                    or (await status(alive))["status"] != "Running"
                ):
                    if (await status(again))["failed"]:
                        beating.add(again)  # else its second try would be its last
                    await asyncio.sleep(0.05)
        finally:
            for task in working:
                task.cancel()
            await asyncio.wait(working)
        assert (await status(last))["reason"] == "HeartbeatLost"
        tried = await status(again)
        assert (tried["status"] in ("Pending", "Running"), tried["failed"]) == (True, 1)
        left = await status(alive)
        assert (left["status"], left["failed"]) == ("Running", 0)
        for id in (again, alive):
            await tenant.client.jobs.stop(id)
