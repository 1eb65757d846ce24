"""The parts that both roles work with, made from the settings: stores with their reflectors, archive, bus.

`serve` and `control` open them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import structlog

from longshore import __version__
from longshore.archive.artifacts import Artifacts
from longshore.archive.batches import REPAIR
from longshore.archive.identity import ClusterNote, Identity
from longshore.archive.index import Index
from longshore.archive.logs import Logs
from longshore.archive.objects import Objects, anybodys
from longshore.archive.records import Records
from longshore.archive.removal import Removal
from longshore.archive.retention import Retention
from longshore.archive.transfers import Transfers
from longshore.archive.uploads import Uploads
from longshore.archive.usage import Usage
from longshore.errors import LongshoreError, NotFound
from longshore.kinds.jobs import model as jobs
from longshore.kinds.jobs import places
from longshore.kinds.jobs.waiting.facts import Facts, workload_owner
from longshore.kinds.jobs.waiting.why import Workload
from longshore.kinds.kind import Archive, Services, Stores
from longshore.kinds.registry import KINDS
from longshore.kinds.tenants import bundle
from longshore.kinds.tenants.model import LABEL_KEY, LABEL_TENANT, TENANTS
from longshore.kube import discovery
from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.kube.objects import JOBS, LEASES, PODS, SECRETS, Lease
from longshore.kube.reflector import Reflector
from longshore.kube.store import Store
from longshore.runtime import bus_redis
from longshore.runtime.bus import Bus
from longshore.runtime.bus_redis import RedisLink
from longshore.runtime.bus_relay import RelayLink
from longshore.runtime.clock import boottime
from longshore.runtime.relay import Relay
from longshore.runtime.replicas import LABEL as LABEL_REPLICA
from longshore.runtime.replicas import Presence, Replicas, Role
from longshore.settings import Settings

log = structlog.get_logger(__name__)

KUEUE = "kueue.x-k8s.io"
KUEUE_EVERY_SECONDS = 10.0
BOUND = "spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed"


def utc_now() -> datetime:
    return datetime.now(UTC)


@asynccontextmanager
async def services(settings: Settings, *, role: Role) -> AsyncIterator[Services]:
    """The parts, with their reflectors running for as long as the context is open.

    Only `serve` reads API keys, only `control` the tenants' bundles; each may no more than that.
    """
    config = Config.load(settings.kubeconfig)
    name = f"longshore-{role}-{uuid4().hex[:12]}"
    async with (
        Client(config, user_agent=f"longshore/{__version__}") as client,
        Relay(settings.relay_host, settings.relay_port) as relay,
        asyncio.TaskGroup() as tasks,
    ):
        stores, leases, bus = empty_stores(), Store(LEASES), Bus()
        replicas = Replicas(leases, name)
        presence = Presence(client, settings.namespace, role, name, relay.address)
        explain = {kind.name: kind.explain for kind in KINDS if kind.explain}
        note = ClusterNote(client, settings.namespace)
        identity = Identity(Objects(settings.archive), note, marks=role == "control")
        archive = open_archive(settings.archive, vouch=identity.check)
        made = Services(settings, client, stores, archive, bus, utc_now, explain, replicas, relay)
        learning = relay.learn(client, settings.namespace)
        linked = _linked(settings, bus, relay, replicas)
        known = (replicas.run(), presence.run(replicas), learning, linked, identity.run())
        # only who is asked when a job may start needs to know how long they take
        facts = (_follow_kueue(client, made.facts), made.facts.follow(durations=role == "serve"))
        reflectors = [each.run() for each in _reflectors(client, settings, role, stores, leases)]
        running = [tasks.create_task(work) for work in (*reflectors, *known, *facts)]
        yield made
        for task in running:
            task.cancel()


def empty_stores() -> Stores:
    return Stores(
        jobs=Store(JOBS, places.INDEXES, places.ORDERS),
        pods=Store(PODS, {"job": jobs.owner_uid, "foreign": jobs.foreign_owner_uid}),
        tenants=Store(TENANTS),
        keys=Store(SECRETS, {"tenant": lambda s: s.metadata.labels.get(LABEL_TENANT)}),
        bundle={
            resource.kind: Store(resource, {"tenant": lambda o: o.metadata.labels.get(LABEL_TENANT)})
            for resource in bundle.RESOURCES
        },
    )


def _reflectors(
    client: Client, settings: Settings, role: Role, stores: Stores, leases: Store[Lease]
) -> Iterator[Reflector[Any]]:
    yield Reflector(client, stores.jobs)
    yield Reflector(client, stores.pods, label_selector=jobs.LABEL_JOB_NAME)
    yield Reflector(client, stores.tenants)
    yield Reflector(client, stores.events, field_selector="type=Warning")
    # autoscalers tell that a node is coming in Normal Events; a selector knows no "or"
    yield Reflector(client, stores.scale_ups, field_selector="type=Normal,reason=TriggeredScaleUp")
    yield Reflector(client, stores.nominations, field_selector="type=Normal,reason=Nominated")
    yield Reflector(client, stores.nodes)
    # pods that no Job made, while they take room of their nodes
    yield Reflector(client, stores.others, label_selector=f"!{jobs.LABEL_JOB_NAME}", field_selector=BOUND)
    yield Reflector(client, stores.claims)
    yield Reflector(client, leases, namespace=settings.namespace, label_selector=LABEL_REPLICA)
    if role == "serve":
        yield Reflector(client, stores.keys, namespace=settings.keys_namespace, label_selector=LABEL_KEY)
    else:
        for store in stores.bundle.values():
            yield Reflector(client, store, label_selector=LABEL_TENANT)


def _linked(settings: Settings, bus: Bus, relay: Relay, replicas: Replicas) -> Coroutine[Any, Any, None]:
    """What carries the bus's news between processes: Redis where there is one, else the relay."""
    if settings.redis_url:
        url = settings.redis_url.get_secret_value()
        return RedisLink(bus, url, lambda: relay.key_for(bus_redis.PURPOSE)).run()
    return RelayLink(bus, relay, replicas).run()


async def _follow_kueue(client: Client, facts: Facts) -> None:
    """Keep Kueue's Workloads from when it is installed; without it, look again now and then."""
    while True:
        try:
            await client.call("GET", f"/apis/{KUEUE}")
            found = await discovery.find(client, "Workload", group=KUEUE)
        except LongshoreError as error:
            if not isinstance(error, NotFound):
                log.warning("whether Kueue is installed is not known", why=error.message)
            await asyncio.sleep(KUEUE_EVERY_SECONDS)
            continue
        facts.workloads = Store(found.read_as(Workload), {"job": workload_owner})
        await Reflector(client, facts.workloads).run()


def open_archive(url: str, *, vouch: Callable[[], Awaitable[None]] = anybodys) -> Archive:
    objects = Objects(url, vouch=vouch)
    records, index, artifacts = Records(objects), Index(objects, tell=_tell_damaged), Artifacts(objects)
    removal = Removal(objects, records, index)
    return Archive(
        answers=objects.answers,
        records=records,
        logs=Logs(objects),
        artifacts=artifacts,
        index=index,
        removal=removal,
        retention=Retention(objects, index, removal, boottime),
        transfers=Transfers(objects, artifacts),
        uploads=Uploads(objects, artifacts),
        usage=Usage(objects, boottime),
    )


def _tell_damaged(path: str) -> None:
    log.error("a file of the archive's index cannot be read: lists say that some is missing", path=path, hint=REPAIR)
