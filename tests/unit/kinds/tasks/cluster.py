"""Stores with Jobs and pods in them, as the reflectors would fill them."""

from __future__ import annotations

from longshore.kinds.jobs import model
from longshore.kinds.jobs.places import INDEXES, ORDERS
from longshore.kinds.kind import Stores
from longshore.kinds.tenants.model import TENANTS
from longshore.kube.objects import JOBS, PODS, SECRETS, Condition, Job, JobSpec, JobStatus, ObjectMeta, Pod, PodStatus
from longshore.kube.objects import OwnerReference as Owner
from longshore.kube.store import Store, Writer


class World:
    """One writer for each store; each change gets the next version."""

    def __init__(self) -> None:
        jobs = Store(JOBS, INDEXES, ORDERS)
        pods = Store(PODS, {"job": model.owner_uid, "foreign": model.foreign_owner_uid})
        self.stores = Stores(jobs, pods, Store(TENANTS), Store(SECRETS))
        self.jobs, self.pods = Writer(jobs), Writer(pods)
        self.version = 1
        self.jobs.replace([], 1)
        self.pods.replace([], 1)

    def _next(self) -> str:
        self.version += 1
        return str(self.version)

    def job(
        self, name: str, *conditions: str, suspend: bool = False, failed: int = 0, tenant: str = "a", uid: str = ""
    ) -> None:
        meta = ObjectMeta(
            name=name,
            namespace=f"tenant-{tenant}" if tenant else "default",
            uid=uid or f"uid-{name}",
            resource_version=self._next(),
            labels={model.LABEL_TENANT: tenant, model.LABEL_KIND: "task"} if tenant else {},
        )
        status = JobStatus(conditions=tuple(Condition(type=c, status="True") for c in conditions), failed=failed)
        self.jobs.put(Job(metadata=meta, spec=JobSpec(suspend=suspend), status=status))

    def pod(self, job: str, phase: str, *, tenant: str = "a", namespace: str = "") -> None:
        meta = ObjectMeta(
            name=f"{job}-x",
            namespace=namespace or (f"tenant-{tenant}" if tenant else "default"),
            uid=f"pod-{job}",
            resource_version=self._next(),
            labels={model.LABEL_JOB_NAME: job} | ({model.LABEL_TENANT: tenant} if tenant else {}),
            owner_references=(Owner(kind="Job", name=job, uid=f"uid-{job}", controller=True),),
        )
        self.pods.put(Pod(metadata=meta, status=PodStatus(phase=phase)))

    def gone(self, name: str, tenant: str = "a") -> None:
        self.jobs.delete(f"tenant-{tenant}/{name}", int(self._next()))
