"""Gives claims of the class `local-folder` a folder, and takes it back: a loop in the process of a node.

Every node of a cluster starts one, and the one that holds a lock file works, because all share one file system: when
its process dies, another takes over. It logs in as itself, since the Node authoriser lets no node make volumes.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import structlog

from longshore.cluster.locks import locked
from longshore.cluster.node.claims import folders
from longshore.cluster.node.claims.model import CLAIMS, CLASSES, VOLUMES, Claim, Volume
from longshore.cluster.node.claims.plan import (
    FINALIZER,
    PROVISIONER,
    Action,
    Provision,
    folder_name,
    plan,
    volume,
)
from longshore.cluster.node.disk import refusals
from longshore.cluster.node.events import Events
from longshore.cluster.node.knowledge import now, trouble
from longshore.cluster.node.world import Trouble
from longshore.cluster.state import remove_tree
from longshore.errors import Conflict, LongshoreError, NotFound, UserMistake
from longshore.kube.client import Client
from longshore.kube.objects import Object, Patch
from longshore.kube.reflector import Reflector
from longshore.kube.store import Overflowed, Store

_LOOK_SECONDS = 1.0  # whether the node that works is gone
_FIRST_RETRY_SECONDS = 1.0
_AT_ONCE = 16
T = TypeVar("T", bound=Object)
log = structlog.get_logger()


class Provisioner:
    """`root` is the folder of all volumes of the cluster; `run` lives as long as the node."""

    def __init__(self, client: Client, node: str, root: Path) -> None:
        self._client = client
        self._root = root
        self._events = Events(client, node, PROVISIONER)

    async def run(self) -> None:
        lock = self._root.with_name(f".{self._root.name}.lock")
        while True:
            try:
                async with locked(lock, deadline=math.inf, waiting=lambda: None, every=_LOOK_SECONDS):
                    log.info("provisions volumes", folder=str(self._root))
                    await self._work()
            except OSError as error:  # no disk for a lock file
                log.warning("provisions no volumes", error=str(error))
                await asyncio.sleep(_LOOK_SECONDS)

    async def _work(self) -> None:
        self._claims, self._volumes = Store(CLAIMS), Store(VOLUMES)
        self._changed = asyncio.Event()
        self._busy: set[str] = set()
        self._troubles: dict[str, Trouble] = {}
        self._slots = asyncio.Semaphore(_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._events.run())
            group.create_task(Reflector(self._client, self._claims).run())
            group.create_task(Reflector(self._client, self._volumes).run())
            await self._claims.wait_synced(math.inf)
            await self._volumes.wait_synced(math.inf)
            group.create_task(self._follow(self._claims))
            group.create_task(self._follow(self._volumes))
            while True:
                for action in self._plan():
                    self._busy.add(action.uid)
                    group.create_task(self._do(action))
                await self._wait()

    async def _follow(self, store: Store[T]) -> None:
        while True:
            try:
                async with store.subscribe() as changes:
                    while True:
                        self._changed.set()
                        await changes.next()
            except Overflowed:
                log.warning("fell behind the changes, looking at all of them again", what=store.resource.plural)

    def _plan(self) -> list[Action]:
        self._changed.clear()
        claims, volumes, time = self._claims.list(), self._volumes.list(), now()
        known = {obj.metadata.uid for obj in (*claims, *volumes)}
        self._troubles = {uid: trouble for uid, trouble in self._troubles.items() if uid in known}
        in_vain = {uid for uid, trouble in self._troubles.items() if trouble.retry_at > time}
        return list(plan(claims, volumes, self._busy | in_vain))

    async def _wait(self) -> None:
        time = now()
        retries = [trouble.retry_at for trouble in self._troubles.values() if trouble.retry_at > time]
        seconds = (min(retries) - time).total_seconds() if retries else None
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    async def _do(self, action: Action) -> None:
        """Do it, or say why not and leave the object alone for a while."""
        try:
            async with self._slots:
                with refusals(self._root):
                    await self._act(action)
            self._troubles.pop(action.uid, None)
        except (NotFound, Conflict) as error:  # it is no longer what it was, and will soon be seen as it is
            self._rest(action, error.message)
        except LongshoreError as error:
            self._tell(action, error.message)
            self._rest(action, error.message)
        except Exception as error:  # one odd object must not end the node
            log.exception("volume not seen to", object=action.uid)
            self._rest(action, repr(error))
        finally:
            self._busy.discard(action.uid)
            self._changed.set()

    def _rest(self, action: Action, why: str) -> None:
        before = self._troubles.get(action.uid)
        self._troubles[action.uid] = trouble(before, type(action).__name__, why, _FIRST_RETRY_SECONDS)

    def _tell(self, action: Action, why: str) -> None:
        if isinstance(action, Provision):
            self._events.about(CLAIMS, action.claim, "Warning", "ProvisioningFailed", why)
        else:
            self._events.about(VOLUMES, action.volume, "Warning", "VolumeFailedDelete", why)

    async def _act(self, action: Action) -> None:
        if isinstance(action, Provision):
            await self._provision(action.claim)
        else:
            await self._reclaim(action.volume)

    async def _provision(self, claim: Claim) -> None:
        try:
            storage_class = await self._client.get(CLASSES, claim.spec.storage_class_name)
        except NotFound as error:
            raise UserMistake(f"StorageClass {claim.spec.storage_class_name} is gone") from error
        folder = self._root / folder_name(claim)
        body = volume(claim, storage_class, folder)
        await asyncio.to_thread(folders.make, folder)
        made = await self._client.create(VOLUMES, body)
        told = f"Successfully provisioned volume {made.metadata.name}"
        self._events.about(CLAIMS, claim, "Normal", "ProvisioningSucceeded", told)
        await self._volumes.wait_for(made.metadata.resource_version)

    async def _reclaim(self, volume: Volume) -> None:
        """The object is told to go before its folder does, so that nobody can bind it any more."""
        meta = volume.metadata
        if meta.deletion_timestamp is None:
            await self._client.delete(VOLUMES, meta.name, uid=meta.uid, resource_version=meta.resource_version)
        if volume.spec.persistent_volume_reclaim_policy == "Delete":
            await asyncio.to_thread(self._remove, volume)
        body = {"metadata": {"uid": meta.uid, "$deleteFromPrimitiveList/finalizers": [FINALIZER]}}
        after = await self._client.patch(VOLUMES, meta.name, body, type=Patch.STRATEGIC)
        await self._volumes.wait_for(after.metadata.resource_version)

    def _remove(self, volume: Volume) -> None:
        folder = folders.within(self._root, Path(volume.spec.path))
        if folder is None:
            raise UserMistake(f"{volume.spec.path} is no folder of {self._root} and stays", hint="remove the finalizer")
        remove_tree(folder)
