"""longshore itself, in the session's real cluster: `serve` and `control` as processes, as `up` starts them."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

import pytest

from longshore.cli.local import LocalApi
from longshore.cli.up import compose
from longshore.cluster.cluster import LocalCluster
from longshore.cluster.progress import silent
from longshore.errors import NotFound
from longshore.sdk.answers import Tenant
from longshore.sdk.client import LongshoreClient

T = TypeVar("T")


@dataclass(frozen=True)
class TenantClient:
    """A tenant of its own for one test, and a client with its key."""

    id: str
    namespace: str
    key: str
    client: LongshoreClient


NewTenant = Callable[..., Awaitable[TenantClient]]


async def _eventually(what: Callable[[], Awaitable[T | None]], *, deadline: float = 60.0) -> T:
    """The first result that is not None; polls, because what is waited for has no event of its own."""
    async with asyncio.timeout(deadline):
        while True:
            result = await what()
            if result is not None:
                return result
            await asyncio.sleep(0.05)


async def ready(admin: LongshoreClient, id: str) -> Tenant:
    async def look() -> Tenant | None:
        with suppress(NotFound):  # a replica that is behind does not know it yet
            tenant = await admin.tenants.get(id)
            return tenant if tenant.ready else None
        return None

    return await _eventually(look)


@pytest.fixture
def eventually() -> Callable[..., Awaitable[object]]:
    """Waits for the first result that is not None."""
    return _eventually


@pytest.fixture(scope="session")
async def api(cluster: LocalCluster) -> LocalApi:
    return await compose(cluster, silent)


@pytest.fixture(scope="session")
async def admin(api: LocalApi) -> AsyncIterator[LongshoreClient]:
    async with LongshoreClient(api.url, api.admin_token) as client:
        yield client


@pytest.fixture
async def new_tenant(api: LocalApi, admin: LongshoreClient) -> AsyncIterator[NewTenant]:
    made: list[LongshoreClient] = []

    async def make(**limits: float) -> TenantClient:
        id = f"t-{uuid.uuid4().hex[:10]}"
        await admin.tenants.create(id, limits=limits)
        tenant = await ready(admin, id)
        key = await admin.keys.create(id, name="test")
        client = await LongshoreClient(api.url, key.key).__aenter__()
        made.append(client)
        assert tenant.namespace
        return TenantClient(id, tenant.namespace, key.key, client)

    yield make
    for client in made:
        await client.__aexit__()
