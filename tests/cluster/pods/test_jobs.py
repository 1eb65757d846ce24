"""Kubernetes' own Job controller over the pods of the cluster."""

import asyncio

import pytest
from tests.cluster.space import DEADLINE, RAW_JOBS, Namespace, Raw, is_over, is_running, shell

from longshore.errors import NotFound


def completed(job: Raw) -> bool:
    return _is(job, "Complete")


def failed(job: Raw) -> bool:
    return _is(job, "Failed")


def _is(job: Raw, condition: str) -> bool:
    return any(c["type"] == condition and c["status"] == "True" for c in job.get("status", {}).get("conditions", []))


@pytest.mark.every_sandbox
async def test_a_job_completes(space: Namespace) -> None:
    await space.job(shell("true"))
    job = await space.job_until(completed)
    assert "completionTime" in job["status"]


async def test_a_job_without_retries_fails_with_its_pod(space: Namespace) -> None:
    await space.job(shell("exit 1"))
    job = await space.job_until(failed)
    assert job["status"]["failed"] == 1


async def test_a_container_of_a_job_may_be_restarted_in_its_pod(space: Namespace) -> None:
    mount: Raw = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    script = "test -e /v/seen || { touch /v/seen; exit 1; }"
    pod = {"restartPolicy": "OnFailure", "volumes": [{"name": "v", "emptyDir": {}}]}
    await space.job(shell(script, **mount), pod=pod, backoffLimit=2)
    await space.job_until(completed)
    (only,) = await space.pods_of("job")
    assert only["status"]["containerStatuses"][0]["restartCount"] == 1


async def test_parallelism_bounds_how_many_run_at_once(space: Namespace) -> None:
    await space.job(shell("until test -e /tmp/go; do sleep 0.05; done"), completions=4, parallelism=2)
    told: set[str] = set()

    async def running() -> list[str]:
        there = [pod for pod in await space.pods_of("job") if not is_over(pod)]
        assert len(there) <= 2
        return [pod["metadata"]["name"] for pod in there if is_running(pod) and pod["metadata"]["name"] not in told]

    async with space.within(DEADLINE):
        for at_once in (2, 2, 2, 1):
            while len(names := await running()) != at_once:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            told.add(names[0])
            await space.do("touch", "/tmp/go", name=names[0])
    job = await space.job_until(completed)
    assert job["status"]["succeeded"] == 4


@pytest.mark.needs_mounts
async def test_indexed_pods_know_their_index(space: Namespace) -> None:
    script = 'echo "index $JOB_COMPLETION_INDEX of $(hostname)"'
    await space.job(shell(script), completionMode="Indexed", completions=3, parallelism=3)
    job = await space.job_until(completed)
    assert job["status"]["completedIndexes"] == "0-2"
    said = {await space.log(pod["metadata"]["name"]) for pod in await space.pods_of("job")}
    assert said == {f"index {i} of job-{i}\n" for i in range(3)}


async def test_each_index_may_have_retries_of_its_own(space: Namespace) -> None:
    indexed: Raw = {"completionMode": "Indexed", "completions": 3, "parallelism": 3, "backoffLimit": None}
    await space.job(shell('test "$JOB_COMPLETION_INDEX" != 1'), backoffLimitPerIndex=0, **indexed)
    job = await space.job_until(failed)
    assert job["status"]["failedIndexes"] == "1"
    assert job["status"]["completedIndexes"] == "0,2"


async def test_success_of_one_index_may_be_enough(space: Namespace) -> None:
    script = 'test "$JOB_COMPLETION_INDEX" = 0 || exec sleep 60'
    policy = {"rules": [{"succeededIndexes": "0"}]}
    indexed: Raw = {"completionMode": "Indexed", "completions": 2, "parallelism": 2}
    await space.job(shell(script), successPolicy=policy, pod={"terminationGracePeriodSeconds": 1}, **indexed)
    job = await space.job_until(completed)
    assert job["status"]["succeeded"] == 1


async def test_many_pods_run_at_once(space: Namespace) -> None:
    await space.job(shell("true"), completions=30, parallelism=15)
    await space.job_until(completed, deadline=100)


async def test_a_suspended_job_runs_once_it_is_released(space: Namespace) -> None:
    await space.job(shell("true"), suspend=True)
    await space.job_until(lambda job: _is(job, "Suspended"))
    assert await space.pods_of("job") == []
    await space.client.patch(RAW_JOBS, "job", {"spec": {"suspend": False}}, space.name)
    await space.job_until(completed)


async def test_suspending_a_job_ends_its_pods(space: Namespace) -> None:
    await space.job(shell("trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done"))
    await space.job_until(lambda job: job.get("status", {}).get("active") == 1)
    (pod,) = await space.pods_of("job")
    await space.says("up", pod["metadata"]["name"])
    await space.client.patch(RAW_JOBS, "job", {"spec": {"suspend": True}}, space.name)
    await space.gone(pod["metadata"]["name"])
    job = await space.job_until(lambda job: _is(job, "Suspended"))
    assert not job["status"].get("failed")


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
        await space.job_until(lambda job: False)


async def test_deleting_a_job_deletes_its_pods(space: Namespace) -> None:
    await space.job(shell("trap 'exit 0' TERM; while :; do sleep 0.05; done"))
    await space.job_until(lambda job: job.get("status", {}).get("active") == 1)
    (pod,) = await space.pods_of("job")
    await space.client.delete(RAW_JOBS, "job", space.name)
    await space.gone(pod["metadata"]["name"])
