"""Who follows jobs under load bears a cut of the network, a replica that is killed and comes back, and another one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.cluster.product.serving import free_port, replica_env, serving
from tests.cluster.relay import Relay

from longshore.cluster.cluster import LocalCluster
from longshore.sdk.client import LongshoreClient

NewTenant = Callable[..., Awaitable[Any]]
ORDER = ("Queued", "Pending", "Running", "Succeeded")
CALLERS = 4


class Follower:
    """What one client has been told: the newest of each job, how often it began anew, and whatever went backwards."""

    def __init__(self) -> None:
        self.status: dict[str, str] = {}
        self.snapshots = 0
        self.wrong: list[str] = []

    def begin(self, jobs: list[tuple[str, str]]) -> None:
        self.snapshots += 1
        lost = self.status.keys() - {id for id, _ in jobs}
        self.wrong += [f"{id} was {self.status[id]} and is in snapshot {self.snapshots} no more" for id in lost]
        for id, status in jobs:
            self.told(id, status)

    def told(self, id: str, status: str) -> None:
        before = self.status.get(id, ORDER[0])
        if ORDER.index(status) < ORDER.index(before):
            self.wrong.append(f"{id} was {before} and became {status} after {self.snapshots} snapshots")
        self.status[id] = status

    @property
    def done(self) -> int:
        return sum(status == ORDER[-1] for status in self.status.values())


@pytest.mark.timeout(300)
async def test_who_follows_jobs_ends_with_what_is_so_and_never_goes_back_whatever_becomes_of_the_replicas(
    new_tenant: NewTenant, cluster: LocalCluster, tmp_path: Path
) -> None:
    tenant, port, env = await new_tenant(concurrent_jobs=CALLERS - 1), free_port(), replica_env(cluster)
    watch, events = Follower(), Follower()
    followers = (watch, events)
    async with asyncio.timeout(280), Relay(port) as front, serving(tmp_path, env) as other, _load(tenant) as ids:
        url = f"http://127.0.0.1:{front.port}"
        async with asyncio.TaskGroup() as tasks:
            async with serving(tmp_path, env, port) as replica:
                following = [tasks.create_task(_watch(url, tenant.key, watch))]
                following.append(tasks.create_task(_events(url, tenant.key, events)))
                await _hear_more(followers, snapshots=1)
                await front.cut()
                await _more_done(tenant, ids)
                await front.mend()
                await _hear_more(followers, snapshots=1)  # what was missed, and no more than that
                replica.process.kill()
                await replica.process.wait()
            async with serving(tmp_path, env, port) as again:
                await _hear_more(followers, snapshots=2)
                front.lead_to(int(other.url.rpartition(":")[2]))
                again.process.kill()
                await again.process.wait()
                await _hear_more(followers, snapshots=3)
            ids.over.set()
            await asyncio.wait([ids.working])
            ids.working.result()
            told = {job.id: job.status async for job in tenant.client.jobs.each()}
            assert set(told) == set(ids.made)
            assert set(told.values()) == {ORDER[-1]}
            while any(each.status != told for each in followers):  # noqa: ASYNC110 - of another process
                await asyncio.sleep(0.05)
            for task in following:
                task.cancel()
    assert [each.wrong for each in followers] == [[], []]
    assert [each.snapshots for each in followers] == [3, 3]


class Load:
    """Jobs that are made all the time, until it is over."""

    working: asyncio.Task[None]

    def __init__(self) -> None:
        self.made: list[str] = []
        self.over = asyncio.Event()


@asynccontextmanager
async def _load(tenant: Any) -> AsyncIterator[Load]:
    load = Load()

    async def caller() -> None:
        while not load.over.is_set():
            job = await tenant.client.jobs.submit("bash", ["bash", "-c", "sleep 0.2"], cpu="100m", memory="64Mi")
            load.made.append(job.id)
            await tenant.client.jobs.wait(job.id)

    async def all_of_them() -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(CALLERS):
                tasks.create_task(caller())

    load.working = asyncio.create_task(all_of_them())
    try:
        yield load
        await load.working
    finally:
        load.working.cancel()
        await asyncio.wait([load.working])


async def _hear_more(followers: tuple[Follower, ...], *, snapshots: int) -> None:
    """Return when each is past so many snapshots, and has heard of jobs that ended since then."""
    while any(each.snapshots < snapshots for each in followers):  # noqa: ASYNC110 - of another process
        await asyncio.sleep(0.02)
    before = [each.done for each in followers]
    while any(each.done <= was for each, was in zip(followers, before, strict=True)):  # noqa: ASYNC110 - as above
        await asyncio.sleep(0.02)


async def _more_done(tenant: Any, load: Load) -> None:
    """Return when a job that was made now is over."""
    made = len(load.made)
    while len(load.made) == made:  # noqa: ASYNC110 - of another process
        await asyncio.sleep(0.02)
    await tenant.client.jobs.wait(load.made[made])


async def _watch(url: str, key: str, follower: Follower) -> None:
    """The SDK's own way."""
    async with LongshoreClient(url, key) as client:
        async for change in client.jobs.watch(limit=500, outage=180):
            if change.type == "snapshot":
                follower.begin([(job.id, job.status) for job in change.jobs])
            elif change.job is not None:
                follower.told(change.job.id, change.job.status)


async def _events(url: str, key: str, follower: Follower) -> None:
    """As a browser does it: again and again, with the last id."""
    position: dict[str, str] = {}
    async with aiohttp.ClientSession(url, read_bufsize=4 << 20, headers={"X-API-Key": key}) as session:
        while True:
            try:
                async with session.get("/v1/stream", params={"limit": "500"}, headers=position) as answer:
                    async for line in answer.content:
                        field, _, value = line.decode().strip().partition(": ")
                        if field == "id":
                            position["Last-Event-ID"] = value
                        elif field == "data":
                            _heed(json.loads(value), follower)
            except (aiohttp.ClientError, OSError):
                pass  # it is away
            await asyncio.sleep(0.05)


def _heed(said: dict[str, Any], follower: Follower) -> None:
    if said["type"] == "snapshot":
        follower.begin([(job["id"], job["status"]) for job in said["jobs"]])
    elif said["type"] == "job":
        follower.told(said["job"]["id"], said["job"]["status"])
