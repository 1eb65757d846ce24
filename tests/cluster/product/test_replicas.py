"""The processes of longshore know each other, and what they may of it."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from longshore.cli.local import LocalApi
from longshore.cluster.cluster import LocalCluster
from longshore.errors import NotFound, Unavailable
from longshore.install import install
from longshore.kinds.kind import Services
from longshore.kinds.tenants.lookup import tenant_named
from longshore.kinds.tenants.model import object_name
from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.kube.objects import LEASES, SECRETS, Lease
from longshore.kube.reflector import Reflector
from longshore.kube.store import Store
from longshore.runtime.bus import Bus
from longshore.runtime.relay import SECRET, Relay
from longshore.runtime.replicas import ANNOTATION_ADDRESS, LABEL, Presence, Replicas
from longshore.services import empty_stores, open_archive, utc_now
from longshore.settings import Settings

NewTenant = Callable[..., Awaitable[Any]]
NAMESPACE = "longshore-system"


async def test_each_role_has_a_lease_that_says_where_it_is_reached_and_may_read_the_secret(
    api: LocalApi, cluster: LocalCluster, client: Client
) -> None:
    found: set[tuple[str, str]] = set()
    async with asyncio.timeout(60):
        while {role for role, _ in found} != {"serve", "control"}:
            page = await client.list_page(LEASES, NAMESPACE, label_selector=LABEL)
            found = {(x.metadata.labels[LABEL], x.metadata.annotations[ANNOTATION_ADDRESS]) for x in page.items}
            await asyncio.sleep(0.1)
    known: set[str] = set()
    async with Relay() as ours:
        for role, address in found:
            async with Client(Config.load(cluster.identity_kubeconfig(f"longshore-{role}"))) as account:
                await asyncio.wait_for(ours.learn(account, NAMESPACE), 60)
            with suppress(Unavailable):  # of a replica that another test has killed
                # known, and told that there is no such thing: any other answer would be a refusal
                with pytest.raises(NotFound):
                    await anext(ours.call(address, "nothing", {}))
                known.add(role)
    assert known == {"serve", "control"}


async def test_a_second_installation_keeps_the_secret(api: LocalApi, client: Client) -> None:
    before = await client.get(SECRETS, SECRET, NAMESPACE)
    await install(client, Settings())
    assert (await client.get(SECRETS, SECRET, NAMESPACE)).data == before.data


async def test_a_replica_that_ends_cleanly_is_missed_at_once(api: LocalApi, client: Client) -> None:
    store: Store[Lease] = Store(LEASES)
    replicas = Replicas(store)
    reflector = Reflector(client, store, namespace=NAMESPACE, label_selector=LABEL)
    async with asyncio.TaskGroup() as tasks:
        watching = [tasks.create_task(reflector.run()), tasks.create_task(replicas.run())]
        presence = tasks.create_task(Presence(client, NAMESPACE, "serve", "test-replica", "127.0.0.1:1").run(replicas))
        await until(replicas, there=True)
        presence.cancel()
        await until(replicas, there=False)
        for task in watching:
            task.cancel()


async def test_a_tenant_that_another_replica_has_just_made_is_found_before_it_is_heard_of(
    new_tenant: NewTenant, client: Client, tmp_path: Path
) -> None:
    tenant, settings = await new_tenant(), Settings(archive=f"file://{tmp_path}")
    stores = empty_stores()
    parts = Services(settings, client, stores, open_archive(settings.archive), Bus(), utc_now)
    looked_for = asyncio.create_task(tenant_named(parts, object_name(tenant.id)))
    reflecting = asyncio.create_task(Reflector(client, stores.tenants).run())
    found = await looked_for
    assert found is not None
    assert found.id == tenant.id
    assert await tenant_named(parts, "nosuch") is None
    reflecting.cancel()


async def until(replicas: Replicas, *, there: bool) -> None:
    async with asyncio.timeout(60):
        seen = replicas.generation
        while ("test-replica" in [replica.name for replica in replicas.live("serve")]) is not there:
            await replicas.changed(seen)
            seen = replicas.generation
