"""How pods end before their time: deletion, grace, deadlines, and whole trees of processes."""

import time

import pytest
from tests.cluster.space import Kubectl, Namespace, Raw, has, is_running, shell, status_of, terminated

DEAF = "trap '' TERM; echo up; while :; do sleep 0.05; done"
LOG: Raw = {"volumeMounts": [{"name": "log", "mountPath": "/log"}]}


async def test_a_deleted_pod_is_asked_to_end_and_then_gone(space: Namespace) -> None:
    await space.create(shell("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done"))
    await space.says("up")
    await space.delete()
    await space.gone()


@pytest.mark.every_sandbox
async def test_a_pod_that_ignores_sigterm_is_killed_after_its_grace(space: Namespace) -> None:
    await space.create(shell(DEAF), terminationGracePeriodSeconds=2)
    await space.says("up")
    began = time.monotonic()
    await space.delete()
    await space.gone()
    assert 1.5 < time.monotonic() - began < 25 * space.patience


@pytest.mark.process_node(differs="it is, as the API promises")
async def test_a_grace_that_has_begun_is_not_shortened_by_a_second_delete(space: Namespace) -> None:
    """A kubelet does not interrupt the stop that it has asked of its runtime: kubernetes/kubernetes#113606."""
    script = "trap 'echo heard' TERM; echo up; while :; do sleep 0.05; done"
    await space.create(shell(script), terminationGracePeriodSeconds=600 if space.where.on_process_node else 15)
    await space.says("up")
    began = time.monotonic()
    await space.delete()
    await space.says("heard")
    await space.delete(grace=1)
    await space.gone()
    assert space.where.on_process_node or time.monotonic() - began > 14


async def test_a_pod_deleted_by_force_is_gone_at_once(space: Namespace, kubectl: Kubectl) -> None:
    await space.create(shell(DEAF), terminationGracePeriodSeconds=600)
    await space.says("up")
    code, _, err = await kubectl("delete", "pod", "pod", "--force", "--wait=false")
    assert code == 0, err
    await space.gone()


async def test_all_containers_are_asked_to_end_at_once(space: Namespace) -> None:
    script = "trap 'touch /log/{0}; until test -e /log/{1}; do sleep 0.05; done; exit 5' TERM; echo up; {2}"
    forever = "while :; do sleep 0.05; done"
    await space.create(
        shell(script.format("one", "two", forever), "one", **LOG),
        shell(script.format("two", "one", forever), "two", **LOG),
        volumes=[{"name": "log", "emptyDir": {}}],
        terminationGracePeriodSeconds=40,
    )
    for name in ("one", "two"):
        await space.says("up", container=name)
    pod = await space.expire()  # one after the other, the first would wait for the second until it is killed
    assert [terminated(pod, name)["exitCode"] for name in ("one", "two")] == [5, 5]


@pytest.mark.process_node(differs="a command is not the first process of its container: SIGTERM ends it at once, 143")
async def test_a_first_process_without_a_handler_does_not_hear_sigterm(space: Namespace) -> None:
    sleeper = {"name": "main", "image": "busybox", "command": ["sleep", "600"]}
    await space.create(sleeper, terminationGracePeriodSeconds=600 if space.where.on_process_node else 2)
    await space.until(is_running)
    pod = await space.expire()
    assert terminated(pod)["exitCode"] == (143 if space.where.on_process_node else 137)


async def test_a_pod_can_be_deleted_before_it_ever_ran(space: Namespace) -> None:
    await space.create({"name": "main", "image": "no-such-image-here"})
    await space.until(lambda pod: "waiting" in status_of(pod).get("state", {}))
    await space.delete()
    await space.gone()


async def test_a_finished_pod_can_be_deleted(space: Namespace) -> None:
    await space.run(shell("true"))
    await space.delete()
    await space.gone()


async def test_the_pods_deadline_ends_it(space: Namespace) -> None:
    pod = await space.run(shell("sleep 60"), activeDeadlineSeconds=1)
    assert pod["status"]["phase"] == "Failed"
    assert pod["status"]["reason"] == "DeadlineExceeded"


async def test_a_command_that_ignores_the_deadline_is_killed(space: Namespace) -> None:
    await space.create(shell(DEAF), terminationGracePeriodSeconds=1)
    await space.says("up")
    pod = await space.expire()
    assert terminated(pod)["exitCode"] == 137


@pytest.mark.every_sandbox
async def test_processes_that_a_command_leaves_behind_end_with_it(space: Namespace) -> None:
    orphan = "setsid sh -c 'echo alive; echo >&3; while :; do echo alive; sleep 0.05; done'"
    await space.run(shell(f"exec 4>&1; {{ {orphan} 3>&1 >&4 & }} | read begun"))
    assert "alive" in await space.log()
    first = await space.log()
    await space.run(shell("sleep 0.5"), name="later")
    assert await space.log() == first


async def test_pre_stop_runs_before_the_signal(space: Namespace) -> None:
    hook = {"preStop": {"exec": {"command": ["sh", "-c", "echo hook >> /log/order"]}}}
    script = "trap 'echo term >> /log/order; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    reader = shell(
        "trap 'sleep 1; cat /log/order; exit 0' TERM; touch /log/up; while :; do sleep 0.05; done",
        "reader",
        restartPolicy="Always",
        startupProbe=has("/log/up"),
        **LOG,
    )
    await space.create(
        shell(script, lifecycle=hook, **LOG),
        initContainers=[reader],
        volumes=[{"name": "log", "emptyDir": {}}],
        terminationGracePeriodSeconds=40,
    )
    await space.says("up")
    await space.expire()
    assert (await space.log(container="reader")).split() == ["hook", "term"]


async def test_pre_stop_may_wait_before_the_signal(space: Namespace) -> None:
    script = "trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done"
    await space.create(
        shell(script, lifecycle={"preStop": {"sleep": {"seconds": 2}}}), terminationGracePeriodSeconds=40
    )
    await space.says("up")
    began = time.monotonic()
    pod = await space.expire()
    assert terminated(pod)["exitCode"] == 7
    assert time.monotonic() - began > 1.9


async def test_post_start_runs_and_its_failure_ends_the_container(space: Namespace) -> None:
    hook = {"postStart": {"exec": {"command": ["sh", "-c", "exit 1"]}}}
    pod = await space.run(shell("trap 'exit 3' TERM; while :; do sleep 0.05; done", lifecycle=hook))
    assert pod["status"]["phase"] == "Failed"
