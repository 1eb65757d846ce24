"""Pods that use more memory or disk than they may."""

import pytest
from tests.cluster.space import Namespace, Raw, shell, status_of, terminated

HOG = "cat /dev/zero | tail -c 100000000"  # keeps so many bytes, for ever
FILL = "head -c 3000000 /dev/zero > {}; sleep 600"
EVICTED_WITHIN = 100.0  # a kubelet looks every 10 s


def limited(**limits: str) -> Raw:
    return {"resources": {"limits": limits}}


async def kills_whole_containers(space: Namespace) -> None:
    """A kubelet has the kernel do so by memory.oom.group, which only cgroup v2 knows."""
    if space.where.on_process_node:
        return
    await space.run(shell("ls /sys/fs/cgroup"), name="cgroup")
    if "cgroup.controllers" not in await space.log("cgroup"):
        pytest.skip("the node has cgroup v1, where the kernel kills single processes")


@pytest.mark.process_node(kubelet="with cgroup v2; with v1 the kernel kills one process")
async def test_a_container_over_its_memory_limit_is_killed_whole(space: Namespace) -> None:
    await kills_whole_containers(space)
    script = f"{HOG} & while :; do sleep 1; done"
    pod = await space.run(shell(script, **limited(memory="64Mi")))
    assert pod["status"]["phase"] == "Failed"
    assert terminated(pod)["reason"] == "OOMKilled"
    assert terminated(pod)["exitCode"] == 137


async def test_only_the_container_over_its_limit_is_killed_and_started_again(space: Namespace) -> None:
    first = f"test -e /v/seen && exec sleep 60; touch /v/seen; {HOG}"
    mount: Raw = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    greedy = shell(first, "greedy", **mount, **limited(memory="64Mi"))
    frugal = shell("sleep 60", "frugal", **limited(memory="64Mi"))
    await space.create(greedy, frugal, restartPolicy="OnFailure", volumes=[{"name": "v", "emptyDir": {}}])
    pod = await space.until(lambda pod: "running" in status_of(pod, "greedy").get("state", {}) and _restarted(pod))
    assert status_of(pod, "greedy")["lastState"]["terminated"]["reason"] == "OOMKilled"
    assert status_of(pod, "frugal")["restartCount"] == 0


def _restarted(pod: Raw) -> bool:
    return bool(status_of(pod, "greedy")["restartCount"] == 1)


async def test_memory_that_is_allowed_is_given(space: Namespace) -> None:
    script = "head -c 30000000 /dev/zero | tail -c 30000000 | wc -c"
    assert await space.output(script, container=limited(memory="64Mi")) == ["30000000"]


async def test_a_job_can_treat_running_out_of_memory_as_any_exit_code(space: Namespace) -> None:
    rule = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [137]}}
    await space.job(shell(HOG, **limited(memory="64Mi")), backoffLimit=5, podFailurePolicy={"rules": [rule]})
    job = await space.job_until(lambda job: job.get("status", {}).get("failed", 0) > 0 and _has_failed(job))
    assert job["status"]["failed"] == 1


def _has_failed(job: Raw) -> bool:
    return any(c["type"] == "Failed" and c["reason"] == "PodFailurePolicy" for c in job["status"].get("conditions", []))


async def test_a_pods_own_memory_limit_is_its_only_containers(space: Namespace) -> None:
    pod = await space.run(shell(HOG), **limited(memory="64Mi"))
    assert terminated(pod)["reason"] == "OOMKilled"


@pytest.mark.process_node(
    field="spec.resources.limits.memory", refused="only containers have limits here, not all of them together"
)
async def test_containers_share_their_pods_memory_limit(space: Namespace) -> None:
    half = "cat /dev/zero | tail -c 40000000"
    await space.create(shell(half, "one"), shell(half, "two"), **limited(memory="64Mi"))
    await space.until(lambda pod: any(_ran_out(pod, name) for name in ("one", "two")))


def _ran_out(pod: Raw, name: str) -> bool:
    return bool(status_of(pod, name).get("state", {}).get("terminated", {}).get("reason") == "OOMKilled")


async def test_a_pod_is_evicted_when_an_empty_dir_is_over_its_size(space: Namespace) -> None:
    mount: Raw = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    volume = {"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}
    pod = await space.run(
        shell(FILL.format("/v/file"), **mount), volumes=[volume], restartPolicy="Always", deadline=EVICTED_WITHIN
    )
    assert (pod["status"]["phase"], pod["status"]["reason"]) == ("Failed", "Evicted")
    assert pod["status"]["message"] == 'Usage of EmptyDir volume "v" exceeds the limit "1Mi". '
    assert pod["status"]["message"].strip() in await space.event("Evicted")
    # it is the pod's own fault: an eviction like this must not look as one by the node's to a Job that ignores those
    assert all(condition["type"] != "DisruptionTarget" for condition in pod["status"]["conditions"])


async def test_a_pod_is_evicted_when_it_takes_more_of_the_disk_than_its_containers_may(space: Namespace) -> None:
    filling = shell(FILL.format("/tmp/file"), "filling", **limited(**{"ephemeral-storage": "1Mi"}))
    beside = shell("sleep 600", "beside", **limited(**{"ephemeral-storage": "1Mi"}))
    pod = await space.run(filling, beside, deadline=EVICTED_WITHIN)
    assert (pod["status"]["phase"], pod["status"]["reason"]) == ("Failed", "Evicted")
    told = "Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. "
    assert pod["status"]["message"] == told


async def test_what_a_container_says_counts_as_disk(space: Namespace) -> None:
    saying = shell(
        "head -c 3000000 /dev/zero | tr '\\0' x; sleep 600", "saying", **limited(**{"ephemeral-storage": "1Mi"})
    )
    beside = shell("sleep 600", "beside", **limited(**{"ephemeral-storage": "10Mi"}))
    pod = await space.run(saying, beside, deadline=EVICTED_WITHIN)
    assert pod["status"]["message"] == 'Container saying exceeded its local ephemeral storage limit "1Mi". '
