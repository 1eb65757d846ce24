"""Under what a Job is found in the store, and in which orders: what lists, limits and queues are answered from, so that
none of them looks through a tenant's jobs; pure. `services` makes the store with these.
"""

from __future__ import annotations

from collections.abc import Mapping

from longshore.kinds.jobs import model
from longshore.kinds.tenants.model import Tenant, namespace_of
from longshore.kube.index import IndexValues
from longshore.kube.objects import Job
from longshore.kube.order import Order, created
from longshore.kube.store import PAGE_MAX, Store

CREATED = "created"
NAME = "name"
TURN = "turn"


def unfinished(job: Job) -> str | None:
    """By tenant: what is not over."""
    return None if model.is_over(job) else model.own_tenant(job)


def queued(job: Job) -> str | None:
    """By tenant: what waits for its turn."""
    return model.own_tenant(job) if model.waits(job) else None


def listed(job: Job) -> str | None:
    """By tenant: what lists show, also what others made in its namespace; not what was deleted."""
    return None if model.is_hidden(job) else model.tenant_of(job) or model.foreign_tenant(job) or None


def named(job: Job) -> str:
    """For the order by the name that people gave it."""
    return model.request_of(job).name


INDEXES: Mapping[str, IndexValues[Job]] = {
    "id": model.own_id,
    "tenant": model.own_tenant,
    "unfinished": unfinished,
    "queued": queued,
    "listed": listed,
    model.UNARCHIVED: model.unarchived,
}
ORDERS: Mapping[str, Order[Job]] = {
    CREATED: Order(created, within="listed", fixed=True),
    NAME: Order(named, within="listed", fixed=True),
    TURN: Order(model.turn, within="queued", fixed=True),
}


def concerned(jobs: Store[Job], tenant: Tenant) -> list[Job]:
    """The tenant's admitted jobs, and the first of those that wait; not all of them, who may be a hundred thousand.
    What admission, and its dry run, look at."""
    name, admitted = tenant.metadata.name, tenant.status.admitted
    found = {j.metadata.uid: j for e in admitted if (j := jobs.get(e.name, namespace_of(name)))}
    # some of the first may be admitted already and wait for the patch that starts them
    first = jobs.page(TURN, name, limit=min(PAGE_MAX, tenant.spec.limits.concurrent_jobs + len(admitted) + 1))
    return list((found | {j.metadata.uid: j for j in first.items}).values())
