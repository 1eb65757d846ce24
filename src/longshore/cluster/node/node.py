"""Puts the parts of one node together and runs them. Called by `__main__`, and by tests in their own process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import structlog
from msgspec import Struct

from longshore.cluster.node import attempts, disk, machine, powers
from longshore.cluster.node.claims.provisioner import Provisioner
from longshore.cluster.node.events import Events
from longshore.cluster.node.images.install import Images
from longshore.cluster.node.launcher import launcher
from longshore.cluster.node.machine import Machine
from longshore.cluster.node.model import NODE_PODS
from longshore.cluster.node.pods import Pods
from longshore.cluster.node.registration import Registration
from longshore.cluster.node.server import Server
from longshore.cluster.state import cache_home
from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.kube.reflector import Reflector
from longshore.kube.store import Store

_SYNC_SECONDS = 60.0
log = structlog.get_logger()


class Options(Struct, frozen=True):
    """What `python -m longshore.cluster.node` is told; see there."""

    kubeconfig: Path
    name: str
    root: Path
    port: int
    tls_cert: Path
    tls_key: Path
    client_ca: Path
    volumes: Path
    provisioner_kubeconfig: Path
    address: str = "127.0.0.1"
    cpu_factor: int = 8
    sandbox: powers.Choice = "auto"


async def run(options: Options, stop: asyncio.Event) -> None:
    """Be a node until `stop` is set; then end all pods. Cancelled, it leaves them running for the next one."""
    config = Config.load(options.kubeconfig)
    options.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    async with (
        Client(config, user_agent="longshore-node") as client,
        Client(Config.load(options.provisioner_kubeconfig), user_agent="longshore-provisioner") as maker,
        _machine(options, config, client) as made,
    ):
        store = Store(NODE_PODS)
        reflector = Reflector(client, store, field_selector=f"spec.nodeName={options.name}")
        registration = Registration(made, options.port)
        provisioner = Provisioner(maker, options.name, made.volumes)
        pods = Pods(made, store)
        server = Server(made, store, is_ready=lambda: registration.is_registered)
        runner = await server.start(options.port, options.tls_cert, options.tls_key, options.client_ca)
        try:
            async with asyncio.TaskGroup() as group:
                parts = (made.events, reflector, registration, provisioner)
                background = [group.create_task(part.run()) for part in parts]
                await store.wait_synced(_SYNC_SECONDS)
                working = group.create_task(pods.run())
                await stop.wait()
                log.info("node stops", pods=len(pods))
                pods.stop()
                await working
                for task in background:
                    task.cancel()
        finally:
            await runner.cleanup()
            if stop.is_set():
                await attempts.kill_leftovers(options.root)


@asynccontextmanager
async def _machine(options: Options, config: Config, client: Client) -> AsyncIterator[Machine]:
    root = options.root.resolve()
    disk.look(root).need_room()
    async with launcher() as started:
        yield Machine(
            name=options.name,
            root=root,
            volumes=options.volumes.resolve(),
            address=options.address,
            client=client,
            launcher=started,
            images=Images(cache_home() / "images"),
            events=Events(client, options.name),
            powers=await powers.probe(started, root, options.sandbox),
            capacity=machine.capacity(root, options.cpu_factor),
            variables=machine.variables(config.server),
            hide=machine.hidden(root),
        )
