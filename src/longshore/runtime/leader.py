"""One leader among equals, by a coordination.k8s.io Lease: `control` runs its controllers in one replica at a time.

It bounds how long nobody leads, not that never two do: a leader that stalls may wake up late and act before it notices.
What must not happen twice is fenced by resourceVersions (decisions/0002).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from random import Random
from typing import Any

import structlog
from msgspec import Struct

from longshore.errors import Conflict, LongshoreError, NotFound
from longshore.kube.client import Client
from longshore.kube.objects import LEASES, LeaseSpec
from longshore.runtime import metrics

RELEASE_SECONDS = 3.0
log = structlog.get_logger()


class Sighting(Struct, frozen=True):
    """What a lease said, and since when it has said just that, in seconds of our own clock.

    A lease has run out when it has stood unchanged for its duration, whatever time its holder wrote into it: clocks of
    two machines are not compared. Source: client-go, tools/leaderelection ("observedTime").
    """

    spec: LeaseSpec
    since: float

    def again(self, spec: LeaseSpec, now: float) -> Sighting:
        """After another look at the lease."""
        return self if spec == self.spec else Sighting(spec, now)

    def free_to(self, identity: str, now: float) -> bool:
        """Nobody has it, or its holder is silent, or it is ours: the answer to our own try was lost."""
        holder = self.spec.holder_identity
        return not holder or holder == identity or now - self.since >= (self.spec.lease_duration_seconds or 0)


class Leader:
    """Seconds: `lease` is how long others wait for a silent leader, `renew` how long one that cannot renew goes on, and
    `retry` the longest pause between tries. lease > renew > retry > 0. `identity` must be no other process's, ever.
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
        rng: Random | None = None,
    ) -> None:
        if not lease > renew > retry > 0:
            raise ValueError(f"a leader needs lease > renew > retry > 0, not {lease}, {renew}, {retry}")
        self.identity = identity
        self._client = client
        self._namespace = namespace
        self._name = name
        self._duration = math.ceil(lease)  # the API takes whole seconds
        self._renew = renew
        self._retry = retry
        self._now = now
        self._rng = rng or Random()  # noqa: S311 - it spreads load, it hides nothing
        self._version = ""  # of the lease as we last wrote it
        self._renewed = 0.0  # when the last write that succeeded was sent; others cannot have seen it before
        self._log = log.bind(lease=name, identity=identity)

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Runs `lead()` whenever the lease is ours and cancels it when it is not; until cancelled, or `lead()` ends.

        The lease is kept while a cancelled `lead()` cleans up, and released after it. What `lead()` raises comes out in
        an ExceptionGroup.
        """
        leading = metrics.LEADING.labels(self._name)
        while True:
            await self._acquire()
            self._log.info("acquired the lease")
            leading.set(1)
            try:
                if await self._lead_while_held(lead):
                    return
            finally:
                leading.set(0)

    async def _lead_while_held(self, lead: Callable[[], Awaitable[None]]) -> bool:
        """True when `lead()` ended by itself, False when the lease was lost; otherwise what `lead()` raised."""
        lost = False
        try:
            async with asyncio.TaskGroup() as tasks:
                keeping = tasks.create_task(self._keep())
                try:
                    await lead()
                finally:
                    keeping.cancel()
        except* _LostError as losses:
            lost = True
            self._log.warning("lost the lease", why=str(losses.exceptions[0]))
        finally:
            if not lost:
                await self._release()
        return not lost

    async def _acquire(self) -> None:
        """Returns once the lease is ours; looks every `retry` seconds."""
        sighting = Sighting(LeaseSpec(), _seconds())
        while True:
            try:
                sighting = await self._try(sighting)
                if sighting.spec.holder_identity == self.identity:
                    return
            except Conflict:
                self._log.debug("another was quicker")
            except LongshoreError as error:
                self._log.warning("cannot reach the lease", why=error.message)
            await asyncio.sleep(self._pause())

    async def _try(self, sighting: Sighting) -> Sighting:
        """Looks at the lease and takes it where it is free. Raises Conflict when another was quicker."""
        try:
            found = await self._client.get(LEASES, self._name, self._namespace)
        except NotFound:
            return await self._create()
        sighting = sighting.again(found.spec, _seconds())
        if not sighting.free_to(self.identity, _seconds()):
            return sighting
        taken = {"acquireTime": _micro(self._now()), "leaseTransitions": (found.spec.lease_transitions or 0) + 1}
        return Sighting(await self._write(found.metadata.resource_version, {**self._claim(), **taken}), _seconds())

    async def _create(self) -> Sighting:
        metadata = {"name": self._name, "namespace": self._namespace}
        claim = {**self._claim(), "acquireTime": _micro(self._now()), "leaseTransitions": 0}
        sent = _seconds()
        created = await self._client.create(LEASES, {"metadata": metadata, "spec": claim}, self._namespace)
        self._version, self._renewed = created.metadata.resource_version, sent
        return Sighting(created.spec, sent)

    async def _keep(self) -> None:
        """Renews; ends by raising _LostError when another has the lease or `renew` seconds passed without success."""
        while True:
            try:
                async with asyncio.timeout_at(self._renewed + self._renew):
                    await self._renew_soon()
            except TimeoutError:
                raise _LostError("it could not be renewed in time") from None

    async def _renew_soon(self) -> None:
        while True:
            await asyncio.sleep(self._pause())
            try:
                await self._write(self._version, self._claim())
            except Conflict:
                await self._look_again()
            except LongshoreError as error:
                self._log.warning("could not renew the lease", why=error.message)
            else:
                return

    async def _look_again(self) -> None:
        """After a conflict: another's doing, or an earlier write of ours of which the answer was lost on the way.

        The latter is a new version to write on, but no renewal: when it was taken in is not known.
        """
        try:
            found = await self._client.get(LEASES, self._name, self._namespace)
        except NotFound:
            raise _LostError("it was deleted") from None
        except LongshoreError as error:
            self._log.warning("could not look at the lease", why=error.message)
            return
        if found.spec.holder_identity != self.identity:
            raise _LostError(f"{found.spec.holder_identity or 'nobody'} holds it")
        self._version = found.metadata.resource_version

    async def _release(self) -> None:
        """Gives the lease up, so that the next leader need not wait for it to run out."""
        freed = {"holderIdentity": None, "renewTime": _micro(self._now())}
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                try:
                    await self._write(self._version, freed)
                except Conflict:  # a renewal was cut off on its way when the work ended
                    await self._look_again()
                    await self._write(self._version, freed)
        except (LongshoreError, TimeoutError, _LostError) as error:
            self._log.warning("could not release the lease", why=str(error))
        else:
            self._log.info("released the lease")

    async def _write(self, version: str, spec: dict[str, Any]) -> LeaseSpec:
        """Raises Conflict when the lease is no longer at `version`."""
        sent = _seconds()
        patch = {"metadata": {"resourceVersion": version}, "spec": spec}
        written = await self._client.patch(LEASES, self._name, patch, self._namespace)
        self._version, self._renewed = written.metadata.resource_version, sent
        return written.spec

    def _claim(self) -> dict[str, Any]:
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": self._duration,
            "renewTime": _micro(self._now()),
        }

    def _pause(self) -> float:
        """Never longer than `retry`; not the same in every replica."""
        return self._retry * self._rng.uniform(0.5, 1.0)


class _LostError(Exception):
    """The lease is no longer ours, and why."""


def _seconds() -> float:
    return asyncio.get_running_loop().time()


def _micro(moment: datetime) -> str:
    """Kubernetes' MicroTime."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
