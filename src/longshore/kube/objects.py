"""Kubernetes objects as msgspec Structs that hold only the fields longshore reads, and where each kind is served.

Unknown fields are dropped on decoding, which is safe because nothing decoded is ever written back: writes are
server-side apply or patches. Whoever needs other fields of the same resource declares a Struct of its own and calls
`Resource.read_as`. Field names are those of the Kubernetes API reference, in snake case.
"""

from __future__ import annotations

import builtins
from datetime import datetime
from enum import Enum
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Struct

T = TypeVar("T")
U = TypeVar("U")


LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


class OwnerReference(Struct, frozen=True, gc=False, rename="camel"):
    """Who made this object, and whose deletion takes it along."""

    kind: str
    name: str
    uid: str
    api_version: str = ""
    controller: bool = False


class ObjectMeta(Struct, frozen=True, gc=False, rename="camel"):
    """metadata of every object. Times are aware datetimes in UTC."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    deletion_grace_period_seconds: int | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    finalizers: tuple[str, ...] = ()
    owner_references: tuple[OwnerReference, ...] = ()


class Object(Struct, frozen=True, gc=False, rename="camel"):
    """The least that every Kubernetes object has; Structs for one resource inherit from it."""

    metadata: ObjectMeta = ObjectMeta()


class Condition(Struct, frozen=True, gc=False, rename="camel"):
    """One entry of status.conditions; `status` is "True", "False" or "Unknown"."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_transition_time: datetime | None = None
    observed_generation: int | None = None


class ObjectReference(Struct, frozen=True, gc=False, rename="camel"):
    """Points at another object, as Events do."""

    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    field_path: str = ""


class EventSeries(Struct, frozen=True, gc=False, rename="camel"):
    count: int = 0
    last_observed_time: datetime | None = None


class Event(Object, frozen=True, rename="camel"):
    """v1 Event: the only place where quota refusals and mount errors are told.

    Who writes by events.k8s.io, as the scheduler does, sets `event_time` and `series`; others the timestamps and count.
    """

    involved_object: ObjectReference = ObjectReference()
    type: str = ""
    reason: str = ""
    message: str = ""
    count: int | None = 0
    first_timestamp: datetime | None = None
    last_timestamp: datetime | None = None
    event_time: datetime | None = None
    series: EventSeries | None = None

    @property
    def first(self) -> datetime | None:
        return self.first_timestamp or self.event_time or self.metadata.creation_timestamp

    @property
    def last(self) -> datetime | None:
        seen = self.series.last_observed_time if self.series else None
        return seen or self.last_timestamp or self.first

    @property
    def times(self) -> int:
        return (self.series.count if self.series else self.count) or 1


class JobSpec(Struct, frozen=True, gc=False, rename="camel"):
    """batch/v1 Job spec without its pod template, which nobody reads back."""

    suspend: bool = False
    parallelism: int = 1
    completions: int | None = None
    backoff_limit: int = 6
    active_deadline_seconds: int | None = None
    ttl_seconds_after_finished: int | None = None


class JobStatus(Struct, frozen=True, gc=False, rename="camel"):
    """batch/v1 Job status. A Job is over when a Complete or Failed condition is True, never because of counts."""

    active: int = 0
    ready: int = 0
    succeeded: int = 0
    failed: int = 0
    terminating: int = 0
    completed_indexes: str = ""
    failed_indexes: str = ""
    start_time: datetime | None = None
    completion_time: datetime | None = None
    conditions: tuple[Condition, ...] = ()


class Job(Object, frozen=True, rename="camel"):
    """batch/v1 Job. What kubectl keeps of its last `apply`, the whole object once more, is not: nobody reads it."""

    spec: JobSpec = JobSpec()
    status: JobStatus = JobStatus()

    def __post_init__(self) -> None:
        self.metadata.annotations.pop(LAST_APPLIED, None)


class ContainerStateWaiting(Struct, frozen=True, gc=False, rename="camel"):
    reason: str = ""
    message: str = ""


class ContainerStateRunning(Struct, frozen=True, gc=False, rename="camel"):
    started_at: datetime | None = None


class ContainerStateTerminated(Struct, frozen=True, gc=False, rename="camel"):
    exit_code: int = 0
    signal: int = 0
    reason: str = ""
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None


class ContainerState(Struct, frozen=True, gc=False, rename="camel"):
    """Exactly one of the three is set."""

    waiting: ContainerStateWaiting | None = None
    running: ContainerStateRunning | None = None
    terminated: ContainerStateTerminated | None = None


class ContainerStatus(Struct, frozen=True, gc=False, rename="camel"):
    name: str = ""
    ready: bool = False
    restart_count: int = 0
    state: ContainerState = ContainerState()
    last_state: ContainerState = msgspec.field(default=ContainerState(), name="lastState")
    container_id: str = msgspec.field(default="", name="containerID")


class ResourceRequirements(Struct, frozen=True, gc=False, rename="camel"):
    requests: dict[str, str] = {}


class Container(Struct, frozen=True, gc=False, rename="camel"):
    """What a container asks of its node; one among the init containers that restarts always is a sidecar."""

    resources: ResourceRequirements = ResourceRequirements()
    restart_policy: str = ""


class ClaimSource(Struct, frozen=True, gc=False, rename="camel"):
    claim_name: str = ""


class Volume(Struct, frozen=True, gc=False, rename="camel"):
    persistent_volume_claim: ClaimSource | None = None


class PodSpec(Struct, frozen=True, gc=False, rename="camel"):
    """The part of a pod's spec that views and reconcilers read; the process node has a fuller one of its own."""

    node_name: str = ""
    node_selector: dict[str, str] = {}
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    volumes: tuple[Volume, ...] = ()
    overhead: dict[str, str] = {}


class PodStatus(Struct, frozen=True, gc=False, rename="camel"):
    phase: str = "Pending"
    reason: str = ""
    message: str = ""
    host_ip: str = msgspec.field(default="", name="hostIP")
    pod_ip: str = msgspec.field(default="", name="podIP")
    start_time: datetime | None = None
    conditions: tuple[Condition, ...] = ()
    init_container_statuses: tuple[ContainerStatus, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()


class Pod(Object, frozen=True, rename="camel"):
    """v1 Pod."""

    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class Taint(Struct, frozen=True, gc=False, rename="camel"):
    key: str
    effect: str = ""
    value: str = ""


class NodeSpec(Struct, frozen=True, gc=False, rename="camel"):
    taints: tuple[Taint, ...] = ()
    unschedulable: bool = False


class NodeStatus(Struct, frozen=True, gc=False, rename="camel"):
    capacity: dict[str, str] = {}
    allocatable: dict[str, str] = {}
    conditions: tuple[Condition, ...] = ()


class Node(Object, frozen=True, rename="camel"):
    """v1 Node."""

    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


class Secret(Object, frozen=True, rename="camel"):
    """v1 Secret; `data` is base64 as on the wire."""

    data: dict[str, str] = {}
    type: str = "Opaque"


class LeaseSpec(Struct, frozen=True, gc=False, rename="camel"):
    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: datetime | None = None
    renew_time: datetime | None = None
    lease_transitions: int | None = None


class Lease(Object, frozen=True, rename="camel"):
    """coordination.k8s.io/v1 Lease."""

    spec: LeaseSpec = LeaseSpec()


class ClaimSpec(Struct, frozen=True, gc=False, rename="camel"):
    storage_class_name: str | None = None
    volume_name: str = ""


class ClaimStatus(Struct, frozen=True, gc=False, rename="camel"):
    phase: str = ""


class Claim(Object, frozen=True, rename="camel"):
    """v1 PersistentVolumeClaim."""

    spec: ClaimSpec = ClaimSpec()
    status: ClaimStatus = ClaimStatus()


class Resource(Struct, Generic[T], frozen=True):
    """Where a kind is served and what it is decoded into. `group` is "" for the core group."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    type: builtins.type[T]

    @property
    def api_version(self) -> str:
        """As `apiVersion` in an object: `batch/v1`, or `v1` in the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def read_as(self, type_: builtins.type[U]) -> Resource[U]:
        """The same resource decoded into another Struct."""
        return Resource(self.group, self.version, self.plural, self.kind, self.namespaced, type_)

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """URL path of the collection (across namespaces when `namespace` is None) or of one object.

        Source: Kubernetes API concepts, "Resource URIs".
        """
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        tail = "".join(f"/{part}" for part in (name, subresource) if part)
        return f"{root}{scope}/{self.plural}{tail}"


class AnyObject(Object, frozen=True, rename="camel"):
    """An object of which the metadata matters and, unread, its `spec` or `data`.

    Without apiVersion and kind on purpose: the items of a list do not say them, events do, and the same object must
    equal itself however it was learned of.
    """

    spec: dict[str, Any] = {}
    data: dict[str, str] = {}


NAMESPACES = Resource("", "v1", "namespaces", "Namespace", False, AnyObject)
PODS = Resource("", "v1", "pods", "Pod", True, Pod)
NODES = Resource("", "v1", "nodes", "Node", False, Node)
EVENTS = Resource("", "v1", "events", "Event", True, Event)
SECRETS = Resource("", "v1", "secrets", "Secret", True, Secret)
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap", True, AnyObject)
PERSISTENT_VOLUMES = Resource("", "v1", "persistentvolumes", "PersistentVolume", False, AnyObject)
PERSISTENT_VOLUME_CLAIMS = Resource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", True, AnyObject)
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount", True, AnyObject)
RESOURCE_QUOTAS = Resource("", "v1", "resourcequotas", "ResourceQuota", True, AnyObject)
LIMIT_RANGES = Resource("", "v1", "limitranges", "LimitRange", True, AnyObject)
JOBS = Resource("batch", "v1", "jobs", "Job", True, Job)
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease", True, Lease)
NETWORK_POLICIES = Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", True, AnyObject)
ROLES = Resource("rbac.authorization.k8s.io", "v1", "roles", "Role", True, AnyObject)
ROLE_BINDINGS = Resource("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding", True, AnyObject)
CLUSTER_ROLES = Resource("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", False, AnyObject)
CLUSTER_ROLE_BINDINGS = Resource(
    "rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", False, AnyObject
)
STORAGE_CLASSES = Resource("storage.k8s.io", "v1", "storageclasses", "StorageClass", False, AnyObject)
PRIORITY_CLASSES = Resource("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", False, AnyObject)
CUSTOM_RESOURCE_DEFINITIONS = Resource(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", False, AnyObject
)
VALIDATING_ADMISSION_POLICIES = Resource(
    "admissionregistration.k8s.io", "v1", "validatingadmissionpolicies", "ValidatingAdmissionPolicy", False, AnyObject
)
VALIDATING_ADMISSION_POLICY_BINDINGS = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "validatingadmissionpolicybindings",
    "ValidatingAdmissionPolicyBinding",
    False,
    AnyObject,
)


class Patch(Enum):
    """How a patch body is read; the value is its content type. It lives here so that pure plans can name it."""

    MERGE = "application/merge-patch+json"
    STRATEGIC = "application/strategic-merge-patch+json"
    JSON = "application/json-patch+json"
