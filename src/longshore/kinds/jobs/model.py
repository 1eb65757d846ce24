"""What a job is: the request as asked, its identity, its place in the cluster, and the words for the state it is in.

Every kind that runs as a batch/v1 Job shares this record; all of it is pure data, read by every other file here.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import msgspec
from msgspec import Struct

from longshore.kinds.jobs.request import Input as Input
from longshore.kinds.jobs.request import JobRequest as JobRequest
from longshore.kinds.jobs.request import Progress as Progress
from longshore.kinds.jobs.request import Resources as Resources
from longshore.kinds.tenants.model import MAX_PRIORITY, namespace_of, tenant_in
from longshore.kube.objects import Condition, Job, Pod

LABEL_KIND = "longshore.dev/kind"
LABEL_TENANT = "longshore.dev/tenant"
ANNOTATION_SPEC = "longshore.dev/spec"
# when it was accepted, to the microsecond: creationTimestamp has whole seconds only
ANNOTATION_ACCEPTED = "longshore.dev/accepted"
# when the key that its id is made of was first used; absent: nobody knows
ANNOTATION_KEY_MADE = "longshore.dev/key-made"
# a job that was made so soon after its key can be the only one of it: an earlier one would still be in the cluster,
# where what is over stays for a minute at the least (LONGSHORE_TTL_SECONDS)
KEY_FRESH = timedelta(seconds=30)
# what its priority counted when it was accepted; absent: 0
ANNOTATION_PRIORITY = "longshore.dev/priority"
# on a job that was deleted: DELETED or PURGED; nobody is shown it any more
ANNOTATION_HIDDEN = "longshore.dev/hidden"
DELETED = "deleted"
PURGED = "purged"
FINALIZER = "longshore.dev/archive"
ANNOTATION_MOUNTS = "longshore.dev/mounts"
"""On pods. "optional": where a process node can mount nothing, their variables and working directory are enough."""
LABEL_JOB_NAME = "batch.kubernetes.io/job-name"
LABEL_INDEX = "batch.kubernetes.io/job-completion-index"
ANNOTATION_LOG = "longshore.dev/log"
"""On Jobs and their pods. "by-index": the names of logs bear their index; those of jobs of before this never do."""
BY_INDEX = "by-index"
MAIN_CONTAINER = "main"
REASON_STOPPED = "Stopped"
REASON_SILENT = "HeartbeatLost"
MAX_SPEC_BYTES = 16 * 1024
MAX_OBJECT_BYTES = 100 * 1024
# the account that pods run as, and what the runner's containers add to each pod
SERVICE_ACCOUNT = "longshore-work"
RUNNER_CPU_MILLIS = 20
RUNNER_MEMORY_MI = 64
RUNNER_DISK_MI = 64  # its log; files are in the workspace, which is the pod's
# disk that a container may fill which says nothing; it asks for as much as the runner
DISK_GI = 10
# a pod that tolerates these would stay on nodes that are broken, or go to those that run the cluster itself
KEPT_TAINTS = (
    "node.kubernetes.io/",
    "node-role.kubernetes.io/",
    "node.cloudprovider.kubernetes.io/",
    "CriticalAddonsOnly",  # of pools for the cluster's own pods, and of nodes that an autoscaler empties
    "ToBeDeletedByClusterAutoscaler",
    "karpenter.sh/",
)
KEPT_LABELS = ("node-role.kubernetes.io/", "node-restriction.kubernetes.io/")
EPOCH = datetime.fromtimestamp(0, UTC)


class Status(StrEnum):
    """The states of a work item. Running -> Queued is legal (preemption); the last three are final."""

    QUEUED = "Queued"
    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    STOPPED = "Stopped"

    @property
    def final(self) -> bool:
        return self in (Status.SUCCEEDED, Status.FAILED, Status.STOPPED)


class State(Struct, frozen=True):
    """Where a job stands: `reason` is one CamelCase word, `message` one sentence for a person."""

    status: Status
    reason: str = ""
    message: str = ""


_request_decoder = msgspec.json.Decoder(JobRequest)


def job_id(letter: str, tenant: str, kind: str, idempotency_key: str | None) -> str:
    """Name of the Kubernetes object: the kind's letter and 26 base32 characters of sha256(tenant, kind, key).

    Unique across tenants and kinds, the same again for the same key; random where no key is given.
    """
    key = secrets.token_hex(16) if idempotency_key is None else idempotency_key
    digest = hashlib.sha256("\0".join((tenant, kind, key)).encode()).digest()
    return letter + base64.b32encode(digest).decode().lower()[:26]


def request_of(job: Job) -> JobRequest:
    """The request a Job was made from; a bare one in its stead when someone else damaged the annotation."""
    try:
        return _request_decoder.decode(job.metadata.annotations[ANNOTATION_SPEC])
    except (KeyError, msgspec.DecodeError):
        return JobRequest(name=job.metadata.name, image="")


def is_first(job: Job) -> bool:
    """Whether no job that is in the archive and gone from the cluster can have had this one's id."""
    made, created = job.metadata.annotations.get(ANNOTATION_KEY_MADE), job.metadata.creation_timestamp
    try:
        return made is not None and created is not None and abs(created - datetime.fromisoformat(made)) <= KEY_FRESH
    except (ValueError, TypeError):  # nothing that we wrote
        return False


def kind_of(job: Job) -> str:
    return job.metadata.labels.get(LABEL_KIND, "job")


def tenant_of(obj: Job | Pod) -> str:
    """Name of the Tenant object that a job or pod belongs to; "" where its label and its namespace do not agree, for
    anyone may write any label in a namespace of his own."""
    name = obj.metadata.labels.get(LABEL_TENANT, "")
    return name if name and obj.metadata.namespace == namespace_of(name) else ""


def own_tenant(job: Job) -> str | None:
    """Index of jobs by tenant; what only pretends to be ours is under none."""
    return tenant_of(job) or None


def foreign_tenant(job: Job) -> str:
    """Name of the Tenant object in whose namespace others made this Job; "" where it is ours or in no such."""
    return "" if tenant_of(job) else tenant_in(job.metadata.namespace)


def is_hidden(job: Job) -> bool:
    """Whether a caller deleted it; it is still there until it has ended and the archive has it."""
    return ANNOTATION_HIDDEN in job.metadata.annotations


def is_purged(job: Job) -> bool:
    """Whether nothing of it is to be kept."""
    return job.metadata.annotations.get(ANNOTATION_HIDDEN) == PURGED


def own_id(job: Job) -> str | None:
    """Index of jobs by id."""
    return job.metadata.name if tenant_of(job) else None


def owner_uid(pod: Pod) -> str | None:
    """Index of pods by the uid of the Job that controls them; a label would be anyone's to write."""
    owners = (o.uid for o in pod.metadata.owner_references if o.controller and o.kind == "Job")
    return next(owners, None) if tenant_of(pod) else None


def foreign_owner_uid(pod: Pod) -> str | None:
    """Index of other people's pods by the uid of the Job that controls them; compare the namespace too."""
    owners = (o.uid for o in pod.metadata.owner_references if o.controller and o.kind == "Job")
    return None if tenant_of(pod) else next(owners, None)


def condition(conditions: Iterable[Condition], type_: str) -> Condition | None:
    """The condition of that type if it is True."""
    return next((c for c in conditions if c.type == type_ and c.status == "True"), None)


def is_over(job: Job) -> bool:
    """A Job is over when its Complete or Failed condition says so, never because a pod failed.

    Source: Kubernetes API reference, batch/v1 JobStatus.
    """
    return any(condition(job.status.conditions, t) for t in ("Complete", "Failed"))


def is_released(job: Job) -> bool:
    """Whether its log and record are in the archive, so that the object may go."""
    return is_over(job) and FINALIZER not in job.metadata.finalizers and bool(tenant_of(job))


def ended_at(job: Job, now: datetime) -> datetime:
    """When the newest of its conditions came; `now` where none says."""
    return max((c.last_transition_time or now for c in job.status.conditions), default=now)


UNARCHIVED = "unarchived"


def unarchived(job: Job) -> str | None:
    """Index of the jobs that are over and still wait for the archive, all under one value."""
    waits = is_over(job) and FINALIZER in job.metadata.finalizers and tenant_of(job)
    return UNARCHIVED if waits else None


def stop_requested(job: Job) -> bool:
    """Whether the Job controller has been told to end it, or tells so itself (too late, too many failures)."""
    return condition(job.status.conditions, "FailureTarget") is not None


def waits(job: Job) -> bool:
    """Whether it is suspended and wants to start."""
    return (
        job.spec.suspend
        and LABEL_KIND in job.metadata.labels
        and job.metadata.deletion_timestamp is None
        and not is_over(job)
        and not stop_requested(job)
    )


def waiting(jobs: Iterable[Job]) -> list[Job]:
    """The suspended jobs that want to start, in the order in which they will."""
    return sorted((j for j in jobs if waits(j)), key=turn)


def turn(job: Job) -> str:
    """Sorts the jobs of a tenant as they start: first come, first served within priority, the highest first."""
    meta = job.metadata
    created = meta.creation_timestamp or EPOCH
    before = MAX_PRIORITY - max(-MAX_PRIORITY, min(priority_of(job), MAX_PRIORITY))
    return f"{before:011} {int(created.timestamp()):011} {meta.annotations.get(ANNOTATION_ACCEPTED, '')} {meta.name}"


def priority_of(job: Job) -> int:
    """What its priority counted when it was accepted; changing the tenant's does not move what waits already."""
    try:
        return int(job.metadata.annotations.get(ANNOTATION_PRIORITY, "0"))
    except ValueError:
        return 0


def attempts(pods: Iterable[Pod]) -> list[Pod]:
    """The pods of one Job, oldest first: attempt 1 is the first of the list."""
    return sorted(pods, key=lambda p: (p.metadata.creation_timestamp or EPOCH, p.metadata.name))


def stream_of(pod: Pod, container: str) -> str:
    """Name of one container's log in the archive: sorts by the pod's age, stays the same when other pods go."""
    created, meta = pod.metadata.creation_timestamp or EPOCH, pod.metadata
    index = meta.labels.get(LABEL_INDEX, "") if meta.annotations.get(ANNOTATION_LOG) == BY_INDEX else ""
    of_index = f".{index}" if index.isascii() and index.isdigit() else ""
    return f"{created:%Y%m%dT%H%M%SZ}.{meta.name.rpartition('-')[2]}{of_index}.{container}"


def index_of(stream: str) -> int | None:
    """The index that a stream of `stream_of` is of; None where its job has none, or is of before names bore it."""
    words = stream.split(".")
    return int(words[2]) if len(words) == 4 and words[2].isascii() and words[2].isdigit() else None


def container_of(stream: str) -> str:
    """The container that a stream of `stream_of` belongs to."""
    return stream.rpartition(".")[2]


def attempt_of(stream: str) -> str:
    """What all containers' streams of one pod have in common."""
    return stream.rpartition(".")[0]
