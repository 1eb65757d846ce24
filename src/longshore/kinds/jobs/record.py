"""The record of a job: the fields that callers see and the archive keeps, the same for life; pure, filled by `view`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import Struct

from longshore.kinds.jobs.model import JobRequest, Status


class ResourcesView(Struct, frozen=True):
    cpu: str
    memory: str
    gpu: int = 0
    gpu_type: str = ""
    ephemeral: str = ""


class IndexFailureView(Struct, frozen=True, gc=False):
    """What an index died of, after so many attempts; `reason` and `message` as a job's."""

    index: int
    attempts: int
    exit_code: int | None = None
    reason: str = ""
    message: str = ""


class IndexCountsView(Struct, frozen=True, gc=False):
    """How many indexes have ended well, have failed for good, and have a running pod."""

    succeeded: int
    failed: int
    running: int


class IndexesView(Struct, frozen=True):
    """Of a job that runs more than once: how often, how many at a time, and which indexes have ended, as "0-3,7".

    `failures` tells of the failed ones, the lowest 100 of those whose pods are known. `running` are those with a
    running pod; records of before it was told have no `counts`. `own_logs`: each index has a log of its own, which
    jobs that an earlier version made have not.
    """

    completions: int
    parallelism: int
    succeeded: str = ""
    failed: str = ""
    failures: tuple[IndexFailureView, ...] = ()
    running: str = ""
    counts: IndexCountsView | None = None
    own_logs: bool = False


class OutputsView(Struct, frozen=True):
    """Whether what the job made was kept: complete, partial or missing, and why not complete."""

    state: str
    why: str | None = None


class EtaView(Struct, frozen=True):
    """When a job may be expected to start, and what that is reckoned from."""

    at: datetime
    basis: str


class WhyView(Struct, frozen=True):
    """Why a job is not running yet, in one sentence; once it runs or is over, what it waited for (`jobs.waiting.why`).

    `since` is when this cause began, `ahead` how many jobs start before it, `queued` and `pending` the seconds that it
    waited for its turn and then for its pod. `until` is when it is ended if it does not run by then.
    """

    reason: str
    sentence: str
    since: datetime | None = None
    ahead: int | None = None
    eta: EtaView | None = None
    queued: float | None = None
    pending: float | None = None
    until: datetime | None = None


class LogView(Struct, frozen=True):
    """What was kept of the log: whether all of it, why not, and the bytes of each stream (attempt and container)."""

    complete: bool
    why: str | None = None
    streams: dict[str, int] = {}


class EventView(Struct, frozen=True, gc=False):
    """Something that happened to a job: `type` is Normal or Warning, `source` the job or one of its pods, `count` how
    often it came, last `at`."""

    at: datetime
    type: str
    reason: str
    message: str
    source: str
    count: int = 1


class ArtifactView(Struct, frozen=True, gc=False):
    """A file that a job gave out: bytes, and the hex digest of its content."""

    name: str
    size: int
    sha256: str


class JobRecord(Struct, frozen=True, kw_only=True):
    """One work item. Times are RFC 3339 in UTC; `archived` says whether the Kubernetes object may be gone.

    `foreign` is what others made in the tenant's namespace: its id is {tenant}/{kind}/{name}, and it is not archived.
    """

    schema: int = 1
    id: str
    uid: str
    kind: str
    tenant: str
    name: str
    namespace: str
    status: Status
    reason: str
    message: str
    hint: str | None = None
    created: datetime
    started: datetime | None = None
    finished: datetime | None = None
    image: str
    command: tuple[str, ...]
    args: tuple[str, ...] = ()
    resources: ResourcesView
    priority: str = ""
    indexes: IndexesView | None = None
    tags: dict[str, str] = {}
    exit_code: int | None = None
    attempts: int = 0
    progress: dict[str, Any] | None = None
    why: WhyView | None = None
    outputs: OutputsView | None = None
    log_tail: str | None = None
    log: LogView | None = None
    artifacts: tuple[ArtifactView, ...] = ()
    events: tuple[EventView, ...] = ()
    rerun_of: str = ""
    foreign: bool = False
    archived: bool = False
    links: dict[str, str] = {}
    resource_version: str = ""
    request: JobRequest | None = None
