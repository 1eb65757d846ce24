"""What images are on a process node: names of environments."""

import pytest
from tests.cluster.space import Namespace, shell, status_of, waits_for


async def test_an_unknown_image_is_an_error_that_says_what_to_do(space: Namespace) -> None:
    await space.create({"name": "main", "image": "example.com/nobody/nothing:1"})
    pod = await space.until(lambda pod: waits_for("ErrImagePull")(pod) or waits_for("ImagePullBackOff")(pod))
    message = status_of(pod)["state"]["waiting"]["message"]
    assert "longshore/python" in message
    assert "images.toml" in message


async def test_the_python_image_runs_python(space: Namespace) -> None:
    script = "import sys; print(sys.version_info.major, sys.prefix != sys.base_prefix)"
    pod = await space.run({"name": "main", "image": "python:3", "command": ["python", "-c", script]}, deadline=100)
    assert pod["status"]["phase"] == "Succeeded"
    assert await space.log() == "3 True\n"


async def test_an_image_has_a_command_of_its_own(space: Namespace) -> None:
    await space.run(
        {"name": "main", "image": "longshore/python", "args": ["python3", "-c", "print('args')"]}, deadline=60
    )
    assert await space.log() == "args\n"


async def test_the_runner_image_has_longshores_runner(space: Namespace) -> None:
    assert len(await space.output("command -v longshore-runner", container={"image": "longshore/runner:0.1.0"})) == 1


@pytest.mark.timeout(400)
async def test_sumo_simulates(space: Namespace) -> None:
    script = """
    set -e
    netgenerate --grid --grid.number=3 -o net.net.xml
    randomTrips.py -n net.net.xml -e 50 -o trips.trips.xml
    sumo -n net.net.xml -r trips.trips.xml --end 200 --tripinfo-output tripinfo.xml --no-step-log
    grep -c '<tripinfo ' tripinfo.xml
    """
    container = shell(script, image="longshore/sumo:1", workingDir="/tmp")
    pod = await space.run(container, deadline=200)
    said = await space.log()
    assert pod["status"]["phase"] == "Succeeded", said
    assert int(said.splitlines()[-1]) > 10


async def test_sumo_ends_cleanly_when_told(space: Namespace) -> None:
    script = """
    set -e
    netgenerate --grid --grid.number=3 -o net.net.xml
    exec sumo -n net.net.xml --begin 0 --end 1000000000 --step-log.period 1000
    """
    await space.create(shell(script, image="longshore/sumo", workingDir="/tmp"), terminationGracePeriodSeconds=40)
    await space.says("Step #", deadline=100)  # from then on it ends by itself, before that at once
    pod = await space.expire()
    assert status_of(pod)["state"]["terminated"]["exitCode"] == 0
