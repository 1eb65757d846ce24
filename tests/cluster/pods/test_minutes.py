"""What takes a minute of waiting: begun by fixtures before the first test, looked at last."""

import asyncio

import pytest
from tests.cluster.space import CRON_JOBS, DEADLINE, POLL_SECONDS, RAW_JOBS, Namespace, is_over

pytestmark = pytest.mark.timeout(400)


@pytest.mark.slow("failing_job")
async def test_a_failed_pod_of_a_job_is_replaced_until_its_retries_are_used_up(
    minute: Namespace, failing_job: str
) -> None:
    job = await minute.job_until(lambda job: job["status"].get("failed") == 2, failing_job)
    assert len(await minute.pods_of(failing_job)) == 2
    await minute.job_until(
        lambda job: any(c["type"] == "Failed" for c in job["status"].get("conditions", [])), failing_job
    )
    assert job["spec"]["backoffLimit"] == 1


@pytest.mark.slow("evicted_job")
async def test_an_eviction_need_not_count_as_a_failure_of_the_job(minute: Namespace, evicted_job: str) -> None:
    job = await minute.job_until(lambda job: job["status"].get("active") == 1, evicted_job)
    assert not job["status"].get("failed")
    assert job["spec"]["backoffLimit"] == 0


@pytest.mark.needs_mounts
@pytest.mark.slow("changed_files")
async def test_changes_of_config_maps_and_labels_are_seen_in_mounted_files(
    minute: Namespace, changed_files: str
) -> None:
    await minute.says("after after", changed_files, deadline=150)


@pytest.mark.slow("cron_job")
async def test_a_cron_job_fires_by_itself(minute: Namespace, cron_job: str) -> None:
    job = await newest_of(minute, cron_job)
    await minute.job_until(lambda job: job["status"].get("succeeded") == 1, job)
    (pod,) = await minute.pods_of(job)
    assert is_over(pod)
    assert await minute.log(pod["metadata"]["name"]) == "fired\n"
    async with minute.within(DEADLINE):  # written after the job was made
        while "lastScheduleTime" not in (await minute.client.get(CRON_JOBS, cron_job, minute.name))["status"]:  # noqa: ASYNC110
            await asyncio.sleep(POLL_SECONDS)


async def newest_of(space: Namespace, cron_job: str) -> str:
    async with space.within(90):
        while True:
            page = await space.client.list_page(RAW_JOBS, space.name)
            names: list[str] = sorted(job["metadata"]["name"] for job in page.items)
            if fired := [name for name in names if name.startswith(f"{cron_job}-")]:
                return fired[-1]  # the first ones may be old enough to go
            await asyncio.sleep(0.5)
