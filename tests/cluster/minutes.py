"""What the list of pod behaviours begins before the session's first test on a cluster, because it takes a minute."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from tests.cluster.space import CRON_JOBS, RAW_PODS, Namespace, Raw, Where, is_running, shell

from longshore.kube.client import Client
from longshore.kube.objects import CONFIG_MAPS

SHOWN: Raw = {"volumeMounts": [{"name": "v", "mountPath": "/shown"}]}


@pytest.fixture(scope="session")
async def minute(client: Client, usual: Where) -> AsyncIterator[Namespace]:
    """A namespace in which it all goes on while the other tests run."""
    space = Namespace(client, f"minute-{uuid4().hex[:8]}", usual)
    await space.open()
    yield space
    await space.close()


@pytest.fixture(scope="session")
async def cron_job(minute: Namespace) -> str:
    """Due every minute."""
    template = {"spec": minute.where.placed({"restartPolicy": "Never", "containers": [shell("echo fired")]})}
    spec = {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": template}}}
    await minute.make(CRON_JOBS, {"metadata": {"name": "every-minute"}, "spec": spec})
    return "every-minute"


@pytest.fixture(scope="session")
async def failing_job(minute: Namespace) -> str:
    """Has one retry, for which the Job controller waits 10 s."""
    return await minute.job(shell("exit 1"), name="retried", backoffLimit=1)


@pytest.fixture(scope="session")
async def changed_files(minute: Namespace) -> str:
    """A pod that says what its files hold; both their sources have changed since it began."""
    await minute.config_map("files", word="before")
    sources = [
        {"configMap": {"name": "files"}},
        {"downwardAPI": {"items": [{"path": "label", "fieldRef": {"fieldPath": "metadata.labels['word']"}}]}},
    ]
    script = 'while :; do echo "$(cat /shown/word) $(cat /shown/label)"; sleep 1; done'
    name = await minute.create(
        shell(script, **SHOWN),
        name="reader",
        meta={"labels": {"word": "before"}},
        volumes=[{"name": "v", "projected": {"sources": sources}}],
    )
    await minute.says("before before", name)
    await minute.client.patch(CONFIG_MAPS, "files", {"data": {"word": "after"}}, minute.name)
    await minute.client.patch(RAW_PODS, name, {"metadata": {"labels": {"word": "after"}}}, minute.name)
    return name


@pytest.fixture(scope="session")
async def evicted_job(minute: Namespace) -> str:
    """Its pod has been evicted, which its policy says is not a failure; its next one comes after 10 s."""
    rule = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    script = "trap 'exit 1' TERM; while :; do sleep 0.05; done"
    job = await minute.job(shell(script), name="evicted", podFailurePolicy={"rules": [rule]})
    await minute.job_until(lambda job: job.get("status", {}).get("active") == 1, job)
    (pod,) = await minute.pods_of(job)
    name = pod["metadata"]["name"]
    await minute.until(is_running, name)
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": minute.name}}
    await minute.client.call("POST", f"/api/v1/namespaces/{minute.name}/pods/{name}/eviction", body=eviction)
    await minute.gone(name)
    return job
