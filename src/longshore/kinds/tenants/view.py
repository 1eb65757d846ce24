"""What a caller sees of a tenant and its keys; pure."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from longshore.kinds.jobs.model import condition
from longshore.kinds.tenants.admit import GIB, Use, use_of
from longshore.kinds.tenants.model import ApiKey, Limits, Tenant, namespace_of


class LimitsView(Struct, frozen=True):
    cpu: float
    memory_gi: float
    concurrent_jobs: int
    queued_jobs: int
    objects: int
    pods: int
    gpu: int
    ephemeral_gi: float


class UseView(Struct, frozen=True):
    """What is admitted now, and how many wait."""

    cpu: float
    memory_gi: float
    running: int
    queued: int
    pods: int = 0
    gpu: int = 0
    ephemeral_gi: float = 0


class PriorityView(Struct, frozen=True):
    """What a job of this tenant may say as priority; the higher value starts first among the tenant's own."""

    name: str
    value: int
    priority_class: str = ""


class TenantView(Struct, frozen=True):
    id: str
    display_name: str
    namespace: str
    ready: bool
    message: str
    limits: LimitsView
    overflow: str
    retention_days: int
    priorities: tuple[PriorityView, ...]
    service_accounts: tuple[str, ...]
    use: UseView
    created: datetime | None
    resource_version: str


class KeyView(Struct, frozen=True):
    id: str
    name: str
    created: datetime
    expires: datetime | None
    last_used: datetime | None


def tenant_view(tenant: Tenant, queued: int) -> TenantView:
    spec = tenant.spec
    ready, message = _readiness(tenant)
    return TenantView(
        id=tenant.id,
        display_name=spec.display_name,
        namespace=namespace_of(tenant.metadata.name),
        ready=ready,
        message=message,
        limits=_limits(spec.limits),
        overflow=spec.overflow.value,
        retention_days=spec.retention_days,
        priorities=tuple(PriorityView(p.name, p.value, p.priority_class) for p in spec.priorities),
        service_accounts=spec.service_accounts,
        use=_use(use_of(tenant.status.admitted), queued),
        created=tenant.metadata.creation_timestamp,
        resource_version=tenant.metadata.resource_version,
    )


def _readiness(tenant: Tenant) -> tuple[bool, str]:
    ready = condition(tenant.status.conditions, "Ready")
    if tenant.metadata.deletion_timestamp is not None:
        return False, "Is being deleted: its work is stopped and archived first."
    if ready is not None and tenant.status.observed_generation == tenant.metadata.generation:
        return True, ready.message
    return False, "Its namespace is being prepared."


def _limits(limits: Limits) -> LimitsView:
    return LimitsView(
        limits.cpu,
        limits.memory_gi,
        limits.concurrent_jobs,
        limits.queued_jobs,
        limits.objects,
        limits.pods,
        limits.gpu,
        limits.ephemeral_gi,
    )


def _use(use: Use, queued: int) -> UseView:
    return UseView(
        use.cpu_millis / 1000,
        use.memory_bytes / GIB,
        use.running,
        queued,
        use.pods,
        use.gpu,
        use.ephemeral_bytes / GIB,
    )


def key_view(key: ApiKey, last_used: datetime | None) -> KeyView:
    return KeyView(key.id, key.name, key.created, key.expires, last_used)
