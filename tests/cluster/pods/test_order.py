"""Init containers, native sidecars, and in which order all start and end."""

import pytest
from tests.cluster.space import Namespace, Raw, has, is_ready, shell, status_of, terminated

FOREVER = "while :; do sleep 0.05; done"
LOG: Raw = {"volumeMounts": [{"name": "log", "mountPath": "/log"}]}
VOLUMES: Raw = {"volumes": [{"name": "log", "emptyDir": {}}]}


def sidecar(script: str, name: str, **fields: object) -> Raw:
    return shell(script, name, restartPolicy="Always", **LOG, **fields)


def waiting_sidecar(name: str) -> Raw:
    """Says when it starts, before any later one does, and when it is told to end."""
    return sidecar(
        f"trap 'echo {name}-ended >> /log/order; exit 0' TERM; echo {name} >> /log/order; touch /log/{name}; {FOREVER}",
        name,
        startupProbe=has(f"/log/{name}"),
    )


async def test_init_containers_run_one_after_another_before_the_others(space: Namespace) -> None:
    first = shell("sleep 0.3; echo first >> /log/order", "first", **LOG)
    second = shell("echo second >> /log/order", "second", **LOG)
    pod = await space.run(shell("cat /log/order", **LOG), initContainers=[first, second], **VOLUMES)
    assert await space.log() == "first\nsecond\n"
    assert status_of(pod, "first")["ready"]


async def test_a_failing_init_container_fails_the_pod_before_the_others_start(space: Namespace) -> None:
    pod = await space.run(shell("true"), initContainers=[shell("exit 9", "init")])
    assert pod["status"]["phase"] == "Failed"
    assert terminated(pod, "init")["exitCode"] == 9
    assert status_of(pod)["state"]["waiting"]["reason"] == "PodInitializing"


async def test_a_failing_init_container_is_tried_again_when_the_policy_says_so(space: Namespace) -> None:
    init = shell("test -e /log/seen || { touch /log/seen; exit 1; }", "init", **LOG)
    pod = await space.run(shell("true"), initContainers=[init], restartPolicy="OnFailure", **VOLUMES)
    assert pod["status"]["phase"] == "Succeeded"
    assert status_of(pod, "init")["restartCount"] == 1


async def test_a_pod_with_unfinished_init_containers_is_pending(space: Namespace) -> None:
    await space.create(shell("true"), initContainers=[shell("sleep 60", "init")])
    pod = await space.until(lambda pod: "running" in status_of(pod, "init").get("state", {}))
    assert pod["status"]["phase"] == "Pending"
    conditions = {c["type"]: c["status"] for c in pod["status"]["conditions"]}
    assert conditions["Initialized"] == "False"


async def test_sidecars_run_beside_the_others_and_end_after_them_in_reverse(space: Namespace) -> None:
    sidecars = [waiting_sidecar("one"), waiting_sidecar("two")]
    main = shell("echo main >> /log/order", **LOG)
    reader = sidecar(
        f"trap 'sleep 1; cat /log/order; exit 0' TERM; touch /log/up; {FOREVER}",
        "reader",
        startupProbe=has("/log/up"),
    )
    pod = await space.run(main, initContainers=[reader, *sidecars], **VOLUMES, terminationGracePeriodSeconds=40)
    assert pod["status"]["phase"] == "Succeeded"
    assert (await space.log(container="reader")).split() == ["one", "two", "main", "two-ended", "one-ended"]


async def test_sidecars_outlive_the_others_of_a_pod_that_is_ended(space: Namespace) -> None:
    main = shell("trap 'echo main >> /log/order; exit 0' TERM; echo up; while :; do sleep 0.05; done", **LOG)
    reader = sidecar(
        f"trap 'cat /log/order; exit 0' TERM; touch /log/up; {FOREVER}", "reader", startupProbe=has("/log/up")
    )
    await space.create(main, initContainers=[reader], **VOLUMES, terminationGracePeriodSeconds=40)
    await space.says("up")
    await space.expire()
    assert await space.log(container="reader") == "main\n"


async def test_a_sidecar_that_fails_does_not_fail_the_pod(space: Namespace) -> None:
    pod = await space.run(
        shell("true"), initContainers=[sidecar("trap 'exit 7' TERM; while :; do sleep 0.05; done", "side")], **VOLUMES
    )
    assert pod["status"]["phase"] == "Succeeded"


async def test_a_sidecar_that_ends_is_started_again(space: Namespace) -> None:
    await space.create(shell("sleep 60"), initContainers=[sidecar("exit 1", "side")], **VOLUMES)
    pod = await space.until(lambda pod: status_of(pod, "side").get("restartCount", 0) >= 1)
    assert status_of(pod, "side")["lastState"]["terminated"]["exitCode"] == 1


async def test_a_startup_probe_of_a_sidecar_holds_the_next_container(space: Namespace) -> None:
    probe = {"exec": {"command": ["test", "-e", "/log/open"]}, "periodSeconds": 1, "failureThreshold": 60}
    side = sidecar("sleep 1; touch /log/open; while :; do sleep 0.05; done", "side", startupProbe=probe)
    pod = await space.run(shell("test -e /log/open", **LOG), initContainers=[side], **VOLUMES)
    assert pod["status"]["phase"] == "Succeeded"


@pytest.mark.every_sandbox
async def test_a_job_with_a_sidecar_completes(space: Namespace) -> None:
    await space.job(shell("true"), pod={"initContainers": [waiting_sidecar("side")], **VOLUMES})
    await space.job_until(lambda job: job.get("status", {}).get("succeeded") == 1)


async def test_a_pod_is_ready_when_its_sidecars_are_too(space: Namespace) -> None:
    probe = {"exec": {"command": ["test", "-e", "/log/ready"]}, "periodSeconds": 1}
    side = sidecar("while :; do sleep 0.05; done", "side", readinessProbe=probe)
    await space.create(shell("sleep 600", **LOG), initContainers=[side], **VOLUMES)
    pod = await space.until(lambda pod: status_of(pod).get("ready", False))
    assert pod["status"]["phase"] == "Running"
    assert not is_ready(pod)
    await space.do("touch", "/log/ready")
    await space.until(is_ready)
