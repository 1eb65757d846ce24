"""The tenants' two controllers: one keeps the bundles in place, one admits work; run by the leader, as is the move of
their keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from longshore.kinds.jobs.model import tenant_of
from longshore.kinds.jobs.places import concerned
from longshore.kinds.kind import Runs, Services
from longshore.kinds.tenants import admit, bundle, reconcile
from longshore.kinds.tenants.admit import LookUp
from longshore.kinds.tenants.model import LABEL_TENANT, Tenant
from longshore.kinds.tenants.moving import Moving
from longshore.kinds.tenants.repeats import Repeats
from longshore.kube.objects import Job, Object
from longshore.runtime.controller import Controller
from longshore.runtime.executor import Executor
from longshore.runtime.plan import Plan
from longshore.runtime.queue import Queue


def controllers(parts: Services) -> Sequence[Runs]:
    return (_bundles(parts), _admission(parts), Moving(parts))


def _bundles(parts: Services) -> Controller[str]:
    stores = parts.stores

    def plan(name: str, now: datetime) -> Plan:
        present = {
            (kind, found.metadata.name): found
            for kind, store in stores.bundle.items()
            for found in store.by("tenant", name)
        }
        tenant = stores.tenants.get(name)
        leaves = tenant is not None and tenant.metadata.deletion_timestamp is not None
        # its jobs matter at its end only, and may be many
        jobs = stores.jobs.by("tenant", name) if leaves else []
        settings = parts.settings
        return reconcile.plan(
            tenant, present, jobs, now, gpu_resource=settings.gpu_resource, api_port=settings.port or bundle.API_PORT
        )

    def leaving(job: Job) -> list[str]:
        """A tenant that is being deleted waits for the last of its jobs; for others their jobs change nothing."""
        tenant = stores.tenants.get(tenant_of(job))
        return [tenant.metadata.name] if tenant and tenant.metadata.deletion_timestamp else []

    controller = Controller("tenants", Queue[str](), plan, Executor(parts.client))
    controller.watch(stores.tenants, _own_name, alike=reconcile.alike)
    controller.watch(stores.jobs, leaving)
    for store in stores.bundle.values():
        controller.watch(store, _labelled, alike=bundle.alike)
    return controller


def _admission(parts: Services) -> Controller[str]:
    stores = parts.stores

    def plan(name: str, now: datetime) -> Plan:
        tenant = stores.tenants.get(name)
        return admit.plan(tenant, concerned(stores.jobs, tenant), stores.jobs.version, now) if tenant else Plan()

    controller = Controller("admission", Queue[str](), plan, Executor(parts.client, {LookUp: Repeats(parts)}))
    controller.watch(stores.tenants, _own_name)
    controller.watch(stores.jobs, _of_job)
    return controller


def _own_name(tenant: Tenant) -> list[str]:
    return [tenant.metadata.name]


def _of_job(job: Job) -> list[str]:
    return [tenant_of(job)]


def _labelled(found: Object) -> list[str]:
    tenant = found.metadata.labels.get(LABEL_TENANT)
    return [tenant] if tenant else []
