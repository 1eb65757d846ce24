"""What the API tells of a pod."""

import json
import time
from datetime import UTC, datetime, timedelta

import pytest
from tests.cluster.space import (
    RAW_PODS,
    Kubectl,
    Namespace,
    Raw,
    is_over,
    is_ready,
    is_running,
    shell,
    status_of,
    terminated,
)


async def test_a_running_pod_is_ready_and_a_finished_one_is_not(space: Namespace) -> None:
    await space.create(shell("sleep 600"))
    running = await space.until(is_ready)
    assert running["status"]["phase"] == "Running"
    assert running["status"]["podIP"]
    assert not is_ready(await space.expire())


async def test_the_status_says_where_and_since_when_a_pod_runs(space: Namespace) -> None:
    await space.create(shell("sleep 60"))
    pod = await space.until(is_running)
    status = pod["status"]
    assert status["podIPs"][0]["ip"] == status["podIP"]
    assert status["hostIPs"][0]["ip"] == status["hostIP"]
    assert status["qosClass"] == "BestEffort"
    began = [datetime.fromisoformat(time) for time in (status["startTime"], _running(pod)["startedAt"])]
    assert began == sorted(began)
    assert abs(datetime.now(UTC) - began[0]) < timedelta(minutes=2) * space.patience


async def test_the_times_of_a_container_are_its_own(space: Namespace) -> None:
    """As the container itself sees them, in whole seconds, and no further apart than this test has taken."""
    before = time.time()
    pod = await space.run(shell("date +%s; sleep 2; date +%s"))
    first, last = (int(line) for line in (await space.log()).split())
    began, ended = (datetime.fromisoformat(terminated(pod)[key]).timestamp() for key in ("startedAt", "finishedAt"))
    assert int(before) - space.patience <= began <= first + space.patience
    assert last <= ended <= time.time() + space.patience


async def test_a_container_has_an_identity_that_changes_when_it_is_restarted(space: Namespace) -> None:
    mount: Raw = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    script = "mkdir /v/first || exec sleep 600; until test -e /v/go; do sleep 0.05; done"
    await space.create(shell(script, **mount), restartPolicy="Always", volumes=[{"name": "v", "emptyDir": {}}])
    first = await space.until(is_running)
    await space.do("touch", "/v/go")
    second = await space.until(lambda pod: status_of(pod)["restartCount"] == 1 and is_running(pod))
    assert status_of(first)["containerID"] != status_of(second)["containerID"]
    assert status_of(second)["lastState"]["terminated"]["containerID"] == status_of(first)["containerID"]
    assert status_of(first)["imageID"]


async def test_the_status_says_which_generation_of_the_pod_it_is_about(space: Namespace) -> None:
    await space.create(shell("sleep 60"))
    await space.until(is_running)
    await space.client.patch(RAW_PODS, "pod", {"spec": {"activeDeadlineSeconds": 600}}, space.name)
    pod = await space.until(lambda pod: pod["status"]["observedGeneration"] == pod["metadata"]["generation"])
    assert pod["metadata"]["generation"] == 2


async def test_the_deadline_of_a_pod_that_runs_can_be_shortened(space: Namespace) -> None:
    await space.create(shell("sleep 60"), terminationGracePeriodSeconds=1)
    await space.until(is_running)
    await space.client.patch(RAW_PODS, "pod", {"spec": {"activeDeadlineSeconds": 1}}, space.name)
    pod = await space.until(is_over)
    assert pod["status"]["reason"] == "DeadlineExceeded"


@pytest.mark.process_node(differs="the API refuses it: the node does not say that it can")
async def test_the_resources_of_a_container_can_be_changed_while_it_runs(space: Namespace, kubectl: Kubectl) -> None:
    await space.create(shell("sleep 60", resources={"limits": {"cpu": "100m"}}))
    await space.until(is_running)
    resources = {"limits": {"cpu": "200m"}, "requests": {"cpu": "200m"}}
    patch = json.dumps({"spec": {"containers": [{"name": "main", "resources": resources}]}})
    code, _, err = await kubectl("patch", "pod", "pod", "--subresource", "resize", "--patch", patch)
    if space.where.on_process_node:
        assert code != 0
        assert "without support for resize" in err
    else:
        await space.until(lambda pod: status_of(pod).get("resources", {}).get("limits", {}).get("cpu") == "200m")


def _running(pod: Raw) -> Raw:
    found: Raw = status_of(pod)["state"]["running"]
    return found
