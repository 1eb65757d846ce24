"""Who else runs: each process of `serve` and `control` keeps a Lease of its own that says where its relay listens.

`services` keeps ours (`Presence`) and the view of all (`Replicas`, fed by a store of these Leases); collectors share
jobs out over the control replicas, and `runtime.relay` reaches the others. Whom a replica has not heard of for a lease,
by its own clock, it takes for gone; what that one may still do late must do no harm.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import structlog
from msgspec import Struct

from longshore.errors import Conflict, LongshoreError, NotFound
from longshore.kube.client import Client
from longshore.kube.objects import LEASES, Lease
from longshore.kube.store import Store
from longshore.runtime.clock import boottime
from longshore.runtime.lease import Sighting

LABEL = "longshore.dev/replica"
ANNOTATION_ADDRESS = "longshore.dev/address"
LEASE_SECONDS = 8
RENEW_SECONDS = 2.0
# a Lease that nobody has renewed for so long is removed by whoever of its role sees it
FORGOTTEN_SECONDS = 300.0
LOOK_SECONDS = 1.0
GOODBYE_SECONDS = 3.0
FIELD_MANAGER = "longshore-replica"
log = structlog.get_logger(__name__)

Role = Literal["serve", "control"]


class Replica(Struct, frozen=True, order=True):
    """One process: `name` is that of its Lease, `address` the host:port of its relay."""

    name: str
    role: str
    address: str


class Replicas:
    """The processes that live, as far as this one can tell. `me` is the name of ours, "" where it has none."""

    def __init__(self, store: Store[Lease], me: str = "", clock: Callable[[], float] = boottime) -> None:
        self.me = me
        self.generation = 0  # counts the changes
        self._store = store
        self._clock = clock
        self._sightings: dict[str, Sighting] = {}
        self._live: tuple[Replica, ...] = ()
        self._news = asyncio.Event()

    def live(self, role: Role) -> list[Replica]:
        """Sorted by name, ours included."""
        return [replica for replica in self._live if replica.role == role]

    def owner(self, key: str) -> Replica | None:
        """The control replica that this key falls to; None when there is none."""
        return owner(key, self.live("control"))

    def forgotten(self) -> list[Lease]:
        """Leases of processes that are long gone."""
        now = self._clock()
        return [
            lease
            for lease in self._store.list()
            if (seen := self._sightings.get(lease.metadata.name)) and now - seen.since > FORGOTTEN_SECONDS
        ]

    async def changed(self, seen: int) -> None:
        """Return when another replica came or went since `generation` was `seen`."""
        while self.generation == seen:
            await self._news.wait()

    async def run(self) -> None:
        """Looks every second, until cancelled: a Lease that runs out sends no event."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_SECONDS)

    def look(self) -> None:
        self._sightings = sightings(self._store.list(), self._sightings, self._clock(), self.me)
        found = living(self._store.list(), self._sightings, self._clock())
        if found != self._live:
            came = sorted({r.name for r in found} - {r.name for r in self._live})
            went = sorted({r.name for r in self._live} - {r.name for r in found})
            log.info("other replicas", came=came, went=went)
            self._live = found
            self.generation += 1
            self._news.set()
            self._news = asyncio.Event()


def sightings(leases: Iterable[Lease], before: Mapping[str, Sighting], now: float, me: str) -> dict[str, Sighting]:
    """What each Lease says, and since when. While we do not even see our own renewals, nobody's silence counts."""
    seen = {
        lease.metadata.name: before.get(lease.metadata.name, Sighting(lease.spec, now)).again(lease.spec, now)
        for lease in leases
    }
    ours = seen.get(me) or before.get(me)
    if me and (ours is None or now - ours.since > LEASE_SECONDS / 2):
        return {name: seen[name] if name == me else Sighting(seen[name].spec, now) for name in seen}
    return seen


def living(leases: Iterable[Lease], seen: Mapping[str, Sighting], now: float) -> tuple[Replica, ...]:
    """Those whose Lease has not run out, sorted."""
    return tuple(
        sorted(
            Replica(lease.metadata.name, lease.metadata.labels[LABEL], address)
            for lease in leases
            if (address := lease.metadata.annotations.get(ANNOTATION_ADDRESS, ""))
            and LABEL in lease.metadata.labels
            and now - seen[lease.metadata.name].since < (lease.spec.lease_duration_seconds or 0)
        )
    )


def owner(key: str, among: Iterable[Replica]) -> Replica | None:
    """Rendezvous hashing: when one comes or goes, only the keys that are or were its own move.

    Source: Thaler and Ravishankar, "A Name-Based Mapping Scheme for Rendezvous" (1996).
    """
    return next(iter(ranked(key, among)), None)


def ranked(key: str, among: Iterable[Replica]) -> list[Replica]:
    """The owner first, then who would be it without that one, and so on."""
    return sorted(among, key=lambda r: hashlib.sha256(f"{r.name}\0{key}".encode()).digest(), reverse=True)


class Presence:
    """Keeps the Lease of this process for as long as it runs, and removes it at a clean end."""

    def __init__(
        self,
        client: Client,
        namespace: str,
        role: Role,
        name: str,
        address: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._now = now
        self._client = client
        self._namespace = namespace
        self._body = {
            "metadata": {
                "name": name,
                "namespace": namespace,
                "labels": {LABEL: role},
                "annotations": {ANNOTATION_ADDRESS: address},
            }
        }
        self._name = name
        self._role = role

    async def run(self, others: Replicas) -> None:
        """Until cancelled. Errors are said and tried again: a replica works alone too."""
        try:
            while True:
                try:
                    async with asyncio.timeout(LEASE_SECONDS / 2):
                        await self._renew()
                        await self._sweep(others)
                except (LongshoreError, TimeoutError) as error:
                    log.warning("this replica could not tell the others that it is there", why=str(error))
                await asyncio.sleep(RENEW_SECONDS)
        finally:
            await self._leave()

    async def _renew(self) -> None:
        stamp = self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec: dict[str, Any] = {
            "holderIdentity": self._name,
            "leaseDurationSeconds": LEASE_SECONDS,
            "renewTime": stamp,
        }
        await self._client.apply(LEASES, {**self._body, "spec": spec}, field_manager=FIELD_MANAGER)

    async def _sweep(self, others: Replicas) -> None:
        """Leases of its own role, for `serve` has the right to no other."""
        for lease in others.forgotten():
            meta = lease.metadata
            if meta.labels.get(LABEL) != self._role:
                continue
            try:
                await self._client.delete(LEASES, meta.name, meta.namespace, resource_version=meta.resource_version)
            except (NotFound, Conflict):  # another swept it, or its process is back
                continue

    async def _leave(self) -> None:
        try:
            async with asyncio.timeout(GOODBYE_SECONDS):
                await self._client.delete(LEASES, self._name, self._namespace)
        except NotFound:
            return
        except (LongshoreError, TimeoutError) as error:
            log.warning("the others will miss this replica a lease late", why=str(error))
