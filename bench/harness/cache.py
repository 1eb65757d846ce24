"""Our side of every comparison: a client, a reflector and a store, put together as `longshore.app` does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

from longshore.kinds.jobs.places import INDEXES, ORDERS
from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.kube.objects import JOBS, Job, Object
from longshore.kube.reflector import Reflector
from longshore.kube.store import Store

T = TypeVar("T", bound=Object)
SYNC_WITHIN = 100.0


def job_store() -> Store[Job]:
    """With the indexes and orders that `longshore.app` declares."""
    return Store(JOBS, INDEXES, ORDERS)


@asynccontextmanager
async def client(url: str) -> AsyncIterator[Client]:
    async with Client(Config(url)) as one:
        yield one


@asynccontextmanager
async def reflecting(source: Client, store: Store[T], namespace: str | None = None) -> AsyncIterator[Store[T]]:
    """`store` once it is synced, and kept so for as long as the context is open."""
    task = asyncio.ensure_future(Reflector(source, store, namespace=namespace).run())
    try:
        await store.wait_synced(SYNC_WITHIN)
        yield store
    finally:
        task.cancel()
        await asyncio.wait([task])
