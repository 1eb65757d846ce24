"""The watch cache on a real control plane that is compacted, killed, stopped, cut off, overfull and set back.

Each test ends the same way: the store equals a full list, and so does a reader that knows the deltas alone.
"""

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from random import Random
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from longshore.cluster.cluster import LocalCluster
from longshore.cluster.controlplane import API
from longshore.cluster.processes import identify, resident_bytes
from longshore.errors import Unavailable
from longshore.kinds.jobs.history import History
from longshore.kube.client import Client, Page
from longshore.kube.config import Config
from longshore.kube.objects import CONFIG_MAPS, NAMESPACES, Resource
from longshore.kube.transport import CONNECT_DEADLINE
from longshore.kube.watch import Pace

from .apiserver import ApiServer
from .etcd import Etcd
from .lag import lagging
from .relay import Relay
from .watched import config_map, until, watching
from .writing import writing

pytestmark = pytest.mark.timeout(400)
QUICK = Pace(backoff=0.2, backoff_cap=2.0, short=0.5)  # so that the test, not the backoff, sets the pace


@pytest.fixture(scope="module")
async def own(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalCluster]:
    """A control plane that these tests may hurt."""
    cluster = LocalCluster("faults", state_root=tmp_path_factory.mktemp("faults"), fsync=False)
    await cluster.up()
    yield cluster
    await cluster.reset()


@pytest.fixture
def api(own: LocalCluster) -> ApiServer:
    return ApiServer(own)


@pytest.fixture
async def etcd(own: LocalCluster) -> AsyncIterator[Etcd]:
    async with Etcd(own) as etcd:
        yield etcd


@pytest.fixture
def config(own: LocalCluster) -> Config:
    return Config.load(own.kubeconfig_path)


@pytest.fixture
async def admin(config: Config) -> AsyncIterator[Client]:
    async with Client(config) as admin:
        yield admin


@pytest.fixture
async def namespace(admin: Client) -> AsyncIterator[str]:
    name = f"faults-{uuid4().hex[:8]}"
    await admin.create(NAMESPACES, {"metadata": {"name": name}})
    yield name
    await admin.delete(NAMESPACES, name)


@pytest.fixture
async def relay(own: LocalCluster) -> AsyncIterator[Relay]:
    async with Relay(own.port("kube-apiserver")) as relay:
        yield relay


@pytest.fixture
async def relayed(config: Config, relay: Relay) -> AsyncIterator[Client]:
    """A client whose way to the API server leads through the relay."""
    async with Client(replace(config, server=relay.url)) as client:
        yield client


class Interrupted(Client):
    """Does `meanwhile` once, between the first page of a list and the second."""

    meanwhile: Callable[[], Awaitable[None]] | None = None

    async def list_page(self, resource: Resource[Any], namespace: str | None = None, **options: Any) -> Page[Any]:
        if options.get("continue_") and self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            await meanwhile()
        return await super().list_page(resource, namespace, **options)


async def test_compactions_under_a_live_watch_lose_nothing(admin: Client, namespace: str, etcd: Etcd) -> None:
    """Streams end every second, so that they are resumed from versions that etcd has forgotten."""
    pace = msgspec.structs.replace(QUICK, timeout=(1, 2))
    async with watching(admin, namespace, pace=pace) as resumed, watching(admin, namespace) as lasting:
        async with writing(admin, namespace) as written:
            while resumed.store.stats.streams < 6:
                before = written.count
                await etcd.compact()
                await until(lambda: written.count > before + 50)  # noqa: B023
        assert len(await resumed.is_true(admin)) > 1
        await lasting.is_true(admin)


async def test_a_version_that_is_too_old_is_listed_anew_and_what_vanished_is_told(
    admin: Client, relayed: Client, relay: Relay, namespace: str, etcd: Etcd, api: ApiServer
) -> None:
    for name in ("kept", "changed", "deleted", "recreated"):
        await admin.create(CONFIG_MAPS, config_map(name), namespace)
    async with watching(relayed, namespace, pace=QUICK) as watched:
        before = await watched.is_true(admin)
        watched.told.clear()
        await relay.cut()
        await admin.create(CONFIG_MAPS, config_map("added"), namespace)
        await admin.patch(CONFIG_MAPS, "changed", {"data": {"x": "2"}}, namespace)
        for name in ("deleted", "recreated"):
            await admin.delete(CONFIG_MAPS, name, namespace)
        await admin.create(CONFIG_MAPS, config_map("recreated"), namespace)
        await api.kill(meanwhile=etcd.compact)
        assert watched.store.trouble
        assert watched.changes() == {}
        await relay.mend()
        after = await watched.is_true(admin)
        assert watched.changes() == {
            "added": ["added"],
            "changed": ["changed"],
            "deleted": ["deleted"],
            "recreated": ["deleted", "added"],
        }
        assert before["recreated"].metadata.uid != after["recreated"].metadata.uid
        assert (watched.store.stats.gone, watched.store.stats.relists) == (1, 2)
        await until(lambda: watched.store.trouble is None)


async def test_a_page_that_expires_in_the_middle_of_a_list_begins_it_anew(
    config: Config, admin: Client, namespace: str, etcd: Etcd, api: ApiServer
) -> None:
    for number in range(12):
        await admin.create(CONFIG_MAPS, config_map(f"m{number:02}"), namespace)

    async def forget() -> None:
        """The API server keeps snapshots of its own, so it has to be killed, too."""
        await admin.delete(CONFIG_MAPS, "m00", namespace)
        await admin.create(CONFIG_MAPS, config_map("late"), namespace)
        await api.kill(meanwhile=etcd.compact)

    async with Interrupted(config) as client:
        client.meanwhile = forget
        async with watching(client, namespace, pace=msgspec.structs.replace(QUICK, page=5, initial=0.0)) as watched:
            truth = await watched.is_true(admin)
    assert "m00" not in truth
    assert "late" in truth
    assert (watched.store.stats.gone, watched.store.stats.relists) == (1, 1)


async def test_an_api_server_that_is_killed_again_and_again_costs_nothing(
    admin: Client, namespace: str, api: ApiServer
) -> None:
    rng = Random()
    async with watching(admin, namespace, pace=QUICK) as watched:
        async with writing(admin, namespace) as written:
            for _ in range(4):
                goal = written.count + rng.randint(50, 300)
                await until(lambda: written.count > goal)  # noqa: B023
                await api.kill()
        assert written.count > 200
        assert len(await watched.is_true(admin)) > 1
        assert watched.store.stats.failures


async def test_an_api_server_that_is_stopped_for_a_minute_is_waited_for(
    admin: Client, namespace: str, etcd: Etcd, api: ApiServer
) -> None:
    """Stopped, not ended: its machine takes connections and it answers none. Objects go meanwhile, behind its back.

    Who is impatient gives its stream up for its silence, once, and asks for another again and again: each time it
    waits for as long as a connection, of which TLS is a part, may take. What it asked for before does not count.
    """
    for name in ("kept", "deleted", "changed"):
        await admin.create(CONFIG_MAPS, config_map(name), namespace)
    hasty = msgspec.structs.replace(QUICK, silence=(5.0, 8.0))
    async with watching(admin, namespace) as patient, watching(admin, namespace, pace=hasty) as impatient:
        await patient.is_true(admin)
        before = await api.status()
        failed, streams = impatient.store.stats.failures, impatient.store.stats.streams
        began, patience = time.monotonic(), max(0.0, hasty.silence[0] - impatient.store.age)
        with api.stopped(before):
            async with lagging() as lag:
                await etcd.delete("configmaps", namespace, "deleted")
                with pytest.raises(Unavailable, match=r"no answer within 30 s|the connection failed"):
                    await admin.patch(CONFIG_MAPS, "changed", {"data": {"x": "2"}}, namespace)
                await until(lambda: min(patient.store.age, impatient.store.age) > 58, 120)
            assert patient.store.trouble is None  # a silence of up to three minutes is not unheard of
            assert impatient.store.trouble is not None
            asked = impatient.store.stats.failures - failed
            assert 2 <= asked <= 1 + (time.monotonic() - began - patience) / CONNECT_DEADLINE
            assert impatient.store.stats.streams <= streams + 1  # whose answer was on its way
            assert lag.worst < 1
        for watched in (patient, impatient):
            assert "deleted" not in await watched.is_true(admin)
            assert watched.changes()["deleted"][-1] == "deleted"
            await until(lambda: watched.store.age < 10 and watched.store.trouble is None)  # noqa: B023
        after = await api.status()
        assert (after.pid, after.restarts) == (before.pid, before.restarts)


async def test_a_network_that_swallows_everything_is_noticed_and_survived(
    admin: Client, relayed: Client, relay: Relay, namespace: str
) -> None:
    await admin.create(CONFIG_MAPS, config_map("deleted"), namespace)
    async with watching(relayed, namespace, pace=msgspec.structs.replace(QUICK, silence=(6.0, 7.0))) as watched:
        await watched.is_true(admin)
        watched.told.clear()
        await until(lambda: watched.store.trouble is None)  # it is not just about to ask for another stream
        relay.freeze()
        before = relay.connections
        await admin.delete(CONFIG_MAPS, "deleted", namespace)
        await admin.create(CONFIG_MAPS, config_map("added"), namespace)
        await until(lambda: watched.store.trouble is not None)
        assert "silent for" in str(watched.store.trouble)
        await until(lambda: relay.connections > before)
        await relay.mend()
        await watched.is_true(admin)
        assert watched.changes() == {"deleted": ["deleted"], "added": ["added"]}
        assert watched.store.stats.relists == 1


def resident() -> int:
    """MB."""
    this = identify(os.getpid())
    assert this is not None
    return resident_bytes(this) // 2**20


@pytest.mark.parametrize("how", ["in pages", "by stream"])
async def test_ten_thousand_objects_are_synced_and_listed_anew(
    how: str, config: Config, admin: Client, crowded: str, etcd: Etcd, api: ApiServer
) -> None:
    pace = msgspec.structs.replace(QUICK, initial=60.0 if how == "by stream" else 0.0)
    memory, began = resident(), time.monotonic()
    async with lagging() as lag, watching(admin, crowded, pace=pace) as watched:
        took = time.monotonic() - began
        print(f"{how}: synced in {took:.1f} s, the loop waited {lag.worst * 1000:.0f} ms, +{resident() - memory} MB")
        assert len(watched.store) == 10_000
        assert took < 60
        truth = await watched.is_true(admin)
        before, seq = watched.store.stats.relists, watched.store.seq
        lag.worst = 0.0
        await api.kill(meanwhile=etcd.compact)
        await admin.delete(CONFIG_MAPS, "m05000", crowded)
        await until(lambda: watched.store.get("m05000", crowded) is None)
        print(f"listed anew {watched.store.stats.relists - before} times, the loop waited {lag.worst * 1000:.0f} ms")
        assert watched.store.stats.relists > before
        assert lag.worst < 2
        assert len(await watched.is_true(admin)) == len(truth) - 1
        assert watched.store.seq == seq + 1  # what did not change is not told
        assert resident() - memory < 500
        await admin.create(CONFIG_MAPS, config_map("m05000"), crowded)
        await watched.is_true(admin)


async def test_a_cluster_that_is_set_back_to_an_older_backup_is_followed(
    own: LocalCluster, admin: Client, namespace: str
) -> None:
    """The hardest lie: what the store knows never happened, and versions begin again below its own."""
    for name in ("kept", "changed", "deleted"):
        await admin.create(CONFIG_MAPS, config_map(name, x="1"), namespace)
    backup = own.folder.root / "backup"
    async with watching(admin, namespace, pace=QUICK) as watched:
        before = await watched.is_true(admin)
        await own.down()
        assert "after SIGTERM: killed" not in own.log(API).read_text()  # it waits for nobody who watches
        shutil.copytree(own.folder.etcd, backup)
        await own.up()
        await admin.delete(CONFIG_MAPS, "deleted", namespace)
        await admin.create(CONFIG_MAPS, config_map("added"), namespace)
        for number in range(500):  # more than a starting control plane writes
            await admin.patch(CONFIG_MAPS, "changed", {"data": {"x": f"{number}"}}, namespace)
        ahead = await watched.is_true(admin)
        assert ahead != before
        told = watched.store.version
        await own.down()
        shutil.rmtree(own.folder.etcd)
        backup.rename(own.folder.etcd)
        watched.may_go_back = True
        watched.told.clear()
        await own.up()
        assert await watched.is_true(admin) == before
        assert watched.changes() == {"changed": ["changed"], "deleted": ["added"], "added": ["deleted"]}
        history = History(admin, time.monotonic)
        assert not await history.reaches(watched.store, told), "who was told that is told so"
        assert await history.reaches(watched.store, watched.store.version)
        await admin.patch(CONFIG_MAPS, "kept", {"data": {"x": "2"}}, namespace)
        await watched.is_true(admin)


@pytest.fixture(scope="module")
async def crowded(own: LocalCluster) -> str:
    """A namespace of 10,000 ConfigMaps."""
    name, limit = "crowded", asyncio.Semaphore(50)

    async def create(client: Client, number: int) -> None:
        async with limit:
            await client.create(CONFIG_MAPS, config_map(f"m{number:05}", text="x" * 500), name)

    async with Client(Config.load(own.kubeconfig_path)) as client:
        await client.create(NAMESPACES, {"metadata": {"name": name}})
        began = time.monotonic()
        await asyncio.gather(*(create(client, number) for number in range(10_000)))
        print(f"10,000 created in {time.monotonic() - began:.1f} s")
    return name
