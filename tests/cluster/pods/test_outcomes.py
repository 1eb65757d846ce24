"""Exit codes, restart policies, termination messages."""

import pytest
from tests.cluster.space import Namespace, Raw, shell, status_of, terminated, waits_for


async def test_a_command_that_exits_zero_succeeds(space: Namespace) -> None:
    pod = await space.run(shell("exit 0"))
    assert pod["status"]["phase"] == "Succeeded"
    assert terminated(pod)["exitCode"] == 0
    assert terminated(pod)["reason"] == "Completed"


async def test_an_exit_code_fails_the_pod_and_is_kept(space: Namespace) -> None:
    pod = await space.run(shell("exit 42"))
    assert pod["status"]["phase"] == "Failed"
    assert terminated(pod)["exitCode"] == 42
    assert terminated(pod)["reason"] == "Error"


@pytest.mark.every_sandbox
async def test_a_signal_shows_as_128_and_its_number(space: Namespace) -> None:
    # $$ is one dollar by the rules of $(VAR)
    pod = await space.run(shell("sh -c 'kill -SEGV $$$$'; exit $?"))
    assert terminated(pod)["exitCode"] == 139


@pytest.mark.every_sandbox
async def test_a_command_that_is_not_there_names_itself(space: Namespace) -> None:
    pod = await space.run({"name": "main", "image": "busybox", "command": ["no-such-program"]})
    assert pod["status"]["phase"] == "Failed"
    assert terminated(pod)["exitCode"] == 128
    assert terminated(pod)["reason"] == "StartError"
    assert "no-such-program" in terminated(pod)["message"]


async def test_args_and_command_and_working_dir_reach_the_process(space: Namespace) -> None:
    lines = await space.output(
        "ignored", container={"command": ["sh", "-c", 'echo "$0 $1"; pwd'], "args": ["a b", "c"], "workingDir": "/usr"}
    )
    assert lines == ["a b c", "/usr"]


async def test_all_containers_must_end_and_one_failure_fails_the_pod(space: Namespace) -> None:
    pod = await space.run(shell("exit 0", "good"), shell("exit 3", "bad"))
    assert pod["status"]["phase"] == "Failed"
    assert (terminated(pod, "good")["exitCode"], terminated(pod, "bad")["exitCode"]) == (0, 3)


@pytest.mark.needs_mounts
async def test_the_termination_message_is_read_from_its_file(space: Namespace) -> None:
    pod = await space.run(shell("printf 'lost the key' > /dev/termination-log; exit 1"))
    assert terminated(pod)["message"] == "lost the key"


@pytest.mark.needs_mounts
@pytest.mark.every_sandbox
async def test_the_termination_message_path_can_be_chosen(space: Namespace) -> None:
    pod = await space.run(shell("printf why > /out/why", terminationMessagePath="/out/why"))
    assert terminated(pod)["message"] == "why"


async def test_the_end_of_the_log_stands_in_for_the_message_of_a_failure(space: Namespace) -> None:
    policy = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    pod = await space.run(shell("for i in $(seq 200); do echo line $i; done; exit 1", **policy))
    message = terminated(pod)["message"]
    assert message.rstrip().endswith("line 200")
    assert len(message) <= 2048
    assert len(message.splitlines()) <= 81


async def test_on_failure_runs_again_until_it_succeeds(space: Namespace) -> None:
    volume: Raw = {"volumes": [{"name": "v", "emptyDir": {}}]}
    mount: Raw = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    pod = await space.run(
        shell("test -e /v/seen || { touch /v/seen; exit 1; }", **mount), restartPolicy="OnFailure", **volume
    )
    assert pod["status"]["phase"] == "Succeeded"
    assert status_of(pod)["restartCount"] == 1
    assert status_of(pod)["lastState"]["terminated"]["exitCode"] == 1


async def test_always_runs_again_after_success(space: Namespace) -> None:
    await space.create(shell("exit 0"), restartPolicy="Always")
    pod = await space.until(lambda pod: status_of(pod).get("restartCount", 0) >= 1)
    assert pod["status"]["phase"] == "Running"


async def test_a_container_that_crashes_again_backs_off(space: Namespace) -> None:
    await space.create(shell("exit 5"), restartPolicy="Always")
    pod = await space.until(waits_for("CrashLoopBackOff"))
    assert status_of(pod)["lastState"]["terminated"]["exitCode"] == 5
    assert "back-off" in status_of(pod)["state"]["waiting"]["message"]
    assert not status_of(pod)["ready"]
