"""A tenant's bundle is applied where it is missing, reported once, and taken down only when its work is archived."""

from datetime import UTC, datetime

import msgspec

from longshore.kinds.jobs import model as jobs
from longshore.kinds.tenants import bundle
from longshore.kinds.tenants.bundle import Bundled
from longshore.kinds.tenants.model import FINALIZER, Admitted, Tenant, TenantSpec, TenantStatus
from longshore.kinds.tenants.reconcile import Present, alike, plan
from longshore.kube.objects import Condition, Job, JobStatus, ObjectMeta
from longshore.runtime.plan import Apply, Create, DeleteObject, PatchObject, Plan

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def tenant(*, deleting: bool = False, finalizers: tuple[str, ...] = (FINALIZER,), ready: bool = False) -> Tenant:
    meta = ObjectMeta(
        name="a",
        uid="tu",
        resource_version="3",
        generation=2,
        finalizers=finalizers,
        deletion_timestamp=NOW if deleting else None,
    )
    status = TenantStatus("tenant-a", 2, (), (Condition("Ready", "True"),)) if ready else TenantStatus()
    return Tenant(metadata=meta, spec=TenantSpec("a"), status=status)


def present(skip: str = "") -> Present:
    bodies = [(r, b) for r, b in bundle.manifests(tenant()) if r.kind != skip]
    return {(r.kind, b["metadata"]["name"]): msgspec.convert(b, Bundled) for r, b in bodies}


def job(*conditions: Condition, finalizers: tuple[str, ...] = (jobs.FINALIZER,)) -> Job:
    meta = ObjectMeta(name="j1", namespace="tenant-a", uid="ju", finalizers=finalizers)
    return Job(metadata=meta, status=JobStatus(conditions=conditions))


def test_the_finalizer_comes_before_anything_is_made() -> None:
    (patch,) = plan(tenant(finalizers=()), {}, [], NOW).actions
    assert isinstance(patch, PatchObject)
    assert patch.patch == {"metadata": {"finalizers": [FINALIZER]}}


def test_a_new_tenant_gets_a_namespace_of_its_own_and_then_the_rest() -> None:
    (first,) = plan(tenant(), {}, [], NOW).actions
    assert isinstance(first, Create), "applying would adopt a namespace that is somebody else's"
    assert first.resource.kind == "Namespace"
    only_it = {key: found for key, found in present().items() if key[0] == "Namespace"}
    assert len(plan(tenant(), only_it, [], NOW).actions) == 7


def test_only_what_has_drifted_is_put_back() -> None:
    (action,) = plan(tenant(ready=True), present(skip="LimitRange"), [], NOW).actions
    assert isinstance(action, Apply)
    assert action.resource.kind == "LimitRange"


def test_ready_is_said_once() -> None:
    (report,) = plan(tenant(), present(), [], NOW).actions
    assert isinstance(report, PatchObject)
    assert report.patch["status"]["namespace"] == "tenant-a"
    assert plan(tenant(ready=True), present(), [], NOW) == Plan()


def test_a_tenant_that_goes_stops_its_work_waits_for_the_archive_and_then_takes_its_namespace_down() -> None:
    gone = tenant(deleting=True)
    complete = Condition("Complete", "True")
    (stop,) = plan(gone, present(), [job()], NOW).actions
    assert isinstance(stop, PatchObject)
    assert stop.subresource == "status"
    assert plan(gone, present(), [job(complete)], NOW) == Plan()
    (delete_job,) = plan(gone, present(), [job(complete, finalizers=())], NOW).actions
    assert isinstance(delete_job, DeleteObject)
    (delete_namespace,) = plan(gone, present(), [], NOW).actions
    assert isinstance(delete_namespace, DeleteObject)
    assert delete_namespace.name == "tenant-a"
    (release,) = plan(gone, {}, [], NOW).actions
    assert isinstance(release, PatchObject)
    assert release.patch == {"metadata": {"finalizers": []}}


def test_who_is_admitted_changes_nothing_here_and_all_else_does() -> None:
    old = tenant(ready=True)
    metadata = msgspec.structs.replace(old.metadata, resource_version="4")
    admitted = msgspec.structs.replace(old.status, admitted=(Admitted("j1", "ju"),))
    new = msgspec.structs.replace(old, metadata=metadata, status=admitted)
    assert alike(old, new)
    assert not alike(old, msgspec.structs.replace(new, spec=TenantSpec("b")))
    assert not alike(old, msgspec.structs.replace(new, status=TenantStatus()))
    assert not alike(old, tenant(ready=True, deleting=True))
