"""The role that answers: `longshore serve` runs the API until it is told to end."""

from __future__ import annotations

import asyncio
import hmac
import math
import socket
from collections.abc import Callable

import structlog
import uvicorn
from fastapi import FastAPI
from prometheus_client import REGISTRY

from longshore import health
from longshore.app import bare, build_api
from longshore.errors import LongshoreError, UserMistake
from longshore.kinds.jobs.stream import routes as live
from longshore.kinds.registry import KINDS
from longshore.kinds.tasks import desk
from longshore.kinds.tenants.commands import KeyAuthenticator
from longshore.kube.config import Config
from longshore.kube.metrics import CacheMetrics
from longshore.kube.warmup import warmed_up
from longshore.runtime import bus_redis
from longshore.runtime.bus import Bus
from longshore.runtime.bus_redis import RedisLink
from longshore.services import services, utc_now
from longshore.settings import Settings
from longshore.signals import take_no_more
from longshore.telemetry import configure_logging
from longshore.web import auth
from longshore.web.doorway import Doorway
from longshore.web.serving import Server, allow_many_connections
from longshore.web.stream.messages import MOST_BYTES
from longshore.web.stream.socket import Stage
from longshore.web.stream.wire import Wire

log = structlog.get_logger(__name__)

NOTE_KEYS_EVERY_SECONDS = 60.0
DRAIN_SECONDS = 10


def serve(settings: Settings) -> None:
    """Run the API until SIGTERM or SIGINT."""
    configure_logging(settings.log_level)
    allow_many_connections()
    asyncio.run(_serve(settings))
    take_no_more()


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
        app = bare(settings, [auth.admin_token(settings.admin_token_file)], tasks_alone)
        app.state.tasks = tasks_desk
        health.add(app, {})
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
