"""What the API answers, as frozen Structs.

A field that is not known here is passed over, so that an older client can read a newer server.
"""

from datetime import datetime
from typing import Final

from msgspec import Struct, field

FINAL: Final = frozenset({"Succeeded", "Failed", "Stopped"})

Summary = dict[str, float]
"""The outcome of a simulation by name, such as vehicles and mean_travel_time_s; the unit is the end of the name."""


class Limits(Struct, frozen=True, kw_only=True, gc=False):
    """What a tenant may use at once; cores and GiB."""

    cpu: float | None = None
    memory_gi: float | None = None
    concurrent_jobs: int | None = None
    queued_jobs: int | None = None
    objects: int | None = None
    pods: int | None = None
    gpu: int | None = None
    ephemeral_gi: float | None = None


class Use(Struct, frozen=True, kw_only=True, gc=False):
    """What a tenant uses now; cores and GiB of what is admitted, jobs by state."""

    cpu: float = 0
    memory_gi: float = 0
    running: int = 0
    queued: int = 0
    pods: int = 0
    gpu: int = 0
    ephemeral_gi: float = 0


class Tenant(Struct, frozen=True, kw_only=True):
    """A tenant; `ready` when its namespace and limits are in force, else `message` says what is missing."""

    id: str
    display_name: str | None = None
    namespace: str | None = None
    ready: bool = False
    message: str | None = None
    overflow: str | None = None
    retention_days: int | None = None
    limits: Limits = field(default_factory=Limits)
    use: Use = field(default_factory=Use)
    created: datetime | None = None
    resource_version: str | None = None


class Key(Struct, frozen=True, kw_only=True):
    """An API key without its secret."""

    id: str
    name: str | None = None
    tenant: str | None = None
    created: datetime | None = None
    expires: datetime | None = None
    last_used: datetime | None = None


class NewKey(Struct, frozen=True, kw_only=True):
    """A key that was just made; `key` is the secret and is never shown again."""

    id: str
    key: str
    name: str | None = None
    tenant: str | None = None
    created: datetime | None = None
    expires: datetime | None = None

    def __repr__(self) -> str:
        return f"NewKey(id={self.id!r}, tenant={self.tenant!r})"


class Caller(Struct, frozen=True, kw_only=True):
    """Who the server takes us for."""

    caller: str
    tenant: str | None = None
    admin: bool = False


class Progress(Struct, frozen=True, kw_only=True):
    """How far a running job says it is; `fraction` is 0..1 where it can be known."""

    fraction: float | None = None
    stage: str | None = None
    message: str | None = None
    values: dict[str, float] = {}
    at: datetime | None = None


class Eta(Struct, frozen=True, kw_only=True):
    """When a job may be expected to start, and what that is reckoned from."""

    at: datetime
    basis: str | None = None


class Why(Struct, frozen=True, kw_only=True):
    """Why a job is not running yet; once it runs or is over, what it waited for.

    `ahead` is how many jobs start before it, `queued` and `pending` the seconds it waited for its turn and its pod,
    `until` when it is ended if it does not run by then.
    """

    reason: str | None = None
    sentence: str | None = None
    since: datetime | None = None
    ahead: int | None = None
    eta: Eta | None = None
    queued: float | None = None
    pending: float | None = None
    until: datetime | None = None


class Outputs(Struct, frozen=True, kw_only=True):
    """Whether every wanted file was kept: complete, partial or missing, and why."""

    state: str
    why: str | None = None


class IndexFailure(Struct, frozen=True, kw_only=True, gc=False):
    """What an index died of, after so many attempts."""

    index: int
    attempts: int | None = None
    exit_code: int | None = None
    reason: str | None = None
    message: str | None = None


class IndexCounts(Struct, frozen=True, kw_only=True, gc=False):
    """How many indexes have ended well, have failed for good, and run."""

    succeeded: int = 0
    failed: int = 0
    running: int = 0


class Indexes(Struct, frozen=True, kw_only=True):
    """Of a job that runs more than once; `succeeded`, `failed` and `running` are indexes, as "0-3,7".

    `failures` has 100 at most; `counts` is None in records that an earlier version archived. `own_logs`: each index has
    a log of its own, which jobs of earlier versions have not.
    """

    completions: int
    parallelism: int | None = None
    succeeded: str = ""
    failed: str = ""
    running: str = ""
    failures: list[IndexFailure] = []
    counts: IndexCounts | None = None
    own_logs: bool = False


class Job(Struct, frozen=True, kw_only=True):
    """One piece of work of any kind: the record that every kind shares."""

    id: str
    status: str
    kind: str = "job"
    tenant: str | None = None
    namespace: str | None = None
    name: str | None = None
    reason: str | None = None
    message: str | None = None
    created: datetime | None = None
    started: datetime | None = None
    finished: datetime | None = None
    image: str | None = None
    command: list[str] = []
    args: list[str] = []
    tags: dict[str, str] = {}
    resources: dict[str, str | float | None] = {}
    indexes: Indexes | None = None
    exit_code: int | None = None
    attempts: int | None = None
    progress: Progress | None = None
    why: Why | None = None
    outputs: Outputs | None = None
    log_tail: str | None = None
    archived: bool = False
    links: dict[str, str] = {}
    resource_version: str | None = None
    hint: str | None = None

    @property
    def final(self) -> bool:
        """True when the status will not change any more."""
        return self.status in FINAL


class Refusal(Struct, frozen=True, kw_only=True):
    """How a submission would be answered: an HTTP status, and what a problem document says."""

    status: int
    detail: str
    hint: str | None = None
    field: str | None = None


class Placement(Struct, frozen=True, kw_only=True):
    """How many nodes would take the pod now, and if they were empty; `refused` counts what is in the way."""

    nodes: int = 0
    fit_now: int = 0
    fit_empty: int = 0
    refused: dict[str, int] = {}
    never: dict[str, int] = {}
    unchecked: list[str] = []


class Plan(Struct, frozen=True, kw_only=True):
    """What would become of a submission: `would` is start, wait, never, refuse, or same (job `id` is there already).

    `ahead`: how many jobs would start before it. `unchecked`: what was not looked at.
    """

    would: str
    sentence: str
    id: str | None = None
    admitted: bool | None = None
    ahead: int | None = None
    eta: Eta | None = None
    refusal: Refusal | None = None
    placement: Placement | None = None
    unchecked: list[str] = []


class Event(Struct, frozen=True, kw_only=True):
    """Something that happened to a job; `count` where it came again and again."""

    at: datetime | None = None
    type: str | None = None
    reason: str | None = None
    message: str | None = None
    source: str | None = None
    count: int | None = None


class Events(Struct, frozen=True):
    """What happened to one job."""

    items: list[Event]


class ArchiveAway(Struct, frozen=True, kw_only=True):
    """The server's archive does not answer, so that what it alone has is not in the list."""

    since: datetime
    available: bool = False
    hint: str | None = None


class ArchiveDamaged(Struct, frozen=True, kw_only=True):
    """Files of the archive's list cannot be read, so that up to so many `entries` are missing about here."""

    files: int
    entries: int
    hint: str | None = None


class Page(Struct, frozen=True, kw_only=True):
    """A page of jobs, newest first; `cursor` asks for the next one. `age_seconds`: how old the server's view is.

    `archive` is there only while the archive is away: then what is in the cluster comes first, and its last page's
    `cursor` asks for what is archived, which raises Unavailable until the archive is back. `damaged` is there only
    where a part of the archive's list cannot be read.
    """

    items: list[Job]
    cursor: str | None = None
    archive: ArchiveAway | None = None
    damaged: ArchiveDamaged | None = None
    resource_version: str | None = None
    age_seconds: float | None = None


class Artifact(Struct, frozen=True, kw_only=True):
    """A file that a job keeps; `size` in bytes."""

    name: str
    size: int | None = None
    sha256: str | None = None
    url: str | None = None


class ArtifactList(Struct, frozen=True, kw_only=True):
    """The files of one job."""

    items: list[Artifact]
