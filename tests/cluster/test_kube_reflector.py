"""The watch cache against the real control plane."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from longshore.kube.client import Client
from longshore.kube.objects import CONFIG_MAPS, AnyObject
from longshore.kube.reflector import Reflector
from longshore.kube.store import Store
from longshore.kube.watch import Pace

pytestmark = pytest.mark.cluster
Reflect = Callable[..., AbstractAsyncContextManager[Store[AnyObject]]]


@pytest.fixture
def reflect(client: Client, namespace: str) -> Reflect:
    @asynccontextmanager
    async def run(pace: Pace | None = None, **options: Any) -> AsyncIterator[Store[AnyObject]]:
        store: Store[AnyObject] = Store(CONFIG_MAPS)
        task = asyncio.create_task(Reflector(client, store, namespace=namespace, pace=pace, **options).run())
        try:
            await store.wait_synced(60)
            yield store
        finally:
            task.cancel()
            await asyncio.wait([task])

    return run


def config_map(name: str, **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels}}


async def test_a_write_is_read_back_from_the_store(client: Client, namespace: str, reflect: Reflect) -> None:
    async with reflect() as store:
        made = await client.create(CONFIG_MAPS, config_map("a"), namespace)
        await store.wait_for(made.metadata.resource_version, deadline=60)
        assert store.get("a", namespace) == made
        await client.delete(CONFIG_MAPS, "a", namespace)
        marker = await client.create(CONFIG_MAPS, config_map("b"), namespace)
        await store.wait_for(marker.metadata.resource_version, deadline=60)
        assert store.get("a", namespace) is None


async def test_a_big_resource_is_listed_in_pages(client: Client, namespace: str, reflect: Reflect) -> None:
    for number in range(30):
        await client.create(CONFIG_MAPS, config_map(f"m{number}"), namespace)
    async with reflect(pace=Pace(page=7)) as store:
        assert {f"m{number}" for number in range(30)} <= {obj.metadata.name for obj in store.list(namespace)}


async def test_an_object_that_leaves_the_selector_leaves_the_store(
    client: Client, namespace: str, reflect: Reflect
) -> None:
    async with reflect(label_selector="keep=yes") as store, store.subscribe() as changes:
        await client.create(CONFIG_MAPS, config_map("a", keep="yes"), namespace)
        assert [delta.new is not None for delta in await changes.next()] == [True]
        await client.patch(CONFIG_MAPS, "a", {"metadata": {"labels": {"keep": "no"}}}, namespace)
        assert [delta.new for delta in await changes.next()] == [None]


async def test_streams_that_end_are_resumed_without_a_loss(client: Client, namespace: str, reflect: Reflect) -> None:
    """The server ends each stream after a second; nothing that is written in between may be missed."""
    async with reflect(pace=Pace(timeout=(1, 1), short=0.5, backoff=0.01)) as store:
        written: list[AnyObject] = []
        while store.stats.streams < 4:
            made = await client.create(CONFIG_MAPS, config_map(f"m{len(written)}"), namespace)
            await store.wait_for(made.metadata.resource_version, deadline=60)
            written.append(made)
        assert store.stats.relists == 1
        assert all(store.get(made.metadata.name, namespace) == made for made in written)


async def test_bookmarks_move_a_quiet_store_on(client: Client, namespace: str, reflect: Reflect) -> None:
    """The server sends one shortly before it ends a stream, so that the next one need not begin in the past."""
    async with reflect(pace=Pace(timeout=(3, 3), short=1, backoff=0.01)) as store:
        elsewhere = await client.create(CONFIG_MAPS, config_map(f"quiet-{namespace}"), "default")
        await store.wait_for(elsewhere.metadata.resource_version, deadline=60)
        await client.delete(CONFIG_MAPS, elsewhere.metadata.name, "default")
