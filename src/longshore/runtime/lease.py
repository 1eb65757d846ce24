"""One coordination.k8s.io Lease, as a candidate sees and writes it; `runtime.leader` says when.

Every write carries the resourceVersion that it was decided on, so of two that write at a time one gets a Conflict, and
a renewal that succeeds proves that nobody else held the lease since the last one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from msgspec import Struct

from longshore.errors import Conflict, NotFound, Unavailable
from longshore.kube.client import Client
from longshore.kube.objects import LEASES, Lease, LeaseSpec

T = TypeVar("T")


class LeaseLost(Exception):
    """The lease is no longer ours, and why."""


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


class Claim:
    """One candidate's side of one lease. `duration` is in whole seconds, as the API takes it.

    No request may take longer than `patience` seconds: one that hangs on a dead connection must leave time for others.
    """

    def __init__(
        self,
        client: Client,
        namespace: str,
        name: str,
        identity: str,
        *,
        duration: int,
        patience: float,
        now: Callable[[], datetime],
        clock: Callable[[], float],
    ) -> None:
        self.identity = identity
        self.sent = 0.0  # when the last write that succeeded was sent; others cannot have seen it before
        self._client = client
        self._namespace = namespace
        self._name = name
        self._duration = duration
        self._patience = patience
        self._now = now
        self._clock = clock
        self._version = ""  # of the lease as we last saw it ours

    async def take(self, sighting: Sighting) -> Sighting:
        """Looks at the lease and takes it where it is free. Raises Conflict when another was quicker."""
        try:
            found = await self._look()
        except NotFound:
            return await self._create()
        sighting = sighting.again(found.spec, self._clock())
        if not sighting.free_to(self.identity, self._clock()):
            return sighting
        taken = {"acquireTime": _micro(self._now()), "leaseTransitions": (found.spec.lease_transitions or 0) + 1}
        return Sighting(await self._write(found.metadata.resource_version, {**self._ours(), **taken}), self._clock())

    async def renew(self) -> None:
        """Raises Conflict when somebody else has written to the lease: `look_again`."""
        await self._write(self._version, self._ours())

    async def look_again(self) -> None:
        """After a conflict: another's doing, or an earlier write of ours of which the answer was lost on the way.

        The latter is a new version to write on, but no renewal: when it was taken in is not known. Raises LeaseLost.
        """
        try:
            found = await self._look()
        except NotFound:
            raise LeaseLost("it was deleted") from None
        if found.spec.holder_identity != self.identity:
            raise LeaseLost(f"{found.spec.holder_identity or 'nobody'} holds it")
        self._version = found.metadata.resource_version

    async def release(self) -> None:
        """Gives it up, so that the next leader need not wait for it to run out. Raises LeaseLost."""
        freed = {"holderIdentity": None, "renewTime": _micro(self._now())}
        try:
            await self._write(self._version, freed)
        except Conflict:  # a renewal was cut off on its way when the work ended
            await self.look_again()
            await self._write(self._version, freed)

    async def _look(self) -> Lease:
        return await self._within(self._client.get(LEASES, self._name, self._namespace))

    async def _create(self) -> Sighting:
        metadata = {"name": self._name, "namespace": self._namespace}
        spec = {**self._ours(), "acquireTime": _micro(self._now()), "leaseTransitions": 0}
        sent = self._clock()
        created = await self._within(self._client.create(LEASES, {"metadata": metadata, "spec": spec}, self._namespace))
        self._version, self.sent = created.metadata.resource_version, sent
        return Sighting(created.spec, sent)

    async def _write(self, version: str, spec: Mapping[str, Any]) -> LeaseSpec:
        """Raises Conflict when the lease is no longer at `version`."""
        sent = self._clock()
        patch = {"metadata": {"resourceVersion": version}, "spec": spec}
        written = await self._within(self._client.patch(LEASES, self._name, patch, self._namespace))
        self._version, self.sent = written.metadata.resource_version, sent
        return written.spec

    async def _within(self, asking: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self._patience):
                return await asking
        except TimeoutError:
            raise Unavailable(f"no answer about the lease {self._name} within {self._patience:.1f} s") from None

    def _ours(self) -> dict[str, Any]:
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": self._duration,
            "renewTime": _micro(self._now()),
        }


def _micro(moment: datetime) -> str:
    """Kubernetes' MicroTime."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
