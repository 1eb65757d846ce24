"""What to do next about one tenant: put its bundle in place, keep it there, take it down at its end; pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from longshore.kinds.jobs import model as jobs
from longshore.kinds.jobs.stop import stop_patch
from longshore.kinds.tenants import bundle
from longshore.kinds.tenants.bundle import Bundled
from longshore.kinds.tenants.model import FINALIZER, TENANTS, Tenant, namespace_of
from longshore.kube.objects import JOBS, NAMESPACES, Job, Patch
from longshore.runtime.plan import Action, Apply, Create, DeleteObject, PatchObject, Plan

FIELD_MANAGER = "longshore-control"
# what is present of a bundle, by (kind, name)
Present = dict[tuple[str, str], Bundled]


def plan(
    tenant: Tenant | None,
    present: Present,
    tenant_jobs: Sequence[Job],
    now: datetime,
    *,
    gpu_resource: str = "nvidia.com/gpu",
    api_port: int = bundle.API_PORT,
) -> Plan:
    """Next actions for one tenant; its jobs are looked at only when it is being deleted."""
    if tenant is None:
        return Plan()
    if tenant.metadata.deletion_timestamp is not None:
        return _take_down(tenant, present, tenant_jobs, now)
    if FINALIZER not in tenant.metadata.finalizers:
        return Plan((_finalizers(tenant, [*tenant.metadata.finalizers, FINALIZER]),))
    namespace = namespace_of(tenant.metadata.name)
    if ("Namespace", namespace) not in present:
        # created, never adopted: one that exists already is somebody else's, and would be deleted with the tenant
        return Plan((Create(NAMESPACES, bundle.manifests(tenant)[0][1]),))
    missing: list[Action] = [
        Apply(resource, body, field_manager=FIELD_MANAGER)
        for resource, body in bundle.manifests(tenant, gpu_resource, api_port)
        if bundle.drifted(body, present.get((resource.kind, body["metadata"]["name"])))
    ]
    if missing:
        return Plan(tuple(missing))
    return Plan(_report(tenant, now))


def alike(old: Tenant, new: Tenant) -> bool:
    """Whether nothing changed but who is admitted, which is written for every job and no plan here reads."""
    metadata = replace(old.metadata, resource_version=new.metadata.resource_version)
    return replace(old, metadata=metadata, status=replace(old.status, admitted=new.status.admitted)) == new


def _report(tenant: Tenant, now: datetime) -> tuple[Action, ...]:
    """Say Ready in the status, once per generation."""
    namespace = namespace_of(tenant.metadata.name)
    status = tenant.status
    ready = jobs.condition(status.conditions, "Ready")
    if ready and status.namespace == namespace and status.observed_generation == tenant.metadata.generation:
        return ()
    condition = {
        "type": "Ready",
        "status": "True",
        "reason": "BundleApplied",
        "message": "Namespace, quota and fences are in place.",
        "lastTransitionTime": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "observedGeneration": tenant.metadata.generation,
    }
    return (
        _patch(
            tenant,
            {
                "status": {
                    "namespace": namespace,
                    "observedGeneration": tenant.metadata.generation,
                    "conditions": [condition],
                }
            },
            subresource="status",
        ),
    )


def _take_down(tenant: Tenant, present: Present, tenant_jobs: Sequence[Job], now: datetime) -> Plan:
    """Stop what runs, let it be archived, delete what is left, then the namespace, then let the tenant go."""
    if FINALIZER not in tenant.metadata.finalizers:
        return Plan()
    running = [j for j in tenant_jobs if not jobs.is_over(j)]
    if running:
        return Plan(tuple(_stop(j, now) for j in running if not jobs.stop_requested(j)))
    held = [j for j in tenant_jobs if jobs.FINALIZER in j.metadata.finalizers]
    if held:
        # the archive has them still to come; each release wakes this key again
        return Plan()
    namespace = namespace_of(tenant.metadata.name)
    if tenant_jobs:
        return Plan(tuple(_delete_job(j) for j in tenant_jobs if j.metadata.deletion_timestamp is None))
    found = present.get(("Namespace", namespace))
    if found is not None:
        going = found.metadata.deletion_timestamp is not None
        return Plan(() if going else (DeleteObject(NAMESPACES, namespace, None, uid=found.metadata.uid),))
    return Plan((_finalizers(tenant, [f for f in tenant.metadata.finalizers if f != FINALIZER]),))


def _stop(job: Job, now: datetime) -> PatchObject:
    return PatchObject(
        JOBS,
        job.metadata.name,
        job.metadata.namespace,
        stop_patch(job, now, "Its tenant is being deleted."),
        type=Patch.STRATEGIC,
        subresource="status",
        uid=job.metadata.uid,
    )


def _delete_job(job: Job) -> DeleteObject:
    return DeleteObject(JOBS, job.metadata.name, job.metadata.namespace, uid=job.metadata.uid)


def _finalizers(tenant: Tenant, finalizers: list[str]) -> PatchObject:
    return _patch(tenant, {"metadata": {"finalizers": finalizers}})


def _patch(tenant: Tenant, patch: dict[str, Any], subresource: str | None = None) -> PatchObject:
    return PatchObject(
        TENANTS,
        tenant.metadata.name,
        None,
        patch,
        subresource=subresource,
        uid=tenant.metadata.uid,
        resource_version=tenant.metadata.resource_version,
    )
