"""Until when a leader acts, on a real Lease: when its machine slept, its clock jumped, a connection of it hangs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest
from prometheus_client import REGISTRY

from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.kube.objects import LEASES
from longshore.runtime.leader import Leader
from longshore.runtime.term import Term, TermOver

from .relay import Relay
from .replicas import LEASE, NAMESPACE, RENEW, RETRY, Replica, held, numbers, renewed, seconds_until
from .steady import Steady, steadily

MANY = 18  # renewals: they take longer than a lease lasts


@pytest.fixture(autouse=True)
async def clock(client: Client) -> AsyncIterator[Steady]:
    async with steadily(client) as steady:
        yield steady


@pytest.fixture
def lease() -> str:
    return f"term-{next(numbers)}"


def metric(name: str, lease: str) -> float | None:
    return REGISTRY.get_sample_value(f"longshore_{name}", {"lease": lease})


async def test_a_term_lasts_for_as_long_as_the_lease_is_renewed(client: Client, lease: str) -> None:
    async with Replica(client, lease).running() as leader:
        await seconds_until(leader.leads)
        assert leader.term is not None
        for _ in range(MANY):
            await renewed(client, lease, await held(client, lease), times=1)
            leader.term.check()
            assert 0 < leader.term.left <= RENEW
        assert leader.times == 1
    with pytest.raises(TermOver, match="no longer ours"):
        leader.term.check()


async def test_a_leader_whose_machine_slept_may_not_act_before_it_leads_again(
    client: Client, lease: str, clock: Steady
) -> None:
    asleep = 0.0
    refused = asyncio.Event()
    terms: list[Term] = []

    async def lead(term: Term) -> None:
        nonlocal asleep
        terms.append(term)
        if len(terms) == 1:
            asleep = 8 * 3600.0
            with pytest.raises(TermOver, match=r"ran out 2879\d\.\d s ago"):
                term.check()
            refused.set()
            term.check()
        term.check()
        await asyncio.Event().wait()

    leader = Leader(
        client, NAMESPACE, lease, "sleeper", lease=LEASE, renew=RENEW, retry=RETRY, clock=lambda: clock() + asleep
    )
    task = asyncio.create_task(leader.run(lead))
    await seconds_until(refused)
    async with asyncio.timeout(60):
        while len(terms) < 2:  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.01)
    terms[1].check()
    with pytest.raises(TermOver, match="no longer ours"):
        terms[0].check()
    task.cancel()
    await asyncio.wait([task])
    assert (await held(client, lease)).spec.holder_identity is None


async def test_a_leader_that_only_slept_notices_by_itself(client: Client, lease: str, clock: Steady) -> None:
    asleep = 0.0
    async with Replica(client, lease, clock=lambda: clock() + asleep).running() as leader:
        await seconds_until(leader.leads)
        asleep = 8 * 3600.0
        await seconds_until(leader.ended)
        await seconds_until(leader.leads)
        assert leader.times == 2


@pytest.mark.parametrize("jump", [timedelta(days=-1), timedelta(days=365)])
async def test_a_wall_clock_that_jumps_neither_takes_nor_loses_the_lease(
    client: Client, lease: str, jump: timedelta
) -> None:
    off = timedelta(0)

    def now() -> datetime:
        return datetime.now(UTC) + off

    async with Replica(client, lease, now=now).running() as leader:
        await seconds_until(leader.leads)
        async with Replica(client, lease).running() as other:
            await renewed(client, lease, await held(client, lease), times=2)
            off = jump
            await renewed(client, lease, await held(client, lease), times=MANY)
            assert (leader.times, other.times) == (1, 0)
            assert leader.leads.is_set()


async def test_a_connection_that_hangs_costs_a_try_and_not_the_lease(
    client: Client, kube_config: Config, lease: str
) -> None:
    async with (
        Relay(urlsplit(kube_config.server).port or 443) as relay,
        Client(replace(kube_config, server=relay.url)) as far,
        Replica(far, lease).running() as leader,
    ):
        await seconds_until(leader.leads)
        before = metric("lease_renewal_failures_total", lease) or 0
        relay.freeze()
        await relay.mend()  # what was connected hangs for ever, what connects now does not
        await renewed(client, lease, await held(client, lease), times=MANY)
        assert leader.times == 1
        assert (metric("lease_renewal_failures_total", lease) or 0) > before


async def test_metrics_show_who_leads_and_how_the_lease_is_renewed(client: Client, lease: str) -> None:
    async with Replica(client, lease).running() as leader:
        await seconds_until(leader.leads)
        assert metric("leading", lease) == metric("lease_acquired_total", lease) == 1
        await renewed(client, lease, await held(client, lease), times=3)
        age = metric("lease_age_seconds", lease)
        assert age is not None
        assert 0 <= age < RENEW
        renewals = metric("lease_renewal_seconds_count", lease)
        assert renewals is not None
        assert renewals >= 2
    assert metric("leading", lease) is None
    assert metric("lease_age_seconds", lease) is None


async def test_metrics_show_that_a_lease_was_lost(client: Client, lease: str) -> None:
    async with Replica(client, lease).running() as leader:
        await seconds_until(leader.leads)
        await client.patch(LEASES, lease, {"spec": {"holderIdentity": "usurper"}}, NAMESPACE)
        async with asyncio.timeout(60):
            while metric("leading", lease) != 0:  # noqa: ASYNC110 - a gauge has no event of its own
                await asyncio.sleep(0.01)
        assert metric("lease_lost_total", lease) == 1
        assert metric("lease_age_seconds", lease) is None
