"""What Prometheus is told by both roles, in processes that run for real."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import aiohttp
import pytest

from longshore.cli.local import LocalApi
from longshore.cli.up import METRICS
from longshore.cluster.cluster import LocalCluster

NewTenant = Callable[..., Awaitable[Any]]
SHOWN = {
    "serve": ('longshore_cache_objects{resource="jobs.batch"}', 'longshore_cache_synced{resource="secrets"} 1.0'),
    "control": (
        'longshore_cache_synced{resource="tenants.longshore.dev"} 1.0',
        'longshore_leading{lease="longshore-control"} 1.0',
        'longshore_queue_depth{controller="',
        'longshore_reconcile_seconds_count{controller="',
    ),
}


@pytest.mark.parametrize("role", SHOWN)
async def test_each_role_shows_its_metrics(
    api: LocalApi, cluster: LocalCluster, new_tenant: NewTenant, role: str
) -> None:
    await new_tenant()  # something to reconcile
    url = f"{api.url}/metrics" if role == "serve" else f"http://127.0.0.1:{cluster.port(METRICS)}/metrics"
    missing = list(SHOWN[role])
    with suppress(TimeoutError):
        async with asyncio.timeout(60), aiohttp.ClientSession() as session:
            while missing:  # who leads may have changed a moment ago
                async with session.get(url) as response:
                    text = await response.text()
                missing = [line for line in SHOWN[role] if line not in text]
                await asyncio.sleep(0.05)
    assert missing == []
