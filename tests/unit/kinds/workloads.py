"""Jobs and pods of tenant a, with what a test says of them, and the parts of a replica that has no cluster to ask."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from longshore.kinds.jobs import model
from longshore.kinds.jobs.request import JobRequest
from longshore.kinds.kind import Services, Stores
from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.kube.objects import (
    Condition,
    ContainerState,
    ContainerStateTerminated,
    ContainerStateWaiting,
    ContainerStatus,
    Job,
    JobSpec,
    JobStatus,
    ObjectMeta,
    Pod,
    PodStatus,
)
from longshore.runtime.bus import Bus
from longshore.services import empty_stores, open_archive
from longshore.settings import Settings

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def job(
    *conditions: Condition,
    name: str = "j1",
    uid: str = "u1",
    tenant: str = "a",
    version: str = "1",
    created: datetime | None = None,
    request: JobRequest | None = None,
    annotations: dict[str, str] | None = None,
    finalizers: tuple[str, ...] = (model.FINALIZER,),
    suspend: bool = False,
    started: datetime | None = None,
    failed: int = 0,
) -> Job:
    asked = {} if request is None else {model.ANNOTATION_SPEC: msgspec.json.encode(request).decode()}
    meta = ObjectMeta(
        name=name,
        namespace=f"tenant-{tenant}",
        uid=uid,
        resource_version=version,
        creation_timestamp=created,
        labels={model.LABEL_KIND: "job", model.LABEL_TENANT: tenant},
        annotations={**asked, **(annotations or {})},
        finalizers=finalizers,
    )
    return Job(meta, JobSpec(suspend=suspend), JobStatus(conditions=conditions, failed=failed, start_time=started))


def pod(
    phase: str,
    *statuses: ContainerStatus,
    age: float = 0,
    conditions: tuple[Condition, ...] = (),
    reason: str = "",
    message: str = "",
) -> Pod:
    """Of an attempt that began so many seconds before T0."""
    meta = ObjectMeta(name=f"p{age:g}", namespace="tenant-a", creation_timestamp=at(-age))
    return Pod(meta, status=PodStatus(phase, reason, message, conditions=conditions, container_statuses=statuses))


def ended(code: int, reason: str = "Error", message: str = "", signal: int = 0) -> ContainerStatus:
    end = ContainerStateTerminated(exit_code=code, reason=reason, message=message, signal=signal)
    return ContainerStatus("main", state=ContainerState(terminated=end))


def waits(reason: str, message: str = "") -> ContainerStatus:
    return ContainerStatus("main", state=ContainerState(waiting=ContainerStateWaiting(reason, message)))


def parts_of(archive: Path | Settings, now: Callable[[], datetime], stores: Stores | None = None) -> Services:
    """Over an archive in this folder; with nobody behind the client, and nobody is asked."""
    settings = archive if isinstance(archive, Settings) else Settings(archive=archive.as_uri())
    client = Client(Config("http://127.0.0.1:9"))
    return Services(settings, client, stores or empty_stores(), open_archive(settings.archive), Bus(), now)
