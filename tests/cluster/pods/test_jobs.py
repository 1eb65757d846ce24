"""Kubernetes' own controllers over this node's pods."""

import pytest
from tests.cluster.space import RAW_JOBS, Namespace, Raw, is_over, shell

from longshore.errors import NotFound


def completed(job: Raw) -> bool:
    return job.get("status", {}).get("succeeded", 0) == job["spec"].get("completions", 1) and _is(job, "Complete")


def failed(job: Raw) -> bool:
    return _is(job, "Failed")


def _is(job: Raw, condition: str) -> bool:
    return any(c["type"] == condition and c["status"] == "True" for c in job.get("status", {}).get("conditions", []))


@pytest.mark.every_sandbox
async def test_a_job_completes(space: Namespace) -> None:
    await space.job(shell("true"))
    job = await space.job_until(completed)
    assert "completionTime" in job["status"]


async def test_a_job_fails_when_its_retries_are_used_up(space: Namespace) -> None:
    await space.job(shell("exit 1"), backoffLimit=1)
    job = await space.job_until(failed)
    assert job["status"]["failed"] == 2


async def test_indexed_pods_know_their_index(space: Namespace) -> None:
    await space.job(shell('echo "index $JOB_COMPLETION_INDEX"'), completionMode="Indexed", completions=3, parallelism=3)
    await space.job_until(completed)
    said = {await space.log(pod["metadata"]["name"]) for pod in await space.pods_of("job")}
    assert said == {"index 0\n", "index 1\n", "index 2\n"}


async def test_many_pods_run_at_once(space: Namespace) -> None:
    await space.job(shell("true"), completions=30, parallelism=15)
    await space.job_until(completed)


async def test_a_suspended_job_runs_once_it_is_released(space: Namespace) -> None:
    await space.job(shell("true"), suspend=True)
    await space.job_until(lambda job: _is(job, "Suspended"))
    assert await space.pods_of("job") == []
    await space.client.patch(RAW_JOBS, "job", {"spec": {"suspend": False}}, space.name)
    await space.job_until(completed)


async def test_the_deadline_of_a_job_ends_its_pods(space: Namespace) -> None:
    await space.job(shell("sleep 60"), activeDeadlineSeconds=1, pod={"terminationGracePeriodSeconds": 1})
    await space.job_until(failed)
    assert all(is_over(pod) or "deletionTimestamp" in pod["metadata"] for pod in await space.pods_of("job"))


async def test_an_exit_code_can_fail_a_job_at_once(space: Namespace) -> None:
    rule = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}
    await space.job(shell("exit 42"), backoffLimit=5, podFailurePolicy={"rules": [rule]})
    job = await space.job_until(failed)
    assert job["status"]["failed"] == 1


async def test_a_finished_job_goes_after_its_time_to_live(space: Namespace) -> None:
    await space.job(shell("true"), ttlSecondsAfterFinished=0)
    with pytest.raises(NotFound):
        await space.job_until(lambda job: False, deadline=30)
