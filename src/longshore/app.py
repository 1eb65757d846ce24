"""The composition root: starts the reflectors, builds the parts, and runs the two roles, `serve` and `control`."""

from __future__ import annotations

import asyncio
import hmac
import math
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import structlog
import uvicorn
from fastapi import FastAPI
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest, start_http_server
from starlette.responses import Response

from longshore import __version__
from longshore.api import routed
from longshore.archive.artifacts import Artifacts
from longshore.archive.batches import REPAIR
from longshore.archive.index import Index
from longshore.archive.logs import Logs
from longshore.archive.objects import Objects
from longshore.archive.records import Records
from longshore.archive.removal import Removal
from longshore.archive.retention import Retention
from longshore.archive.transfers import Transfers
from longshore.archive.uploads import Uploads
from longshore.archive.usage import Usage
from longshore.errors import LongshoreError, NotFound, UserMistake
from longshore.kinds.jobs import model as jobs
from longshore.kinds.jobs import places
from longshore.kinds.jobs.commands import pressure_of
from longshore.kinds.jobs.lag import LagMetrics
from longshore.kinds.jobs.stream import routes as live
from longshore.kinds.jobs.stream.news import Feed
from longshore.kinds.jobs.waiting.facts import Facts, workload_owner
from longshore.kinds.jobs.waiting.why import Workload
from longshore.kinds.kind import Archive, Kind, Services, Stores
from longshore.kinds.registry import KINDS
from longshore.kinds.tasks import desk
from longshore.kinds.tenants import bundle
from longshore.kinds.tenants.commands import KeyAuthenticator, all_here
from longshore.kinds.tenants.model import LABEL_KEY, LABEL_TENANT, TENANTS
from longshore.kube import discovery
from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.kube.metrics import CacheMetrics
from longshore.kube.objects import JOBS, LEASES, PODS, SECRETS, Lease, Pod
from longshore.kube.reflector import Reflector
from longshore.kube.store import Store
from longshore.kube.warmup import warmed_up
from longshore.runtime import bus_redis
from longshore.runtime.bus import Bus
from longshore.runtime.bus_redis import RedisLink
from longshore.runtime.bus_relay import RelayLink
from longshore.runtime.clock import boottime
from longshore.runtime.leader import Leader
from longshore.runtime.relay import Relay
from longshore.runtime.replicas import LABEL as LABEL_REPLICA
from longshore.runtime.replicas import Presence, Replicas, Role
from longshore.runtime.term import Term
from longshore.settings import Settings
from longshore.telemetry import configure_logging
from longshore.web import auth, problems
from longshore.web.answers import answer
from longshore.web.bodies import Bodies
from longshore.web.doorway import Doorway
from longshore.web.hosts import AllowedHosts
from longshore.web.methods import JsonBodies, Methods
from longshore.web.pod_tokens import PodTokens
from longshore.web.serving import Server, allow_many_connections
from longshore.web.stream.messages import MOST_BYTES
from longshore.web.stream.socket import Stage
from longshore.web.stream.wire import Wire
from longshore.web.uploads import BoundedBodies

log = structlog.get_logger(__name__)

SYNC_SECONDS = 60.0
NOTE_KEYS_EVERY_SECONDS = 60.0
DRAIN_SECONDS = 10
MAX_JSON_BYTES = 4 << 20
# a cache this old has missed a watch's longest silence: the replica is not fit to answer
STALE_SECONDS = 400.0
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
        leases: Store[Lease] = Store(LEASES)
        stores = Stores(
            jobs=Store(JOBS, places.INDEXES, places.ORDERS),
            pods=Store(PODS, {"job": jobs.owner_uid, "foreign": jobs.foreign_owner_uid}),
            tenants=Store(TENANTS),
            keys=Store(SECRETS, {"tenant": lambda s: s.metadata.labels.get(LABEL_TENANT)}),
            bundle={
                resource.kind: Store(resource, {"tenant": lambda o: o.metadata.labels.get(LABEL_TENANT)})
                for resource in bundle.RESOURCES
            },
        )
        # pods that no Job made, while they take room of their nodes
        elsewhere = f"!{jobs.LABEL_JOB_NAME}"
        reflectors = [
            Reflector(client, stores.jobs).run(),
            Reflector(client, stores.pods, label_selector=jobs.LABEL_JOB_NAME).run(),
            Reflector(client, stores.tenants).run(),
            Reflector(client, stores.events, field_selector="type=Warning").run(),
            # autoscalers tell that a node is coming in Normal Events; a selector knows no "or"
            Reflector(client, stores.scale_ups, field_selector="type=Normal,reason=TriggeredScaleUp").run(),
            Reflector(client, stores.nominations, field_selector="type=Normal,reason=Nominated").run(),
            Reflector(client, stores.nodes).run(),
            Reflector(client, stores.others, label_selector=elsewhere, field_selector=BOUND).run(),
            Reflector(client, stores.claims).run(),
            Reflector(client, leases, namespace=settings.namespace, label_selector=LABEL_REPLICA).run(),
        ]
        if role == "serve":
            own = Reflector(client, stores.keys, namespace=settings.keys_namespace, label_selector=LABEL_KEY)
            reflectors.append(own.run())
        else:
            parts = stores.bundle.values()
            reflectors += [Reflector(client, store, label_selector=LABEL_TENANT).run() for store in parts]
        replicas = Replicas(leases, name)
        presence = Presence(client, settings.namespace, role, name, relay.address)
        bus = Bus()
        if settings.redis_url:
            url = settings.redis_url.get_secret_value()
            linked = RedisLink(bus, url, lambda: relay.key_for(bus_redis.PURPOSE)).run()
        else:
            linked = RelayLink(bus, relay, replicas).run()
        known = (replicas.run(), presence.run(replicas), relay.learn(client, settings.namespace), linked)
        explain = {kind.name: kind.explain for kind in KINDS if kind.explain}
        archive = open_archive(settings.archive)
        made = Services(settings, client, stores, archive, bus, utc_now, explain, replicas, relay)
        # only who is asked when a job may start needs to know how long they take
        facts = (_follow_kueue(client, made.facts), made.facts.follow(durations=role == "serve"))
        running = [tasks.create_task(work) for work in (*reflectors, *known, *facts)]
        yield made
        for task in running:
            task.cancel()


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


def open_archive(url: str) -> Archive:
    objects = Objects(url)
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


def serve(settings: Settings) -> None:
    """Run the API until SIGTERM or SIGINT."""
    configure_logging(settings.log_level)
    allow_many_connections()
    asyncio.run(_serve(settings))


def control(settings: Settings) -> None:
    """Run the controllers, as leader or waiting to become it, until SIGTERM or SIGINT."""
    configure_logging(settings.log_level)
    asyncio.run(_until_signalled(lambda: _control(settings)))


async def _serve(settings: Settings) -> None:
    why = _why_alone(settings)
    if why is not None:
        log.info("no cluster: only tasks are served, and run by this process", why=why)
        await _serve_alone(settings)
        return
    async with (
        services(settings, role="serve") as parts,
        desk.opened(settings, parts, parts.bus, utc_now) as tasks_desk,
    ):
        stores = parts.stores
        told = (stores.events, stores.nodes, stores.claims)
        REGISTRY.register(CacheMetrics((stores.jobs, stores.pods, stores.tenants, stores.keys, *told)))
        app = build_api(parts)
        app.state.tasks = tasks_desk
        stage: Stage = app.state.stage
        async with asyncio.TaskGroup() as tasks:
            beside = (
                _note_keys(app.state.keys),
                warmed_up((stores.jobs, stores.pods, stores.tenants, stores.keys), math.inf),
                app.state.feed.run(),
                stage.audience.run(),
                live.heed_keys(stores.keys, stage.audience),
            )
            running = [tasks.create_task(work) for work in beside]
            if settings.store_budget_mb:
                running.append(tasks.create_task(parts.store_size.run(parts.client)))
            await _answer_calls(app, settings, stage.audience.farewell)
            for task in running:
                task.cancel()


def _why_alone(settings: Settings) -> str | None:
    """Why there is no cluster to work with, where none is needed: tasks that this process runs itself."""
    if settings.use_k8s_jobs or settings.dual_run or settings.kubeconfig is not None:
        return None
    try:
        Config.load()
    except UserMistake as none:
        return none.message
    return None


async def _serve_alone(settings: Settings) -> None:
    """The task API without a Kubernetes: its one caller is who knows the administrator's token."""
    if settings.admin_token_file is None:
        raise UserMistake(
            "without a cluster nobody is known who could call", hint="set LONGSHORE_ADMIN_TOKEN_FILE to a file"
        )
    bus = Bus()
    # there is no Secret: the processes know each other by the administrator's token, which they share
    key = hmac.digest(settings.admin_token_file.read_bytes().strip(), bus_redis.PURPOSE.encode(), "sha256")
    async with asyncio.TaskGroup() as tasks, desk.opened(settings, None, bus, utc_now) as tasks_desk:
        linked = (
            tasks.create_task(RedisLink(bus, settings.redis_url.get_secret_value(), lambda: key).run())
            if settings.redis_url
            else None
        )
        tasks_alone = [kind for kind in KINDS if kind.name == "task"]
        app = _api(settings, [auth.admin_token(settings.admin_token_file)], tasks_alone)
        app.state.tasks = tasks_desk
        _health(app, {})
        await _answer_calls(app, settings, lambda: None)
        if linked is not None:
            linked.cancel()


async def _answer_calls(app: FastAPI, settings: Settings, farewell: Callable[[], None]) -> None:
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        server_header=False,
        lifespan="off",
        http=Doorway,
        ws=Wire,
        ws_max_size=MOST_BYTES,
        ws_per_message_deflate=False,  # it costs each socket more memory than all the rest
    )
    listening = listen(settings.host, settings.port)
    log.info("serving", url=settings.api_url, archive=settings.archive.partition("?")[0])
    await Server(config, farewell).serve(sockets=[listening])


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections and knows that it is TCP. Of one that does not, asyncio leaves Nagle's algorithm
    on, which waits 40 ms for the acknowledgement of the headers before it sends the body.
    """
    return socket.socket(fileno=socket.create_server((host, port), backlog=2048).detach())


async def _note_keys(keys: KeyAuthenticator) -> None:
    while True:
        await asyncio.sleep(NOTE_KEYS_EVERY_SECONDS)
        try:
            await keys.note_uses()
        except LongshoreError as error:
            log.warning("last uses of keys were not written", why=error.message)


async def _control(settings: Settings) -> None:
    async with services(settings, role="control") as parts:
        stores: list[Store[Any]] = [parts.stores.tenants, parts.stores.jobs, parts.stores.pods]
        stores += parts.stores.bundle.values()
        REGISTRY.register(LagMetrics(parts.stores.jobs, parts.now))
        with _metrics(settings, stores):
            await warmed_up(stores, SYNC_SECONDS)
            async with asyncio.TaskGroup() as tasks:
                works = [work for kind in KINDS if kind.everywhere for work in kind.everywhere(parts)]
                running = [tasks.create_task(work.run()) for work in works]
                await _campaign(parts)
                for task in running:
                    task.cancel()


async def _campaign(parts: Services) -> None:
    identity = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
    lease = parts.settings.lease_seconds
    leader = Leader(
        parts.client,
        parts.settings.namespace,
        "longshore-control",
        identity,
        lease=lease,
        renew=lease * 0.7,
        retry=lease * 0.2,
    )
    log.info("waiting to lead", identity=identity)
    await leader.run(lambda term: _lead(parts, term))


@contextmanager
def _metrics(settings: Settings, stores: Sequence[Store[Any]]) -> Iterator[None]:
    """Shown by a thread of its own, which answers also when the event loop is held up."""
    if settings.metrics_port is None:
        yield
        return
    REGISTRY.register(CacheMetrics(stores))
    try:
        server, thread = start_http_server(settings.metrics_port, settings.host)
    except OSError as error:
        what = f"metrics cannot be shown on port {settings.metrics_port}: {error.strerror}"
        raise UserMistake(what, hint="set LONGSHORE_METRICS_PORT to a free port") from None
    log.info("showing metrics", host=settings.host, port=settings.metrics_port)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


async def _lead(parts: Services, term: Term) -> None:
    log.info("leading")
    async with asyncio.TaskGroup() as tasks:
        for kind in KINDS:
            for controller in kind.controllers(parts) if kind.controllers else ():
                tasks.create_task(controller.run(term))


async def _until_signalled(work: Callable[[], Awaitable[None]]) -> None:
    """Run until done, or until SIGTERM or SIGINT cancels it, which is a clean end."""
    task = asyncio.ensure_future(work())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        log.info("stopped")


def build_api(parts: Services) -> FastAPI:
    """The API over these parts."""
    settings, stores = parts.settings, parts.stores
    keys = KeyAuthenticator(stores.keys, parts.client, settings.keys_namespace, parts.now)
    chain: list[auth.Authenticator] = [keys]
    if settings.admin_token_file is not None:
        chain.append(auth.admin_token(settings.admin_token_file))
    chain.append(PodTokens(parts.client, "longshore", lambda pod: _exists(stores.pods, pod)))
    app = _api(settings, chain, KINDS)
    app.state.services = parts
    app.state.keys = keys
    app.state.feed = Feed(parts)
    app.state.stage = live.stage(parts, app.state.authentication, app.state.feed)
    waiting_for: dict[str, Store[Any]] = {
        "jobs": stores.jobs,
        "pods": stores.pods,
        "tenants": stores.tenants,
        "keys": stores.keys,
    }
    _health(app, waiting_for, lambda: _intake(parts), lambda: all_here(stores.keys, settings.keys_namespace))
    return app


def _exists(pods: Store[Pod], pod: auth.PodIdentity) -> bool:
    found = pods.get(pod.name, pod.namespace)
    return found is not None and found.metadata.uid == pod.uid


def _api(settings: Settings, chain: Sequence[auth.Authenticator], kinds: Sequence[Kind]) -> FastAPI:
    """The routes of these kinds with what every API has around them."""
    app = routed(kinds)
    app.state.authentication = auth.Authentication(chain)
    app.add_middleware(Bodies, authentication=app.state.authentication)
    app.add_middleware(BoundedBodies, max_bytes=MAX_JSON_BYTES, streamed=_is_streamed)
    app.add_middleware(JsonBodies, streamed=_is_streamed)
    app.add_middleware(Methods)
    app.add_middleware(AllowedHosts, names=settings.allowed_hosts)
    problems.install(app)
    return app


def _is_streamed(method: str, path: str) -> bool:
    """The routes that take files; each bounds its own body."""
    artifact = method == "PUT" and path.startswith(("/v1/jobs/", "/v1/uploads/"))
    return artifact or (method == "POST" and path in ("/v1/simulations", "/jobs"))


def _intake(parts: Services) -> dict[str, object]:
    """How far intake is from being slowed."""
    pressure = pressure_of(parts)
    return {
        "store_bytes": pressure.used,
        "store_budget_bytes": pressure.budget or None,
        "store_unknown": parts.store_size.why if pressure.budget else "it is not looked at",
        "waiting_for_archive": pressure.unarchived,
    }


def _health(
    app: FastAPI,
    waiting_for: Mapping[str, Store[Any]],
    intake: Callable[[], Mapping[str, object]] | None = None,
    keys_are_here: Callable[[], bool] = lambda: True,
) -> None:
    def report() -> tuple[int, dict[str, object]]:
        missing = [name for name, store in waiting_for.items() if not store.synced or store.age > STALE_SECONDS]
        if not missing and not keys_are_here():
            missing = ["keys of a former version"]  # whose processes answer as long
        ages = {name: round(store.age, 1) for name, store in waiting_for.items() if store.synced}
        status = 503 if missing else 200
        return status, {"status": "starting" if missing else "ok", "not_ready": missing, "age_seconds": ages}

    @app.get("/livez", include_in_schema=False)
    async def livez() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/health", tags=["health"])
    async def health() -> dict[str, object]:
        return {**report()[1], "version": __version__, **({"intake": intake()} if intake else {})}

    @app.get("/ready", tags=["health"])
    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> Response:
        status, body = report()
        return answer(body, status)

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
