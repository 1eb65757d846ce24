"""Under what a Job is found in the store, and in which orders: what lists, limits and queues are answered from, so that
none of them looks through a tenant's jobs; pure. `app` makes the store with these.
"""

from __future__ import annotations

from collections.abc import Mapping

from longshore.kinds.jobs import model
from longshore.kube.index import IndexValues
from longshore.kube.objects import Job
from longshore.kube.order import Order, created

CREATED = "created"
TURN = "turn"


def unfinished(job: Job) -> str | None:
    """By tenant: what is not over."""
    return None if model.is_over(job) else model.own_tenant(job)


def queued(job: Job) -> str | None:
    """By tenant: what waits for its turn."""
    return model.own_tenant(job) if model.waits(job) else None


INDEXES: Mapping[str, IndexValues[Job]] = {
    "id": model.own_id,
    "tenant": model.own_tenant,
    "unfinished": unfinished,
    "queued": queued,
    model.UNARCHIVED: model.unarchived,
}
ORDERS: Mapping[str, Order[Job]] = {
    CREATED: Order(created, within="tenant", fixed=True),
    TURN: Order(model.turn, within="queued", fixed=True),
}
