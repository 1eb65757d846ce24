"""What a tenant is: its limits, its namespace, what has been admitted, and the API keys of its callers; pure data.

The CRD's schema is generated from these Structs (`kinds.crd`), so this file is where a field is added.
"""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from math import ceil
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from longshore.errors import UserMistake
from longshore.kube.objects import Condition, Object, Resource, Secret

GROUP = "longshore.dev"
VERSION = "v1alpha1"
LABEL_TENANT = "longshore.dev/tenant"
FINALIZER = "longshore.dev/tenant"
LABEL_KEY = "longshore.dev/api-key"
KEY_TYPE = "longshore.dev/api-key"  # of the Secret, which can never become another
# a Secret beside the keys that says: those of a former version are all here (`tenants.moving`)
KEYS_MARK = "all-keys-are-here"
MAX_ID = 100
MAX_PRIORITY = 1_000_000
# of jobs that say none
NORMAL = "normal"
_LEGAL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_ID = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.@-]*[A-Za-z0-9])?")
# a namespace has at most 63 characters and "tenant-" in front
_MAX_NAME = 56


class Overflow(StrEnum):
    """What happens to work over the concurrency limit."""

    QUEUE = "queue"
    REJECT = "reject"


class Limits(Struct, frozen=True, rename="camel"):
    """What a tenant's admitted work may ask for together: cores, GiB, jobs; and how much may wait."""

    cpu: Annotated[float, Meta(gt=0, le=100, description="Cores of all admitted jobs together.")] = 10
    memory_gi: Annotated[float, Meta(gt=0, le=500, description="GiB of memory of all admitted jobs together.")] = 20
    concurrent_jobs: Annotated[int, Meta(ge=1, le=50, description="Jobs admitted at the same time.")] = 2
    queued_jobs: Annotated[int, Meta(ge=0, le=100_000, description="Jobs that may wait for their turn.")] = 500
    objects: Annotated[int, Meta(ge=10, le=100_000, description="Jobs that may exist in the namespace.")] = 1500
    pods: Annotated[int, Meta(ge=1, le=5000, description="Pods of all admitted jobs together.")] = 50
    gpu: Annotated[int, Meta(ge=0, le=1000, description="GPUs of all admitted jobs together.")] = 0
    ephemeral_gi: Annotated[
        float, Meta(gt=0, le=100_000, description="GiB of disk that admitted jobs ask for together.")
    ] = 100


class Priority(Struct, frozen=True, rename="camel"):
    """One of a tenant's priorities. `value` orders its own queue; the scheduler hears of `priorityClass` only."""

    name: Annotated[str, Meta(min_length=1, max_length=63, description="What a job asks for.")]
    value: Annotated[
        int, Meta(ge=-MAX_PRIORITY, le=MAX_PRIORITY, description="The higher starts first, among the tenant's own.")
    ] = 0
    priority_class: Annotated[
        str, Meta(max_length=253, description="PriorityClass of the pods, never a system one; empty: the cluster's.")
    ] = ""


class TenantSpec(Struct, frozen=True, rename="camel"):
    """What the platform's operator decides about a tenant."""

    tenant_id: Annotated[str, Meta(max_length=MAX_ID, description="The id people use; empty: the name.")] = ""
    display_name: Annotated[str, Meta(max_length=200, description="For people.")] = ""
    limits: Limits = Limits()
    overflow: Annotated[Overflow, Meta(description="Queue work over the limits, or reject it.")] = Overflow.QUEUE
    retention_days: Annotated[
        int, Meta(ge=0, le=36_500, description="Days that finished work is kept after its end; 0: for ever.")
    ] = 0
    priorities: Annotated[tuple[Priority, ...], Meta(max_length=20, description="What its jobs may ask for.")] = (
        Priority("low", -100),
        Priority(NORMAL, 0),
        Priority("high", 100),
    )
    service_accounts: Annotated[
        tuple[str, ...], Meta(max_length=20, description="Accounts of its namespace that its jobs may run as.")
    ] = ()


class Admitted(Struct, frozen=True, rename="camel", omit_defaults=True):
    """One admitted job.

    `version` lets a store tell a Job that is gone (it has seen this version and has no such Job) from one that it has
    not seen yet.
    """

    name: Annotated[str, Meta(description="Name of the Job.")]
    uid: Annotated[str, Meta(description="uid of the Job.")]
    cpu_millis: Annotated[int, Meta(ge=0, description="Thousandths of a core that count against the limits.")] = 0
    memory_bytes: Annotated[int, Meta(ge=0, description="Bytes of memory that count against the limits.")] = 0
    version: Annotated[str, Meta(description="resourceVersion of the Job when it was admitted.")] = "0"
    pods: Annotated[int, Meta(ge=0, description="Pods that may run at the same time.")] = 1
    gpu: Annotated[int, Meta(ge=0, description="GPUs that count against the limits.")] = 0
    ephemeral_bytes: Annotated[int, Meta(ge=0, description="Bytes of disk that count against the limits.")] = 0


class TenantStatus(Struct, frozen=True, rename="camel"):
    """What longshore has done about it. `admitted` is the fence: the limits count this list and nothing else."""

    namespace: Annotated[str, Meta(description="Where the tenant's work runs.")] = ""
    observed_generation: Annotated[int, Meta(description="Generation that the bundle was last applied for.")] = 0
    admitted: Annotated[tuple[Admitted, ...], Meta(description="Jobs that may run now; limits count these.")] = ()
    conditions: Annotated[tuple[Condition, ...], Meta(description="Ready: the bundle is in place.")] = ()


class Tenant(Object, frozen=True, rename="camel"):
    """longshore.dev/v1alpha1 Tenant, cluster-scoped."""

    spec: TenantSpec = TenantSpec()
    status: TenantStatus = TenantStatus()

    @property
    def id(self) -> str:
        """The id that people use."""
        return self.spec.tenant_id or self.metadata.name


TENANTS: Resource[Tenant] = Resource(GROUP, VERSION, "tenants", "Tenant", False, Tenant)


def object_name(tenant_id: str) -> str:
    """A legal, collision-free object name for a tenant id: the id itself where it is one, else a slug and a hash, so
    that `a_b`, `a-b` and `A-B` differ. Raises UserMistake for an id that is empty, too long or has odd characters."""
    if len(tenant_id) > MAX_ID or not _ID.fullmatch(tenant_id):
        raise UserMistake(
            f"{tenant_id[:MAX_ID]!r} cannot be a tenant id",
            hint=f"use 1 to {MAX_ID} letters, digits, '-', '_', '.' or '@', a letter or digit first and last",
            field="id",
        )
    # a name ending like a hash could be another id's slug: it gets a hash too
    if len(tenant_id) <= _MAX_NAME and _LEGAL.fullmatch(tenant_id) and not re.search(r"-x[a-z2-7]{10}$", tenant_id):
        return tenant_id
    digest = base64.b32encode(hashlib.sha256(tenant_id.encode()).digest()).decode().lower()[:10]
    slug = re.sub(r"[^a-z0-9]+", "-", tenant_id.lower()).strip("-")[: _MAX_NAME - 12].strip("-")
    return f"{slug}-x{digest}"


def namespace_of(tenant_name: str) -> str:
    """The namespace of a tenant, by the name of its Tenant object."""
    return f"tenant-{tenant_name}"


def tenant_in(namespace: str) -> str:
    """Name of the Tenant object whose namespace this would be; "" where it is nobody's."""
    return namespace.removeprefix("tenant-") if namespace.startswith("tenant-") else ""


class ApiKey(Struct, frozen=True, omit_defaults=True):
    """What is kept of an API key: never the key, only its SHA-256. Times are aware, in UTC."""

    id: str
    tenant: str
    name: str
    sha256: str
    created: datetime
    expires: datetime | None = None

    def live(self, now: datetime) -> bool:
        return self.expires is None or now < self.expires


def api_key_of(secret: Secret) -> ApiKey | None:
    """The API key that a Secret of the keys' namespace holds, None if it holds none."""
    try:
        return msgspec.json.decode(base64.b64decode(secret.data["key.json"]), type=ApiKey)
    except (KeyError, ValueError, msgspec.DecodeError):
        return None


def digest_of(key: str) -> str:
    """SHA-256 of a key, hex. Keys are 256 random bits, so a slow hash would add nothing."""
    return hashlib.sha256(key.encode()).hexdigest()


def cpu_millis(quantity: str) -> int:
    """Thousandths of a core in a Kubernetes quantity, rounded up. Raises UserMistake if it is not one."""
    return ceil(_amount(quantity, "resources.cpu") * 1000)


def memory_bytes(quantity: str) -> int:
    """Bytes in a Kubernetes quantity, rounded up. Raises UserMistake if it is not one."""
    return ceil(_amount(quantity, "resources.memory"))


def disk_bytes(quantity: str, field: str = "resources.ephemeral") -> int:
    """Bytes in a Kubernetes quantity, rounded up; none where it is empty. Raises UserMistake if it is not one."""
    return ceil(_amount(quantity, field)) if quantity else 0


_DECIMAL = {"": Decimal(1), "m": Decimal("0.001")} | {s: Decimal(1000) ** (i + 1) for i, s in enumerate("kMGTP")}
_BINARY = {f"{s}i": Decimal(1024) ** (i + 1) for i, s in enumerate("KMGTP")}
_SUFFIXES = _DECIMAL | _BINARY
_QUANTITY = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?")


def amount_of(text: str) -> Decimal | None:
    """The amount that a Kubernetes quantity says, None if it is not one."""
    match = _QUANTITY.fullmatch(text)
    return None if match is None else Decimal(match[1]) * _SUFFIXES[match[2] or ""]


def _amount(text: str, field: str) -> Decimal:
    amount = amount_of(text)
    if amount is None:
        raise UserMistake(
            f"{text!r} is not an amount of {field.rpartition('.')[2]}",
            hint="write it as Kubernetes does: 500m or 2 for cpu, 512Mi or 4Gi for memory and disk",
            field=field,
        )
    return amount
