"""What is refused at the door: what could never start, what asks for more than its tenant may, and what there is no
place for; pure. `commands.submit` asks it, and the dry run.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from longshore.errors import TooManyRequests, UserMistake
from longshore.kinds.jobs.request import JobRequest
from longshore.kinds.tenants.admit import GIB, amounts
from longshore.kinds.tenants.model import NORMAL, Overflow, Priority, Tenant, cpu_millis, disk_bytes, memory_bytes

MIN_MEMORY = 1 << 20
MIB = 1 << 20
# of the store's budget; above it etcd would soon take no write at all, the end of a job included
STORE_SHARE = 0.7


class Counts(Struct, frozen=True):
    """How many jobs of a tenant are in the cluster, are not over, and wait for their turn."""

    objects: int
    unfinished: int
    queued: int


class Pressure(Struct, frozen=True):
    """How full things are: bytes in the cluster's store (None where that cannot be read) and what it may hold (0: not
    looked at), and jobs that wait for their archive and how many may."""

    used: int | None
    budget: int
    unarchived: int
    may_wait: int


def check_pressure(pressure: Pressure) -> None:
    """Slow down what comes in before anything is lost. Raises TooManyRequests."""
    full = STORE_SHARE * pressure.budget
    if pressure.budget and pressure.used is not None and pressure.used >= full:
        raise TooManyRequests(
            f"the cluster's store holds {pressure.used >> 20} MiB, no work is taken in from {full / MIB:.0f} MiB on",
            hint="finished jobs leave an hour after their end; its operator defragments etcd, or gives it more",
            retry_after=30,
        )
    if pressure.unarchived >= pressure.may_wait:
        raise TooManyRequests(
            f"{pressure.unarchived} finished jobs wait for the archive, at most {pressure.may_wait} may",
            hint="is the archive's storage there? What waits goes on by itself when it is",
            retry_after=30,
        )


def check_limits(tenant: Tenant, request: JobRequest, counts: Counts) -> None:
    """Raises UserMistake naming the field, TooManyRequests when there is no place in the queue."""
    _check_amounts(request)
    _check_fits(tenant, request)
    _check_allowed(tenant, request)
    _check_place(tenant, counts)


def check_tolerations(request: JobRequest, allowed: Sequence[str] | None) -> None:
    """Whether all taints that it tolerates are among those that the operator allows, where he names any. Raises
    UserMistake. The fence holds other people's Jobs to the same."""
    if allowed is None:
        return
    for each in request.tolerations:
        if not any(each.key == key or (key.endswith("/") and each.key.startswith(key)) for key in allowed):
            raise UserMistake(
                f"the taint {each.key} is not tolerated here",
                hint=f"use one of: {', '.join(allowed)}" if allowed else "leave it out: no taints are",
                field="tolerations",
            )


def priority_of(tenant: Tenant, request: JobRequest) -> Priority:
    """What this request's priority counts for this tenant. Raises UserMistake for one that it has not."""
    known = {each.name: each for each in tenant.spec.priorities}
    found = known.get(request.priority or NORMAL)
    if found is None and not request.priority:
        return Priority(NORMAL)
    if found is None or found.priority_class.startswith("system-"):
        raise UserMistake(
            f"tenant {tenant.id} has no priority {request.priority!r}",
            hint=f"use one of: {', '.join(known) or 'none, leave it out'}",
            field="priority",
        )
    return found


def _check_amounts(request: JobRequest) -> None:
    resources = request.resources
    cpu, memory = cpu_millis(resources.cpu), memory_bytes(resources.memory)
    if cpu <= 0 or memory < MIN_MEMORY:
        raise UserMistake(
            "a job asks for at least 1m of cpu and 1Mi of memory: none would mean without limit",
            hint="say what it needs, or leave it out for 1 core and 1Gi",
            field="resources.cpu" if cpu <= 0 else "resources.memory",
        )
    if resources.ephemeral and disk_bytes(resources.ephemeral) < MIN_MEMORY:
        raise UserMistake(
            "a job that says how much disk it may fill asks for at least 1Mi",
            hint="say what it needs, or leave it out",
            field="resources.ephemeral",
        )
    if request.shm_size and not MIN_MEMORY <= disk_bytes(request.shm_size, "shm_size") <= memory:
        raise UserMistake(
            f"shared memory of {request.shm_size} does not fit: it has 1Mi at least, and counts as memory of the job",
            hint=f"ask for {resources.memory} or less, or for more memory",
            field="shm_size",
        )


def _check_fits(tenant: Tenant, request: JobRequest) -> None:
    """Whether it could start if nothing else ran."""
    limits, wanted = tenant.spec.limits, amounts(request)
    each = f"{request.pods} at a time, " if request.pods > 1 else ""
    for field, what, asked, limit in (
        ("parallelism", "pods", wanted.pods, limits.pods),
        ("resources.cpu", "cores", wanted.cpu_millis / 1000, limits.cpu),
        ("resources.memory", "GiB of memory", wanted.memory_bytes / GIB, limits.memory_gi),
        ("resources.gpu", "GPUs", wanted.gpu, limits.gpu),
        ("resources.ephemeral", "GiB of disk", wanted.ephemeral_bytes / GIB, limits.ephemeral_gi),
    ):
        if asked > limit:
            raise UserMistake(
                f"the job asks for {each}{_amount(asked, what)}, tenant {tenant.id} may use {_amount(limit, what)}",
                hint=f"{f'ask for {_amount(limit, what)} or less' if limit else 'leave it out'}, "
                "or have the tenant's limit raised",
                field=field,
            )


def _amount(value: float, what: str) -> str:
    """As people say it, with its unit: 1 GPU, 0.5 cores, 101400 GiB of memory."""
    one = value == 1 and what in ("pods", "cores", "GPUs")
    return f"{value:.3f}".rstrip("0").rstrip(".") + f" {what.removesuffix('s') if one else what}"


def _check_allowed(tenant: Tenant, request: JobRequest) -> None:
    priority_of(tenant, request)
    allowed = tenant.spec.service_accounts
    if request.service_account and request.service_account not in allowed:
        raise UserMistake(
            f"jobs of tenant {tenant.id} may not run as account {request.service_account[:253]!r}",
            hint=f"use one of: {', '.join(allowed)}" if allowed else "an administrator allows some to the tenant",
            field="service_account",
        )


def _check_place(tenant: Tenant, counts: Counts) -> None:
    limits = tenant.spec.limits
    if counts.objects >= limits.objects:
        raise TooManyRequests(
            f"tenant {tenant.id} has {counts.objects} jobs in the cluster, at most {limits.objects} fit",
            hint="finished ones leave an hour after their end; try again later, or have the limit raised",
            retry_after=60,
        )
    if tenant.spec.overflow is Overflow.REJECT and counts.unfinished >= limits.concurrent_jobs:
        raise TooManyRequests(
            f"tenant {tenant.id} has {counts.unfinished} of {limits.concurrent_jobs} jobs and queues none",
            hint="wait until one ends",
            retry_after=10,
        )
    if counts.queued >= limits.queued_jobs:
        raise TooManyRequests(
            f"{counts.queued} jobs of tenant {tenant.id} are waiting, at most {limits.queued_jobs} may",
            hint="wait until some have started, or stop some",
            retry_after=10,
        )
