"""The role that acts: `longshore control` runs what every replica keeps running, and the controllers while it leads."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import structlog
from prometheus_client import REGISTRY, start_http_server

from longshore.errors import UserMistake
from longshore.kinds.jobs.lag import LagMetrics
from longshore.kinds.kind import Services
from longshore.kinds.registry import KINDS
from longshore.kube.metrics import CacheMetrics
from longshore.kube.store import Store
from longshore.kube.warmup import warmed_up
from longshore.runtime.leader import Leader
from longshore.runtime.term import Term
from longshore.services import services
from longshore.settings import Settings
from longshore.signals import take_no_more, until_told
from longshore.telemetry import configure_logging

log = structlog.get_logger(__name__)

SYNC_SECONDS = 60.0


def control(settings: Settings) -> None:
    """Run the controllers, as leader or waiting to become it, until SIGTERM or SIGINT."""
    configure_logging(settings.log_level)
    asyncio.run(until_told(lambda: _control(settings)))
    log.info("stopped")
    take_no_more()


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
