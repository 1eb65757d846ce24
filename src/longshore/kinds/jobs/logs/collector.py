"""Follows the log of every running container of every job into the archive, so that a log never goes with its pod.

Runs in every replica of `control`: the jobs are shared out over those that live (`runtime.replicas`), and when one dies
its jobs fall to the others, which go on where the archive ends. Two that follow the same log do no harm
(`archive.logs`). `collecting` is one log; `live` asks for its tail, by the relay, under the name "log".
"""

from __future__ import annotations

import asyncio
from asyncio import FIRST_COMPLETED
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing, suppress
from datetime import timedelta

import structlog
from prometheus_client import Counter, Gauge

from longshore import __version__
from longshore.archive.spool import Key, Spool
from longshore.errors import NotFound
from longshore.kinds.jobs import model
from longshore.kinds.jobs.logs.collecting import MOST_UPLOADS, Collecting
from longshore.kinds.jobs.logs.containers import has_log, status_of, statuses
from longshore.kinds.jobs.logs.inflow import Store
from longshore.kinds.jobs.logs.live import NAME, encode
from longshore.kinds.jobs.logs.source import Fate, Left, Source
from longshore.kinds.kind import Services
from longshore.kube.client import Client
from longshore.kube.objects import Job, Pod
from longshore.kube.store import Overflowed
from longshore.runtime.clock import boottime
from longshore.runtime.controller import plain

# a kubelet that does not answer is waited for this long after the job's end; then its log is a named gap
KUBELET_PATIENCE = timedelta(minutes=2)
# all pods are looked at so often, whatever was heard: what was handed over may have come back before it was done here
LOOK_SECONDS = 5.0
FLUSH_SECONDS = 6.0  # at a clean end, for what is not in the archive yet
log = structlog.get_logger(__name__)

GAPS = Counter("longshore_log_gaps", "Gaps that had to be named in logs.")
FOLLOWED = Gauge("longshore_log_followed", "Logs that this replica follows.")
LAG = Gauge("longshore_log_lag_seconds", "Age of the oldest part of a log that the archive does not have.")
SPOOL = Gauge("longshore_log_spool_bytes", "Bytes of logs that wait on this machine's disk for the archive.")


class Collector:
    """One `Collecting` per container that has a log and whose job is ours, until it is over and kept."""

    def __init__(self, parts: Services) -> None:
        self._parts = parts
        self._following: dict[Key, Collecting] = {}
        self._done: dict[Key, str] = {}  # what is over, and the uid of its job
        self._parted: set[Key] = set()
        self._noted = 0  # up to which change of the pods' store
        self._noting = asyncio.Event()  # more was noted
        self._tasks: dict[Key, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Until cancelled; then what came already is put into the archive where that goes quickly."""
        parts = self._parts
        folder, limit = parts.settings.log_spool, parts.settings.log_spool_mb << 20
        # a connector of its own: each log holds a connection for as long as its container runs
        client = Client(parts.client.config, user_agent=f"longshore/{__version__}", max_connections=0)
        with Spool(folder, limit) as spool:
            async with client, asyncio.TaskGroup() as tasks:
                self._show(spool)
                store = Store(parts.archive.logs, spool, asyncio.Semaphore(MOST_UPLOADS), boottime, GAPS.inc)
                parts.relay.offer(NAME, self._offer)
                try:
                    await self._share(tasks, client, store)
                finally:
                    await self._flush()
                    for task in self._tasks.values():
                        task.cancel()

    def _show(self, spool: Spool) -> None:
        FOLLOWED.set_function(lambda: len(self._following))
        SPOOL.set_function(lambda: spool.bytes)
        LAG.set_function(self._lag)

    def _lag(self) -> float:
        oldest = [at for one in list(self._following.values()) if (at := one.oldest) is not None]
        return boottime() - min(oldest) if oldest else 0.0

    async def _share(self, tasks: asyncio.TaskGroup, client: Client, store: Store) -> None:
        replicas, pods, clock = self._parts.replicas, self._parts.stores.pods, asyncio.get_running_loop().time
        while True:
            async with pods.subscribe() as changes:
                seen, looked = replicas.generation, clock()
                self._have_noted(changes.seq)
                self._look(tasks, client, store, changes.snapshot)
                self._adopt_orphans(tasks, store)
                with suppress(Overflowed):
                    while True:
                        moved = asyncio.ensure_future(replicas.changed(seen))
                        coming = asyncio.ensure_future(changes.next())
                        try:
                            await asyncio.wait({moved, coming}, timeout=LOOK_SECONDS, return_when=FIRST_COMPLETED)
                            if coming.done():
                                deltas = coming.result()
                                self._note(pod for d in deltas for pod in (d.old, d.last, d.new) if pod is not None)
                                self._have_noted(changes.seq)
                                self._look(tasks, client, store, [d.new for d in deltas if d.new is not None])
                            if moved.done() or clock() - looked >= LOOK_SECONDS:
                                seen, looked = replicas.generation, clock()
                                self._let_go()
                                self._look(tasks, client, store, pods.list())
                                self._adopt_orphans(tasks, store)
                        finally:
                            moved.cancel()
                            coming.cancel()

    def _is_ours(self, uid: str) -> bool:
        owner = self._parts.replicas.owner(uid)
        return owner is not None and owner.name == self._parts.replicas.me

    def _look(self, tasks: asyncio.TaskGroup, client: Client, store: Store, pods: Iterable[Pod]) -> None:
        for pod in pods:
            job = self._job_of(pod)
            if job is None or model.is_released(job) or not self._is_ours(job.metadata.uid):
                continue
            for status in statuses(pod):
                key = Key(model.tenant_of(pod), job.metadata.name, model.stream_of(pod, status.name))
                if key in self._following or key in self._done or not has_log(pod, status.name):
                    continue
                self._start(
                    tasks, Collecting(key, self._source(client, key, pod, status.name), store), job.metadata.uid
                )
                self._note([pod])
        self._forget()

    def _note(self, pods: Iterable[Pod]) -> None:
        """Remember of which containers the end was seen: after their pod is gone nobody can ask."""
        for pod in pods:
            for status in statuses(pod):
                id = pod.metadata.labels.get(model.LABEL_JOB_NAME, "")
                key = Key(model.tenant_of(pod), id, model.stream_of(pod, status.name))
                if (one := self._following.get(key)) is not None and status.state.terminated:
                    self._parted.add(key)
                    one.hurry()

    def _have_noted(self, seq: int) -> None:
        self._noted = seq
        self._noting.set()
        self._noting = asyncio.Event()

    def _job_of(self, pod: Pod) -> Job | None:
        id = pod.metadata.labels.get(model.LABEL_JOB_NAME, "")
        job = self._parts.stores.jobs.get(id, pod.metadata.namespace)
        if job is None or not model.tenant_of(job) or model.owner_uid(pod) != job.metadata.uid:
            return None
        return job

    def _forget(self) -> None:
        """Of what is over only what might be begun again needs to be remembered."""
        if len(self._done) > 2 * len(self._parts.stores.pods) + 100:
            there = {uid for pod in self._parts.stores.pods.list() if (uid := model.owner_uid(pod))}
            self._done = {key: uid for key, uid in self._done.items() if uid in there}

    def _adopt_orphans(self, tasks: asyncio.TaskGroup, store: Store) -> None:
        """What killed processes left of logs that are not followed here."""
        if not (self._parts.stores.jobs.synced and self._parts.stores.pods.synced):
            return  # what has become of their jobs is not known yet
        for key in store.spool.orphans:
            if key not in self._following:
                self._start(tasks, Collecting(key, self._left(key), store), "")

    def _left(self, key: Key) -> Left:
        stores = self._parts.stores

        def job() -> Job | None:
            return next((j for j in stores.jobs.by("id", key.id) if model.tenant_of(j) == key.tenant), None)

        def outlived() -> bool:
            there = job()
            pods = stores.pods.by("job", there.metadata.uid) if there is not None else []
            return any(model.stream_of(pod, model.container_of(key.stream)) > key.stream for pod in pods)

        def forsaken() -> bool:
            there = job()
            return there is None or model.is_released(there)

        return Left(outlived, forsaken)

    def _start(self, tasks: asyncio.TaskGroup, one: Collecting, uid: str) -> None:
        async def run() -> None:
            try:
                await one.run()
            except Exception as error:  # one log's trouble is no other's, nor the controllers': it is begun again soon
                told = log.bind(job=one.key.id, stream=one.key.stream)
                told.error("a log broke off here", traceback=plain(error))
            finally:
                del self._following[one.key]
                del self._tasks[one.key]
                self._parted.discard(one.key)
            if one.ended is not None:
                self._done[one.key] = uid
                self._parts.bus.publish(ended_topic(one.key.id), one.key.stream)

        self._following[one.key] = one
        self._tasks[one.key] = tasks.create_task(run())

    def _let_go(self) -> None:
        """What has fallen to another replica is read there."""
        for key, one in self._following.items():
            job = next(iter(self._parts.stores.jobs.by("id", key.id)), None)
            if job is not None and not self._is_ours(job.metadata.uid):
                one.release()

    def _source(self, client: Client, key: Key, pod: Pod, container: str) -> Source:
        meta = pod.metadata

        def fate() -> Fate:
            return fate_of(self._parts, pod, container)

        def running() -> str:
            now = self._parts.stores.pods.get(meta.name, meta.namespace)
            status = status_of(now, container) if now is not None else None
            return status.container_id if status is not None and status.state.running is not None else ""

        async def parted() -> bool:
            said = self._parts.stores.pods.seq
            while key not in self._parted and self._noted < said:
                await self._noting.wait()
            return key in self._parted

        return Source(client, meta.name, meta.namespace, container, fate, running, parted)

    async def _flush(self) -> None:
        for one in self._following.values():
            one.release()
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=FLUSH_SECONDS)

    async def _offer(self, params: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
        key = Key(params["tenant"], params["id"], params["stream"])
        one = self._following.get(key)
        if one is None:
            raise NotFound("this replica does not follow this log")
        async with aclosing(one.tail(int(params["offset"]), follow=params.get("follow") == "true")) as said:
            async for each in said:
                yield encode(each)


def fate_of(parts: Services, pod: Pod, container: str) -> Fate:
    """What has become of a container, as far as the store knows; a pod that is gone has ended."""
    now = parts.stores.pods.get(pod.metadata.name, pod.metadata.namespace)
    if now is None or now.metadata.uid != pod.metadata.uid:
        return Fate.GONE
    job = parts.stores.jobs.get(pod.metadata.labels.get(model.LABEL_JOB_NAME, ""), pod.metadata.namespace)
    if job is None or (model.is_over(job) and parts.now() - model.ended_at(job, parts.now()) > KUBELET_PATIENCE):
        return Fate.GIVEN_UP
    status = status_of(now, container)
    if status is None or status.state.terminated is not None or now.status.phase in ("Succeeded", "Failed"):
        return Fate.ENDED
    return Fate.RUNS


def ended_topic(id: str) -> str:
    """Of the bus: a log of this job is over and kept."""
    return f"log-ended/{id}"
