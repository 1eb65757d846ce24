"""Jobs made of a name, a version and labels, and what a store has of them."""

from longshore.kube.objects import JOBS, Job, ObjectMeta
from longshore.kube.store import Store, Writer


def a_job(name: str, version: int, uid: str = "", namespace: str = "ns", **labels: str) -> Job:
    metadata = ObjectMeta(
        name=name, namespace=namespace, uid=uid or f"uid-{name}", resource_version=str(version), labels=labels
    )
    return Job(metadata)


def a_store(*jobs: Job, version: int = 10) -> tuple[Store[Job], Writer[Job]]:
    """A store that holds these, and its writer."""
    store: Store[Job] = Store(JOBS, {"tenant": lambda job: job.metadata.labels.get("tenant")})
    writer = Writer(store)
    writer.replace(jobs, version)
    return store, writer


def names(store: Store[Job]) -> set[str]:
    return {job.metadata.name for job in store.list()}


def versions(store: Store[Job]) -> dict[str, str]:
    return {job.metadata.name: job.metadata.resource_version for job in store.list()}
