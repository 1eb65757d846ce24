"""`serve`, `control` and the node are killed with -9 again and again while work comes in, runs, is read and archived.

How often is chosen by LONGSHORE_KILLS (9 in the suite); the moments are random, by a seed that a failure prints.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from longshore.cli.up import compose
from longshore.cluster.cluster import LocalCluster
from longshore.cluster.progress import silent
from longshore.kinds.jobs.model import LABEL_JOB_NAME
from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.kube.objects import PODS, Pod
from longshore.kube.reflector import Reflector
from longshore.kube.store import Store
from longshore.sdk.answers import Job
from longshore.sdk.client import LongshoreClient

from .replicas import Killable, killables

KILLS = int(os.environ.get("LONGSHORE_KILLS", "9"))
LINES, PAUSE = 12, 0.15  # a job lives long enough to be in every state when something is killed
AT_ONCE = 8
COMMAND = f"for i in $(seq 1 {LINES}); do echo line $i of {LINES}; sleep {PAUSE}; done"
PATIENCE = 120.0 + 6 * KILLS  # while the killing lasts, work may stand still
LONGEST_SECONDS = (6.0, 9.0, 6.0)  # between two kills of serve, control, the node
LIMITS = {"concurrent_jobs": AT_ONCE, "cpu": 10, "memory_gi": 10}


@dataclass
class Seen:
    """What a client knows: which job each of its keys made, and what it has read of whose log."""

    ids: dict[str, str] = field(default_factory=dict)
    read: defaultdict[str, bytearray] = field(default_factory=lambda: defaultdict(bytearray))


@pytest.fixture
async def own_cluster(tmp_path: Path) -> AsyncIterator[LocalCluster]:
    cluster = LocalCluster("killed", state_root=tmp_path, fsync=False)
    yield cluster
    await cluster.reset()


@pytest.mark.timeout(400 + 20 * KILLS)
async def test_no_job_is_lost_or_run_twice_and_no_log_gets_shorter_however_often_serve_control_and_the_node_are_killed(
    own_cluster: LocalCluster,
) -> None:
    seed = random.randrange(1 << 32)
    api = await compose(own_cluster, silent)
    serve, control, node = victims = await killables(own_cluster, api)
    pods: Store[Pod] = Store(PODS)
    seen, over = Seen(), asyncio.Event()
    ran: defaultdict[str, set[str]] = defaultdict(set)
    async with Client(Config.load(own_cluster.kubeconfig_path)) as admin:
        watching = [asyncio.ensure_future(task) for task in (Reflector(admin, pods).run(), _note(pods, ran))]
        try:
            for victim in victims:
                await victim.start()
            key = await _tenant(api.url, api.admin_token)
            async with LongshoreClient(api.url, key, patience=PATIENCE) as client, asyncio.TaskGroup() as tasks:
                for caller in range(AT_ONCE):
                    tasks.create_task(_load(client, seen, over, caller))
                await _kill(random.Random(seed), victims)
                over.set()
            async with LongshoreClient(api.url, key, patience=PATIENCE) as client, asyncio.timeout(PATIENCE):
                for id in seen.ids.values():
                    await _archived(client, id)
                records = [await _record(api.url, key, id) for id in seen.ids.values()]
                logs = {id: await _log(client, id) for id in seen.ids.values()}
                listed = [job.id async for job in _all(client)]
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*(victim.stop() for victim in victims))
    kills = f"{serve.kills} kills of serve, {control.kills} of control, {node.kills} of the node"
    told = f"seed {seed}, {kills}, {len(seen.ids)} jobs"
    assert {record["status"] for record in records} == {"Succeeded"}, told
    assert sorted(listed) == sorted(seen.ids.values()), told
    assert len(set(listed)) == len(listed), told
    assert {len(ran[id]) for id in seen.ids.values()} == {1}, told
    for record in records:
        id = record["id"]
        assert logs[id].startswith(bytes(seen.read[id])), (told, id, seen.read[id], logs[id])
        lines = re.findall(rb"line (\d+) of", logs[id])
        assert lines == sorted(set(lines), key=int), (told, id, logs[id])
        assert len(lines) == LINES or not record["log"]["complete"], (told, id, logs[id])
    print(f"{told}: {sum(record['log']['complete'] for record in records)} logs complete")


async def _load(client: LongshoreClient, seen: Seen, over: asyncio.Event, caller: int) -> None:
    """One job after the other, each followed to its end; every third key is sent twice."""
    number = 0
    while not over.is_set():
        key = f"{caller}-{number}"
        job = await _submit(client, key)
        if number % 3 == 0:
            assert (await _submit(client, key)).id == job.id
        seen.ids[key] = job.id
        async with asyncio.timeout(PATIENCE):
            async for chunk in client.jobs.logs(job.id, follow=True):
                seen.read[job.id] += chunk
            await client.jobs.wait(job.id)
        number += 1


async def _submit(client: LongshoreClient, key: str) -> Job:
    argv = ["bash", "-c", COMMAND]
    return await client.jobs.submit("bash", argv, name=key, idempotency_key=key, cpu="100m", memory="64Mi")


async def _kill(rng: random.Random, victims: tuple[Killable, ...]) -> None:
    """A third of them each, side by side: `control` needs longer to lead again than the others to be back."""

    async def again_and_again(victim: Killable, times: int, longest: float) -> None:
        for _ in range(times):
            await asyncio.sleep(rng.uniform(0.2, longest))
            await victim.kill()

    async with asyncio.TaskGroup() as tasks:
        for number, (victim, longest) in enumerate(zip(victims, LONGEST_SECONDS, strict=True)):
            tasks.create_task(again_and_again(victim, len(range(number, KILLS, len(victims))), longest))


async def _tenant(url: str, token: str) -> str:
    async with LongshoreClient(url, token, patience=PATIENCE) as admin, asyncio.timeout(PATIENCE):
        await admin.tenants.create("acme", limits=LIMITS)
        while not (await admin.tenants.get("acme")).ready:  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.1)
        return (await admin.keys.create("acme", name="load")).key


async def _archived(client: LongshoreClient, id: str) -> None:
    while not (await client.jobs.get(id)).archived:  # noqa: ASYNC110 - of another process
        await asyncio.sleep(0.2)


async def _log(client: LongshoreClient, id: str) -> bytes:
    return b"".join([chunk async for chunk in client.jobs.logs(id)])


async def _all(client: LongshoreClient) -> AsyncIterator[Job]:
    cursor = None
    while True:
        page = await client.jobs.list(limit=50, cursor=cursor)
        for job in page.items:
            yield job
        cursor = page.cursor
        if cursor is None:
            return


async def _record(url: str, key: str, id: str) -> dict[str, Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{url}/v1/jobs/{id}", headers={"X-API-Key": key}) as got,
    ):
        record: dict[str, Any] = await got.json()
        return record


async def _note(pods: Store[Pod], ran: defaultdict[str, set[str]]) -> None:
    """Every pod that was ever there, by its job."""
    async with pods.subscribe(bound=100_000) as changes:
        while True:
            for delta in await changes.next():
                if delta.new is not None and (job := delta.new.metadata.labels.get(LABEL_JOB_NAME)):
                    ran[job].add(delta.new.metadata.uid)
