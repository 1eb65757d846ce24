"""One leader among equals, by a coordination.k8s.io Lease: `control` runs its controllers in one replica at a time.

It bounds how long nobody leads, not that never two do: a leader that stalls may wake up late. What it may still do then
is bounded by its Term and by preconditions; `runtime.term` says by how much, decisions/0002 what must not happen twice.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from random import Random

import structlog

from longshore.errors import Conflict, LongshoreError
from longshore.kube.client import Client
from longshore.kube.objects import LeaseSpec
from longshore.runtime import metrics
from longshore.runtime.clock import boottime
from longshore.runtime.lease import Claim, LeaseLost, Sighting
from longshore.runtime.outcome import is_cancelled
from longshore.runtime.term import Term, TermOver

RELEASE_SECONDS = 3.0
log = structlog.get_logger()


class Leader:
    """Seconds: `lease` is how long others wait for a silent leader, `renew` how long one that cannot renew goes on, and
    `retry` the longest pause between tries. lease > renew > retry > 0. `identity` must be no other process's, ever.

    `clock` counts seconds that also pass while the machine sleeps; `now` is only for people who read the Lease.
    """

    def __init__(
        self,
        client: Client,
        namespace: str,
        name: str,
        identity: str,
        *,
        lease: float = 10.0,
        renew: float = 7.0,
        retry: float = 2.0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = boottime,
        rng: Random | None = None,
    ) -> None:
        if not lease > renew > retry > 0:
            raise ValueError(f"a leader needs lease > renew > retry > 0, not {lease}, {renew}, {retry}")
        self.identity = identity
        self._name = name
        self._renew = renew
        self._retry = retry
        self._clock = clock
        self._rng = rng or Random()  # noqa: S311 - it spreads load, it hides nothing
        self._claim = Claim(
            client, namespace, name, identity, duration=math.ceil(lease), patience=renew / 2, now=now, clock=clock
        )
        self._log = log.bind(lease=name, identity=identity)

    async def run(self, lead: Callable[[Term], Awaitable[None]]) -> None:
        """Runs `lead(term)` whenever the lease is ours and cancels it when it is not; until cancelled or `lead` ends.

        The lease is kept while a cancelled `lead()` cleans up, and released after it. A TermOver that comes out of
        `lead()` counts as a loss; what else it raises comes out in an ExceptionGroup.
        """
        with metrics.candidate(self._name):
            while True:
                await self._acquire()
                self._log.info("acquired the lease")
                term = Term(self._claim.sent + self._renew, self._clock)
                with metrics.leading(self._name, lambda: self._clock() - self._claim.sent):
                    if await self._lead_while_held(lead, term):
                        return

    async def _lead_while_held(self, lead: Callable[[Term], Awaitable[None]], term: Term) -> bool:
        """True when `lead()` ended by itself, False when the lease was lost; otherwise what `lead()` raised."""
        lost = False
        try:
            async with asyncio.TaskGroup() as tasks:
                keeping = tasks.create_task(self._keep(term))
                try:
                    await lead(term)
                finally:
                    keeping.cancel()
        except* (LeaseLost, TermOver) as losses:
            lost = True
            metrics.LEASE_LOST.labels(self._name).inc()
            self._log.warning("lost the lease", why=_first(losses))
        finally:
            term.end()
            if not lost:
                await self._release()
        if lost and is_cancelled():
            raise asyncio.CancelledError  # which the group kept to itself, as it was losing the lease already
        return not lost

    async def _acquire(self) -> None:
        """Returns once the lease is ours; looks every `retry` seconds."""
        sighting = Sighting(LeaseSpec(), self._clock())
        told = None
        while True:
            try:
                sighting = await self._claim.take(sighting)
                holder = sighting.spec.holder_identity
                if holder == self.identity:
                    return
                if holder != told:
                    self._log.info("waiting for the lease", holder=holder)
                    told = holder
            except Conflict:
                self._log.debug("another was quicker")
            except LongshoreError as error:
                self._log.warning("cannot reach the lease", why=error.message)
            await asyncio.sleep(self._pause())

    async def _keep(self, term: Term) -> None:
        """Renews; ends by raising LeaseLost when another has the lease, or with the term when no renewal succeeds."""
        renewals = metrics.LEASE_RENEWAL_SECONDS.labels(self._name)
        while True:
            await asyncio.sleep(min(self._pause(), max(term.left, 0.0)))
            began = self._clock()
            try:
                async with asyncio.timeout(term.left):
                    await self._renew_soon()
            except TimeoutError:
                raise LeaseLost("it could not be renewed in time") from None
            term.extend(self._claim.sent + self._renew)
            renewals.observe(self._clock() - began)

    async def _renew_soon(self) -> None:
        while True:
            began = self._clock()
            try:
                return await self._claim.renew()
            except Conflict:
                await self._look_again()
            except LongshoreError as error:
                metrics.LEASE_RENEWAL_FAILURES.labels(self._name).inc()
                self._log.warning("could not renew the lease", why=error.message)
            # A try that hung has waited already, and the term does not wait.
            await asyncio.sleep(max(0.0, self._pause() - (self._clock() - began)))

    async def _look_again(self) -> None:
        try:
            await self._claim.look_again()
        except LongshoreError as error:
            self._log.warning("could not look at the lease", why=error.message)

    async def _release(self) -> None:
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                await self._claim.release()
        except (LongshoreError, TimeoutError, LeaseLost) as error:
            self._log.warning("could not release the lease", why=str(error))
        else:
            self._log.info("released the lease")

    def _pause(self) -> float:
        """Never longer than `retry`; not the same in every replica."""
        return self._retry * self._rng.uniform(0.5, 1.0)


def _first(group: BaseExceptionGroup[LeaseLost | TermOver]) -> str:
    """What the innermost of them says; a controller's own groups are around it."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error)
