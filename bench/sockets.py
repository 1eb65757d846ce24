"""What 10,000 sockets cost that follow and hear nothing: the resident memory of `serve`, with all else in it.

They are of 10 tenants, in two other processes, each subscribed to its tenant's jobs, of which there are 100 in all. The
figure is read when each has been asked by a ping whether it is still there.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

import aiohttp

from bench.harness.processes import serving
from bench.harness.product import new_tenants, product
from bench.harness.results import Measurement
from bench.harness.sockets import connected, metric
from longshore.sdk.client import LongshoreClient

SOCKETS, CLIENTS, TENANTS, JOBS_EACH = 10_000, 2, 10, 10
PINGED_SECONDS = 45.0
RESIDENT = "process_resident_memory_bytes"


def measure() -> Measurement:
    return asyncio.run(_measure())


async def _measure() -> Measurement:
    async with product() as bed:
        api = await bed.start()
        keys = list((await new_tenants(api, [f"t{number}" for number in range(TENANTS)])).values())
        for key in keys:
            async with LongshoreClient(api.url, key) as client:
                for _ in range(JOBS_EACH):
                    await client.jobs.submit("busybox:1.37", ["true"])
        async with aiohttp.ClientSession() as session:
            before = await metric(session, api.url, RESIDENT)
            with ExitStack() as clients:
                for _ in range(CLIENTS):
                    follower = serving("bench.harness.sockets:idle", api.url, keys, SOCKETS // CLIENTS)
                    await asyncio.to_thread(clients.enter_context, follower)
                await connected(session, api.url, SOCKETS)
                fresh = await metric(session, api.url, RESIDENT)
                await asyncio.sleep(PINGED_SECONDS)
                await connected(session, api.url, SOCKETS)
                after = await metric(session, api.url, RESIDENT)
    figures = {
        "sockets_10000_memory_mb": after / 1e6,
        "sockets_0_memory_mb": before / 1e6,
        "sockets_kb_each": (after - before) / 1e3 / SOCKETS,
    }
    return Measurement(
        figures, {"bytes": {"before": before, "fresh": fresh, "after": after}}, {"kubernetes": bed.kubernetes}
    )
