"""Logs by the API's options, and by kubectl."""

import asyncio
import re
from datetime import datetime, timedelta

import pytest
from tests.cluster.space import DEADLINE, POLL_SECONDS, Kubectl, Namespace, Raw, shell, status_of

from longshore.errors import LongshoreError

OLD_AND_NEW = "echo old; sleep 1; while echo new; do sleep 0.1; done"


@pytest.mark.every_sandbox
async def test_a_log_holds_stdout_and_stderr(space: Namespace) -> None:
    await space.run(shell("echo out; echo err >&2; printf 'no newline'"))
    lines = (await space.log()).splitlines()
    assert sorted(lines) == ["err", "no newline", "out"]  # which come by two pipes
    assert lines.index("out") < lines.index("no newline")


async def test_tail_gives_the_last_lines(space: Namespace) -> None:
    await space.run(shell("seq 1 1000"))
    assert await space.log(tail_lines=3) == "998\n999\n1000\n"
    assert await space.log(tail_lines=0) == ""
    assert len((await space.log(tail_lines=5000)).splitlines()) == 1000


async def test_timestamps_are_rfc3339_and_in_order(space: Namespace) -> None:
    await space.run(shell("echo a; sleep 0.2; echo b"))
    lines = (await space.log(timestamps=True)).splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == ["a", "b"]
    times = [line.split(" ", 1)[0] for line in lines]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", time) for time in times)
    assert times == sorted(times)


async def test_since_leaves_out_what_is_older(space: Namespace) -> None:
    await space.create(shell(OLD_AND_NEW))
    await space.says("new")
    async with space.within(DEADLINE):
        while set((await space.log(since_seconds=1)).split()) != {"new"}:  # noqa: ASYNC110
            await asyncio.sleep(POLL_SECONDS)
    assert (await space.log()).startswith("old\n")


async def test_since_time_leaves_out_what_is_older(space: Namespace) -> None:
    await space.create(shell(OLD_AND_NEW))
    await space.says("old")
    old, *_ = (await space.log(timestamps=True)).splitlines()
    later = datetime.fromisoformat(old.split()[0][:26] + "+00:00") + timedelta(seconds=1)
    async with space.within(DEADLINE):
        while not (said := await space.log(since_time=later)):  # noqa: ASYNC110
            await asyncio.sleep(POLL_SECONDS)
    assert set(said.split()) == {"new"}


async def test_kubectl_shows_all_containers_init_ones_too(space: Namespace, kubectl: Kubectl) -> None:
    await space.run(shell("echo one", "one"), shell("echo two", "two"), initContainers=[shell("echo init", "init")])
    code, out, _ = await kubectl("logs", "pod", "--all-containers", "--prefix")
    assert code == 0
    assert sorted(out.splitlines()) == ["[pod/pod/init] init", "[pod/pod/one] one", "[pod/pod/two] two"]


async def test_a_container_that_never_restarted_has_no_previous_log(space: Namespace) -> None:
    await space.run(shell("true"))
    with pytest.raises(LongshoreError, match="previous terminated container"):
        await space.log(previous=True)


async def test_limit_bytes_cuts_the_log(space: Namespace) -> None:
    await space.run(shell("seq 1 1000"))
    assert await space.log(limit_bytes=10) == "1\n2\n3\n4\n5\n"


async def test_long_lines_are_whole(space: Namespace) -> None:
    await space.run(shell("head -c 100000 /dev/zero | tr '\\0' x; echo; echo end"))
    first, second = (await space.log()).splitlines()
    assert first == "x" * 100000
    assert second == "end"


async def test_previous_is_the_log_of_the_attempt_before(space: Namespace) -> None:
    mount: Raw = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    script = "echo $(date +%s%N); test -e /v/seen && exec sleep 600; touch /v/seen; exit 1"
    await space.create(shell(script, **mount), restartPolicy="Always", volumes=[{"name": "v", "emptyDir": {}}])
    await space.until(lambda pod: status_of(pod).get("restartCount", 0) >= 1 and "running" in status_of(pod)["state"])
    assert await space.log(previous=True) != await space.log()


async def test_a_log_is_followed_line_by_line_until_the_container_ends(space: Namespace) -> None:
    """No line is said before the one before it has been heard."""
    await space.create(shell("for i in 1 2 3; do echo $i; until test -e /tmp/$i; do sleep 0.05; done; done"))
    await space.says("1")
    heard = b""
    async with space.within(DEADLINE):
        async for chunk in space.client.logs("pod", space.name, follow=True):
            heard += chunk
            await space.do("touch", f"/tmp/{chunk.decode().strip()}")
    assert heard == b"1\n2\n3\n"


async def test_a_container_that_waits_has_no_log_yet(space: Namespace) -> None:
    await space.create({"name": "main", "image": "no-such-image-here"})
    await space.until(lambda pod: "waiting" in status_of(pod).get("state", {}))
    with pytest.raises(LongshoreError, match="waiting to start"):
        await space.log()


async def test_kubectl_creates_a_job_and_follows_its_log(space: Namespace, kubectl: Kubectl) -> None:
    code, _, err = await kubectl(
        "create",
        "job",
        "hello",
        f"--image={space.where.image('busybox')}",
        "--",
        "sh",
        "-c",
        "echo one; sleep 1; echo two",
    )
    assert code == 0, err
    await space.job_until(lambda job: "active" in job["status"] or "succeeded" in job["status"], "hello")
    (pod,) = await space.pods_of("hello")
    await space.until(lambda pod: pod["status"]["phase"] != "Pending", pod["metadata"]["name"])
    code, out, err = await kubectl("logs", "-f", "job/hello", "--pod-running-timeout=60s")
    assert (code, out) == (0, "one\ntwo\n"), err
    code, _, err = await kubectl("wait", "--for=condition=complete", "job/hello", "--timeout=60s", deadline=90)
    assert code == 0, err


async def test_an_unfinished_line_is_not_lost_when_the_container_is_killed(space: Namespace) -> None:
    script = "trap '' TERM; printf 'up\\npartial'; while :; do sleep 0.05; done"
    await space.create(shell(script), terminationGracePeriodSeconds=1)
    await space.says("up")
    await space.expire()
    assert (await space.log()).splitlines() == ["up", "partial"]


async def test_two_followers_see_the_same(space: Namespace) -> None:
    await space.create(shell("for i in 1 2 3 4 5; do echo $i; sleep 0.2; done"))
    await space.says("1")
    one, two = await asyncio.gather(space.log(follow=True), space.log(follow=True))
    assert one == two == "1\n2\n3\n4\n5\n"
