"""All pods of this node: a worker for each that is not over, its address, its folder; and leftovers of earlier ones."""

from __future__ import annotations

import asyncio
import os
import random
import sys
import zlib
from collections.abc import Iterable
from pathlib import Path

import structlog

from longshore.cluster.node import attempts
from longshore.cluster.node.attempts import Owner
from longshore.cluster.node.fields import Place
from longshore.cluster.node.machine import Machine
from longshore.cluster.node.model import Pod
from longshore.cluster.node.worker import Worker, delete
from longshore.cluster.state import load, remove_tree
from longshore.errors import LongshoreError
from longshore.kube.store import Overflowed, Store

_STOP_SECONDS = 14.0
_RETRY_SECONDS = 10.0
log = structlog.get_logger()


class Pods:
    """`run` follows the store; `stop` ends every container and lets `run` return."""

    def __init__(self, machine: Machine, store: Store[Pod]) -> None:
        self._machine = machine
        self._store = store
        self._addresses = Addresses(machine.root, machine.address)
        self._workers: dict[str, Worker] = {}
        self._over: set[str] = set()
        self._works: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Once the store has synced: until `stop`, and then until all pods have ended, within 14 s."""
        await self._sweep()
        async with asyncio.TaskGroup() as group:
            self._group = group
            following = group.create_task(self._follow())
            await self._stopping.wait()
            following.cancel()
            for worker in self._workers.values():
                worker.stop()
            if self._works:
                _, late = await asyncio.wait(self._works, timeout=_STOP_SECONDS)
                for work in late:
                    log.warning("pod did not end in time", work=work.get_name())
                    work.cancel()

    def stop(self) -> None:
        self._stopping.set()

    def __len__(self) -> int:
        return len(self._workers)

    async def _follow(self) -> None:
        while True:
            try:
                async with self._store.subscribe() as changes:
                    for pod in changes.snapshot:
                        self._seen(pod)
                    there = {pod.metadata.uid for pod in changes.snapshot}
                    for uid in (self._workers.keys() | self._over) - there:
                        self._gone(uid)
                    while True:
                        for delta in await changes.next():
                            if delta.new is not None:
                                self._seen(delta.new)
                            elif delta.old is not None:
                                self._gone(delta.old.metadata.uid)
            except Overflowed:
                log.warning("fell behind the changes of pods, looking at all of them again")

    def _seen(self, pod: Pod) -> None:
        uid = pod.metadata.uid
        if worker := self._workers.get(uid):
            worker.update(pod)
        elif not (pod.is_over or uid in self._over):
            address = self._machine.address if pod.spec.host_network else self._addresses.of(uid)
            place = Place(address, self._machine.address, dict(self._machine.capacity))
            self._workers[uid] = Worker(self._machine, pod, place)
            work = self._group.create_task(self._work(pod, place), name=f"pod {uid}")
            self._works.add(work)
            work.add_done_callback(self._works.discard)
        elif pod.metadata.deletion_timestamp and pod.metadata.deletion_grace_period_seconds != 0:
            self._group.create_task(self._delete(pod))

    def _gone(self, uid: str) -> None:
        self._over.discard(uid)
        if worker := self._workers.get(uid):
            worker.vanish()
        else:
            self._group.create_task(self._clean(uid))

    async def _work(self, pod: Pod, place: Place) -> None:
        """Run the pod's worker, and another one should it fail: one odd pod must not end the node."""
        meta, failures = pod.metadata, 0
        while True:
            try:
                await self._workers[meta.uid].run()
                break
            except Exception as error:
                self._machine.events.warning(pod, "FailedSync", f"Error syncing pod: {error!r}")
                log.exception("worker failed", pod=f"{meta.namespace}/{meta.name}", failures=failures)
                failures += 1
                await asyncio.sleep(random.uniform(0, min(_RETRY_SECONDS, 0.1 * 2 ** min(failures, 10))))  # noqa: S311
                self._workers[meta.uid] = Worker(self._machine, self._latest(pod), place)
        del self._workers[meta.uid]
        self._addresses.release(meta.uid)
        latest = self._store.get(meta.name, meta.namespace)
        if latest and latest.metadata.uid == meta.uid:
            self._over.add(meta.uid)  # versions of before its end may still come
        else:
            await self._clean(meta.uid)

    def _latest(self, pod: Pod) -> Pod:
        latest = self._store.get(pod.metadata.name, pod.metadata.namespace)
        return latest if latest and latest.metadata.uid == pod.metadata.uid else pod

    async def _delete(self, pod: Pod) -> None:
        try:
            await delete(self._machine, pod)
        except LongshoreError as error:
            log.warning("pod not deleted", pod=pod.metadata.name, error=error.message)

    async def _clean(self, uid: str) -> None:
        try:
            await asyncio.to_thread(remove_tree, self._machine.pod_folder(uid))
        except OSError as error:  # something of it still writes: the next start of the node sweeps
            log.warning("pod's folder not removed", uid=uid, error=str(error))

    async def _sweep(self) -> None:
        """End and remove what belongs to pods that were deleted while no node ran."""
        known = {pod.metadata.uid for pod in self._store.list()}
        for folder in (self._machine.root / "pods").glob("*"):
            if folder.name not in known:
                await attempts.kill_pod(folder)
                await self._clean(folder.name)


class Addresses:
    """An address of 127/8 for each pod, so that servers that bind it do not collide (Linux; elsewhere the node's)."""

    def __init__(self, root: Path, fallback: str) -> None:
        self._root = root
        self._fallback = fallback
        network = zlib.crc32(os.fsencode(root))
        self._network = f"127.{64 + network % 128}.{network // 128 % 256}"
        self._taken: dict[str, str] = {}

    def of(self, uid: str) -> str:
        """The pod's address; the one it had, if it is known here already."""
        if sys.platform != "linux":
            return self._fallback
        if uid not in self._taken:
            owner = load(self._root / "pods" / uid / "pod.json", Owner)
            self._taken[uid] = owner.pod_ip if owner else self._free(self._taken.values())
        return self._taken[uid]

    def release(self, uid: str) -> None:
        self._taken.pop(uid, None)

    def _free(self, taken: Iterable[str]) -> str:
        used = set(taken)
        free = (f"{self._network}.{last}" for last in range(1, 255))
        return next((address for address in free if address not in used), f"{self._network}.255")
