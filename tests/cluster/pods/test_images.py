"""When images are fetched, and what is told when they cannot be."""

from tests.cluster.space import Namespace, shell, status_of, waits_for

UNKNOWN = "registry.invalid/nobody/nothing:1"


async def test_an_unknown_image_is_an_error_that_backs_off(space: Namespace) -> None:
    await space.create({"name": "main", "image": UNKNOWN})
    await space.until(lambda pod: waits_for("ErrImagePull")(pod) or waits_for("ImagePullBackOff")(pod))
    pod = await space.until(waits_for("ImagePullBackOff"))
    assert "nothing" in status_of(pod)["state"]["waiting"]["message"]
    assert "nothing" in await space.event("Failed")
    assert pod["status"]["phase"] == "Pending"


async def test_an_image_that_must_be_there_is_never_fetched(space: Namespace) -> None:
    await space.create({"name": "main", "image": UNKNOWN, "imagePullPolicy": "Never"})
    await space.until(waits_for("ErrImageNeverPull"))


async def test_an_image_that_is_there_needs_no_fetching(space: Namespace) -> None:
    await space.run(shell("true"))
    pod = await space.run(shell("true", imagePullPolicy="Never"), name="again")
    assert pod["status"]["phase"] == "Succeeded"


async def test_an_image_with_an_impossible_name_says_so(space: Namespace) -> None:
    await space.create({"name": "main", "image": "Not/A/Name:!"})
    await space.until(waits_for("InvalidImageName"))


async def test_other_containers_run_while_one_waits_for_its_image(space: Namespace) -> None:
    await space.create({"name": "main", "image": UNKNOWN}, shell("echo up; sleep 60", "other"))
    await space.says("up", container="other")
    pod = await space.until(lambda pod: "waiting" in status_of(pod)["state"])
    assert pod["status"]["phase"] == "Pending"
