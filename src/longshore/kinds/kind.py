"""What a kind is to the rest of longshore: a descriptor of what it brings, and the parts it is given to work with.

`kinds.registry` lists the descriptors; `services` builds the Services and hands them to every kind.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Depends
from starlette.requests import HTTPConnection

from longshore.archive.artifacts import Artifacts
from longshore.archive.index import Index
from longshore.archive.logs import Logs
from longshore.archive.presence import Presence
from longshore.archive.records import Records
from longshore.archive.removal import Removal
from longshore.archive.retention import Retention
from longshore.archive.transfers import Transfers
from longshore.archive.uploads import Uploads
from longshore.archive.usage import Usage
from longshore.kinds.jobs.history import History
from longshore.kinds.jobs.logs.live import Tails
from longshore.kinds.jobs.pressure import StoreSize
from longshore.kinds.jobs.record import JobRecord
from longshore.kinds.jobs.waiting.facts import CLAIMS, Facts, is_wanted
from longshore.kinds.tenants.bundle import Bundled
from longshore.kinds.tenants.model import Tenant
from longshore.kube.client import Client
from longshore.kube.objects import LEASES, NODES, PODS, Claim, Job, Node, Pod, Resource, Secret
from longshore.kube.recent import Recent
from longshore.kube.store import Store
from longshore.runtime.bus import Bus
from longshore.runtime.relay import Relay
from longshore.runtime.replicas import Replicas
from longshore.runtime.term import Term
from longshore.settings import Settings
from longshore.web.openapi import Operations


@dataclass(frozen=True)
class Archive:
    """The cold half of the truth, by what is kept; `answers` asks it something small."""

    answers: Callable[[], Awaitable[None]]
    records: Records
    logs: Logs
    artifacts: Artifacts
    index: Index
    removal: Removal
    retention: Retention
    transfers: Transfers
    uploads: Uploads
    usage: Usage


@dataclass(frozen=True)
class Stores:
    """The hot half: what every read is served from. One writer each, the reflectors that `services` starts."""

    jobs: Store[Job]
    pods: Store[Pod]
    tenants: Store[Tenant]
    keys: Store[Secret]
    # what else tells why a job waits: see `kinds.jobs.waiting.facts`
    events: Recent = field(default_factory=lambda: Recent(is_wanted))
    scale_ups: Recent = field(default_factory=lambda: Recent(is_wanted))
    nominations: Recent = field(default_factory=lambda: Recent(is_wanted))
    nodes: Store[Node] = field(default_factory=lambda: Store(NODES))
    others: Store[Pod] = field(default_factory=lambda: Store(PODS))
    claims: Store[Claim] = field(default_factory=lambda: Store(CLAIMS))
    # by Kubernetes kind; only `control` keeps these
    bundle: Mapping[str, Store[Bundled]] = field(default_factory=dict)


@dataclass(frozen=True)
class Services:
    """The parts a kind works with."""

    settings: Settings
    client: Client
    stores: Stores
    archive: Archive
    bus: Bus
    now: Callable[[], datetime]
    # by kind: adds to a record what only that kind can read out of it, such as a simulator's own error line
    explain: Mapping[str, Callable[[JobRecord], JobRecord]] = field(default_factory=dict)
    # the other processes of `serve` and `control`, and how to reach them; without any, one works alone
    replicas: Replicas = field(default_factory=lambda: Replicas(Store(LEASES)))
    relay: Relay = field(default_factory=Relay)
    # kept up to date by `serve` only
    store_size: StoreSize = field(default_factory=StoreSize)

    @cached_property
    def tails(self) -> Tails:
        """The logs that come in, as the collectors pass them on."""
        return Tails(self.replicas, self.relay, self.archive.logs)

    @cached_property
    def history(self) -> History:
        """Whether what somebody was told elsewhere will ever be seen here."""
        return History(self.client, time.monotonic)

    @cached_property
    def presence(self) -> Presence:
        """Whether the archive answers."""
        return Presence(self.now, self.archive.answers)

    @cached_property
    def facts(self) -> Facts:
        """What is known about why jobs wait."""
        stores = self.stores
        return Facts(
            jobs=stores.jobs,
            pods=stores.pods,
            tenants=stores.tenants,
            events=(stores.events, stores.scale_ups, stores.nominations),
            nodes=stores.nodes,
            others=stores.others,
            claims=stores.claims,
            start_within=self.settings.schedule_to_start_seconds,
        )


class Runs(Protocol):
    """What the leader keeps running: a controller, or something else that lives until it is cancelled.

    `term` says how long the leader may act; whoever writes asks it before.
    """

    async def run(self, term: Term) -> None: ...


class Lives(Protocol):
    """What every replica of `control` keeps running, whether it leads or not, until it is cancelled."""

    async def run(self) -> None: ...


@dataclass(frozen=True)
class Kind:
    """One kind of work. `definitions` are its CRDs; `controllers` is called by the leader only, `everywhere` by each
    replica of `control`."""

    name: str
    routers: tuple[APIRouter, ...] = ()
    definitions: tuple[dict[str, Any], ...] = ()
    resources: tuple[Resource[Any], ...] = ()
    controllers: Callable[[Services], Sequence[Runs]] | None = None
    everywhere: Callable[[Services], Sequence[Lives]] | None = None
    explain: Callable[[JobRecord], JobRecord] | None = None
    # what its routes answer, and what their parameters mean, for the API's document
    operations: Operations = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)


async def _services(connection: HTTPConnection) -> Services:
    """Raises Unavailable until the caches are in: nobody is answered from half of the cluster."""
    services: Services = connection.app.state.services
    stores = services.stores
    for store in (stores.jobs, stores.pods, stores.tenants):
        await store.wait_synced()
    return services


Parts = Annotated[Services, Depends(_services)]
