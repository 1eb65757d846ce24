"""Tells the hub of every job that changes: one subscription to each store, whoever and however many listen.

What changes in one turn of the loop is told once. A change is made into a record only if somebody wants it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, TypeVar

import structlog
from msgspec import Struct

from longshore.kinds.jobs import model
from longshore.kinds.jobs.find import live_record, progress_topic, tenant_id
from longshore.kinds.jobs.history import Versions
from longshore.kinds.jobs.view import public_id
from longshore.kinds.kind import Services
from longshore.kube.objects import Event, Job, Object, Pod
from longshore.kube.store import Overflowed, Store, sortable, version_of
from longshore.web.stream.hub import Hub, News
from longshore.web.stream.messages import message
from longshore.web.stream.ring import Mark

T = TypeVar("T", bound=Object)
BOUND = 100_000  # jobs or pods that may change in one turn of the loop
EVERYTHING = "all"
log = structlog.get_logger(__name__)


class Subject(Struct, frozen=True):
    """What subscriptions choose a job by; none of it changes while the job lives, but `progress`: what the news is."""

    id: str
    uid: str
    object: str
    namespace: str
    kind: str
    name: str
    created: str
    tags: dict[str, str]
    archived: bool
    progress: bool = False


def topic_of(*, id: str | None = None, tenant: str | None = None, kind: str | None = None) -> str:
    """Where the hub has the changes of one job, a tenant's, a kind's, or all; of several the smallest."""
    if id is not None:
        return f"id/{id}"
    return f"tenant/{tenant}" if tenant is not None else f"kind/{kind}" if kind is not None else EVERYTHING


def known_of(versions: Iterable[int]) -> str:
    """The newest version of a Job and of a pod, as positions carry them."""
    return ".".join(map(str, versions))


async def caught_up(parts: Services, known: str) -> bool:
    """Return when this replica has seen what another one has told; False where the cluster's history was replaced.
    Raises Unavailable when that takes too long."""
    stores: tuple[Versions, ...] = (parts.stores.jobs, parts.stores.pods)
    for store, version in zip(stores, known.split("."), strict=False):
        is_one = version.isascii() and version.isdigit() and len(version) < 20
        if is_one and not await parts.history.reaches(store, version):
            return False
    return True


class Feed:
    """One per `serve`; `run` lives as long as the process."""

    def __init__(self, parts: Services) -> None:
        self._parts = parts
        self._waiting: dict[str, News] = {}
        self._newest = {parts.stores.jobs.resource.plural: 0, parts.stores.pods.resource.plural: 0}
        self.hub = Hub(self._view)

    async def run(self) -> None:
        """Until cancelled."""
        stores = self._parts.stores
        self._parts.bus.join(progress_topic(""), self)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._follow(stores.jobs, self._tell))
                tasks.create_task(self._follow(stores.pods, self._take_pod))
                for events in (stores.events, stores.scale_ups, stores.nominations):
                    tasks.create_task(self._follow(events, self._take_event))
        finally:
            self._parts.bus.leave(progress_topic(""), self)

    def offer(self, topic: str, _value: Any, /) -> None:
        """Called by the bus: a job said how far it is."""
        for job in self._parts.stores.jobs.by("id", topic.removeprefix(progress_topic(""))):
            self._tell(job, progress=True)

    async def _follow(self, store: Store[T], take: Callable[[T], None]) -> None:
        before = False
        while True:
            async with store.subscribe(bound=BOUND) as changes:
                self._know(store, store.list())
                if before:
                    log.warning("the stream of changes fell behind; its clients begin anew", of=store.resource.plural)
                    self.hub.restart()
                before = True
                with suppress(Overflowed):
                    while True:
                        for delta in await changes.next():
                            obj = delta.new if delta.new is not None else delta.old
                            if obj is not None:
                                self._know(store, (obj,))
                                take(obj)

    def _know(self, store: Store[T], objects: Iterable[T]) -> None:
        """How far what was told goes; bookmarks do not count, which no two replicas get alike. No further than the
        store: when a backup of the cluster was put back, nobody could ever see what was before."""
        plural = store.resource.plural
        if plural in self._newest:
            self._newest[plural] = min(store.version, max([self._newest[plural], *map(version_of, objects)]))
            self.hub.known = known_of(self._newest.values())

    def _take_event(self, event: Event) -> None:
        """What a job waits for may be told by an Event alone: about it, or about a pod of it."""
        about = event.involved_object
        if about.kind == "Pod" and (pod := self._parts.stores.pods.get(about.name, about.namespace)) is not None:
            self._take_pod(pod)
        elif about.kind == "Job" and (job := self._parts.stores.jobs.get(about.name, about.namespace)) is not None:
            self._tell(job)

    def _take_pod(self, pod: Pod) -> None:
        job = self._parts.stores.jobs.get(pod.metadata.labels.get(model.LABEL_JOB_NAME, ""), pod.metadata.namespace)
        if job is not None and any(owner.uid == job.metadata.uid for owner in pod.metadata.owner_references):
            self._tell(job)

    def _tell(self, job: Job, *, progress: bool = False) -> None:
        tenant = self._tenant_of(job)
        if tenant is None:
            return
        subject = subject_of(job, tenant_id(self._parts, tenant), progress=progress)
        key = f"progress/{subject.uid}" if progress else subject.uid
        topics = (
            topic_of(id=subject.id),
            topic_of(tenant=tenant),
            topic_of(kind=subject.kind),
            EVERYTHING,
        )
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._publish)
        self._waiting[key] = News(key, tenant, topics, subject)

    def _tenant_of(self, job: Job) -> str | None:
        """None for what is in nobody's list: of a namespace that only looks like a tenant's."""
        if own := model.tenant_of(job):
            return own
        other = model.foreign_tenant(job)
        return other if other and self._parts.stores.tenants.get(other) is not None else None

    def _publish(self) -> None:
        news, self._waiting = self._waiting, {}
        self.hub.publish(news.values())

    def _view(self, mark: Mark) -> bytes:
        subject: Subject = mark.facts
        if subject.progress:
            said = self._parts.bus.latest(progress_topic(subject.id))
            return message("progress", seq=mark.seq, id=subject.id, progress=said or {})
        job = self._parts.stores.jobs.get(subject.object, subject.namespace)
        if job is None or job.metadata.uid != subject.uid or model.is_hidden(job):
            return message("gone", seq=mark.seq, id=subject.id, uid=subject.uid, archived=subject.archived)
        return message("job", seq=mark.seq, known=self.hub.known, job=live_record(self._parts, job))


def subject_of(job: Job, tenant_id: str, *, progress: bool = False) -> Subject:
    request = model.request_of(job)
    own = bool(model.tenant_of(job))
    return Subject(
        id=public_id(job, tenant_id),
        uid=job.metadata.uid,
        object=job.metadata.name,
        namespace=job.metadata.namespace,
        kind=model.kind_of(job),
        name=request.name,
        created=sortable(job.metadata.creation_timestamp or model.EPOCH),
        tags=request.tags,
        archived=own and model.is_released(job) and not model.is_hidden(job),
        progress=progress,
    )
