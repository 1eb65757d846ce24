"""Who leads, on a real Lease: replicas that contend, stop, are killed, are cut off, or have a wrong clock."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.kube.objects import LEASES
from longshore.runtime.leader import Leader
from longshore.runtime.term import Term

from .relay import Relay
from .replicas import (
    LEASE,
    NAMESPACE,
    RENEW,
    RETRY,
    PutForward,
    Replica,
    held,
    numbers,
    renewed,
    seconds_until,
    until_held_by,
)
from .steady import Steady, steadily

MANY = 18  # renewals: they take longer than a lease lasts

# A replica in a process of its own, to be killed.
PROCESS = """
import asyncio, sys
from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.runtime.leader import Leader

async def main(kubeconfig, name):
    async with Client(Config.load(kubeconfig)) as client:
        leader = Leader(client, "default", name, "process", lease=40.0, renew=30.0, retry=0.3)
        await leader.run(lambda term: asyncio.Event().wait())

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture(autouse=True)
async def clock(client: Client) -> AsyncIterator[Steady]:
    async with steadily(client) as steady:
        yield steady


@pytest.fixture
def lease() -> str:
    return f"lease-{next(numbers)}"


async def test_of_two_that_contend_one_leads_and_the_other_waits(client: Client, lease: str) -> None:
    async with Replica(client, lease).running() as a, Replica(client, lease).running() as b:
        waits = [asyncio.create_task(replica.leads.wait()) for replica in (a, b)]
        done, _ = await asyncio.wait(waits, timeout=60, return_when=asyncio.FIRST_COMPLETED)
        leader, other = (a, b) if waits[0] in done else (b, a)
        holder = await held(client, lease)
        assert holder.spec.holder_identity == leader.leader.identity
        await renewed(client, lease, holder, times=MANY)
        assert (leader.times, other.times) == (1, 0)
        for wait in waits:
            wait.cancel()


async def test_a_leader_that_stops_is_followed_at_once(client: Client, lease: str) -> None:
    async with AsyncExitStack() as leading:
        leader = await leading.enter_async_context(Replica(client, lease).running())
        await seconds_until(leader.leads)
        async with Replica(client, lease).running() as heir:
            await renewed(client, lease, await held(client, lease), times=2)
            await leading.aclose()
            assert await seconds_until(heir.leads) < LEASE / 2
    assert (await held(client, lease)).spec.holder_identity is None


async def test_a_killed_leader_is_followed_when_its_lease_has_run_out(
    client: Client, kubeconfig: Path, lease: str, clock: Steady
) -> None:
    """Its lease is long, for nobody knows how long a busy machine keeps it from renewing; the heir's time is not."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROCESS, str(kubeconfig), lease, stdout=asyncio.subprocess.DEVNULL
    )
    heirs = PutForward(clock)
    try:
        await until_held_by(client, lease, "process")
        async with Replica(client, lease, clock=heirs).running() as heir:
            await renewed(client, lease, await held(client, lease), times=2)
            assert not heir.leads.is_set()
            process.kill()
            await process.wait()
            await heirs.looked()
            heirs.by = 30.0
            await heirs.looked()
            assert not heir.leads.is_set()
            heirs.by = 40.0
            await seconds_until(heir.leads)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    assert (await held(client, lease)).spec.lease_transitions == 1


@pytest.mark.parametrize("how", ["hangs", "breaks"])
async def test_a_leader_that_is_cut_off_stops_before_another_starts_and_may_come_back(
    client: Client, kube_config: Config, lease: str, how: str
) -> None:
    async with (
        Relay(urlsplit(kube_config.server).port or 443) as relay,
        Client(replace(kube_config, server=relay.url)) as far,
        Replica(far, lease).running() as cut_off,
    ):
        await seconds_until(cut_off.leads)
        async with Replica(client, lease).running() as heir:
            await renewed(client, lease, await held(client, lease), times=2)
            if how == "breaks":
                await relay.cut()
            else:
                relay.freeze()
            await seconds_until(cut_off.ended)
            assert not heir.leads.is_set()
            await seconds_until(heir.leads)
            assert not cut_off.leads.is_set()
            await relay.mend()
        await seconds_until(cut_off.leads)
        assert cut_off.times == 2


async def test_a_leader_stops_when_the_lease_is_given_to_another(client: Client, lease: str) -> None:
    async with Replica(client, lease).running() as usurped:
        await seconds_until(usurped.leads)
        await client.patch(LEASES, lease, {"spec": {"holderIdentity": "usurper"}}, NAMESPACE)
        assert await seconds_until(usurped.ended) < RENEW - RETRY, "it is not its term that ended"
    assert (await held(client, lease)).spec.holder_identity == "usurper", "what is not ours is not released"


async def test_a_leader_that_is_told_to_end_while_it_loses_its_lease_does_not_wait_for_the_next(
    client: Client, lease: str
) -> None:
    leads = asyncio.Event()

    async def lead(term: Term) -> None:
        leads.set()
        try:
            await asyncio.Event().wait()
        finally:
            running.cancel()
            await asyncio.sleep(0)

    running = asyncio.create_task(Replica(client, lease).leader.run(lead))
    await seconds_until(leads)
    await client.patch(LEASES, lease, {"spec": {"holderIdentity": "usurper"}}, NAMESPACE)
    await asyncio.wait([running], timeout=60)
    told = running.cancelled()
    running.cancel()
    assert told


async def test_a_leader_goes_on_when_something_else_of_its_lease_is_changed(client: Client, lease: str) -> None:
    async with Replica(client, lease).running() as leader:
        await seconds_until(leader.leads)
        for n in range(3):
            await client.patch(LEASES, lease, {"metadata": {"annotations": {"note": str(n)}}}, NAMESPACE)
            await renewed(client, lease, await held(client, lease), times=1)
        assert leader.times == 1
        assert leader.leads.is_set()


@pytest.mark.parametrize("skew", [timedelta(hours=-1), timedelta(hours=1)])
async def test_a_wrong_clock_neither_takes_nor_loses_the_lease(client: Client, lease: str, skew: timedelta) -> None:
    async with Replica(client, lease).running() as right:
        await seconds_until(right.leads)
        async with Replica(client, lease, now=lambda: datetime.now(UTC) + skew).running() as wrong:
            await renewed(client, lease, await held(client, lease), times=MANY)
            assert right.times == 1
            assert right.leads.is_set()
            assert not wrong.leads.is_set()


async def test_the_lease_is_kept_while_the_work_cleans_up_and_released_after_it(
    client: Client, lease: str, clock: Steady
) -> None:
    cleaned = asyncio.Event()

    async def lead(_: Term) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await renewed(client, lease, await held(client, lease), times=2)
            cleaned.set()

    leader = Leader(client, NAMESPACE, lease, "tidy", lease=LEASE, renew=RENEW, retry=RETRY, clock=clock)
    task = asyncio.create_task(leader.run(lead))
    await until_held_by(client, lease, "tidy")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned.is_set()
    assert (await held(client, lease)).spec.holder_identity is None


async def test_work_that_ends_or_fails_releases_the_lease_and_its_error_comes_out(
    client: Client, lease: str, clock: Steady
) -> None:
    leader = Leader(client, NAMESPACE, lease, "brief", lease=LEASE, renew=RENEW, retry=RETRY, clock=clock)

    async def end(_: Term) -> None:
        return None

    async def fail(_: Term) -> None:
        raise ValueError("broken")

    await asyncio.wait_for(leader.run(end), 60)
    with pytest.raises(ExceptionGroup) as raised:
        await asyncio.wait_for(leader.run(fail), 60)
    assert raised.group_contains(ValueError, match="broken")
    assert (await held(client, lease)).spec.holder_identity is None
