"""Other controllers over the pods of the cluster: CronJobs by hand, Deployments, the scheduler."""

import asyncio

from tests.cluster.space import (
    CRON_JOBS,
    DEADLINE,
    DEPLOYMENTS,
    POLL_SECONDS,
    RAW_PODS,
    Kubectl,
    Namespace,
    Raw,
    is_ready,
    shell,
)

UNTIL_TOLD = "trap 'exit 0' TERM; while :; do sleep 0.05; done"


async def deployment(space: Namespace, *containers: Raw, **spec: object) -> None:
    labels = {"app": "web"}
    fields = {"containers": list(containers), "terminationGracePeriodSeconds": 5}
    template = {"metadata": {"labels": labels}, "spec": space.where.placed(fields)}
    body = {"selector": {"matchLabels": labels}, "template": template, **spec}
    await space.make(DEPLOYMENTS, {"metadata": {"name": "web"}, "spec": body})


async def names(space: Namespace) -> set[str]:
    page = await space.client.list_page(RAW_PODS, space.name, label_selector="app=web")
    return {pod["metadata"]["name"] for pod in page.items if "deletionTimestamp" not in pod["metadata"]}


async def test_a_job_can_be_made_of_a_cron_job_by_hand(space: Namespace, kubectl: Kubectl) -> None:
    template = {"spec": space.where.placed({"restartPolicy": "Never", "containers": [shell("echo by hand")]})}
    spec = {"schedule": "0 0 30 2 *", "jobTemplate": {"spec": {"template": template}}}
    await space.make(CRON_JOBS, {"metadata": {"name": "rarely"}, "spec": spec})
    code, _, err = await kubectl("create", "job", "now", "--from=cronjob/rarely")
    assert code == 0, err
    await space.job_until(lambda job: job["status"].get("succeeded") == 1, "now")
    code, out, _ = await kubectl("logs", "job/now")
    assert (code, out) == (0, "by hand\n")


async def test_a_deployment_replaces_a_pod_that_is_deleted(space: Namespace, kubectl: Kubectl) -> None:
    await deployment(space, shell(UNTIL_TOLD), replicas=1)
    code, _, err = await kubectl("rollout", "status", "deployment/web", "--timeout=60s", deadline=90)
    assert code == 0, err
    (before,) = await names(space)
    await space.delete(before)
    await space.gone(before)
    async with space.within(DEADLINE):
        while not (after := await names(space)):  # noqa: ASYNC110
            await asyncio.sleep(POLL_SECONDS)
    (name,) = after
    assert name != before
    await space.until(is_ready, name)


async def test_a_rollout_replaces_pods_one_by_one(space: Namespace, kubectl: Kubectl) -> None:
    await deployment(space, shell(UNTIL_TOLD), replicas=2, strategy={"rollingUpdate": {"maxUnavailable": 0}})
    code, _, err = await kubectl("rollout", "status", "deployment/web", "--timeout=60s", deadline=90)
    assert code == 0, err
    before = await names(space)
    assert (await kubectl("set", "env", "deployment/web", "VERSION=2"))[0] == 0
    code, _, err = await kubectl("rollout", "status", "deployment/web", "--timeout=60s", deadline=90)
    assert code == 0, err
    assert len(after := await names(space)) == 2
    assert not before & after


async def test_a_pod_that_fits_nowhere_waits(space: Namespace) -> None:
    await space.create(shell("true", resources={"requests": {"cpu": "100000"}}))
    pod = await space.until(lambda pod: "conditions" in pod["status"])
    (scheduled,) = [c for c in pod["status"]["conditions"] if c["type"] == "PodScheduled"]
    assert scheduled["reason"] == "Unschedulable"
    assert pod["status"]["phase"] == "Pending"
