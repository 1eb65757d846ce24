"""Whom a container runs as, and what it may do."""

import pytest
from tests.cluster.space import Namespace, Raw, shell, status_of, waits_for

VOLUME: Raw = {"volumes": [{"name": "v", "emptyDir": {}}]}
MOUNT: Raw = {"volumeMounts": [{"name": "v", "mountPath": "/data"}]}


@pytest.mark.needs_mounts
@pytest.mark.every_sandbox
@pytest.mark.parametrize("context", [{"runAsUser": 1234}, {"runAsUser": 1234, "runAsGroup": 99}])
async def test_a_container_believes_to_be_the_user_it_asked_for(space: Namespace, context: Raw) -> None:
    lines = await space.output("id -u; id -g", container={"securityContext": context})
    assert lines == ["1234", str(context.get("runAsGroup", 0))]


@pytest.mark.needs_mounts
async def test_a_container_may_overrule_its_pods_user(space: Namespace) -> None:
    context: Raw = {"securityContext": {"runAsUser": 1}}
    one, two = shell("id -u", "one"), shell("id -u", "two", securityContext={"runAsUser": 2})
    await space.run(one, two, **context)
    assert [await space.log(container=name) for name in ("one", "two")] == ["1\n", "2\n"]


async def test_run_as_non_root_refuses_root(space: Namespace) -> None:
    await space.create(shell("true", securityContext={"runAsNonRoot": True, "runAsUser": 0}))
    await space.until(waits_for("CreateContainerConfigError"))


@pytest.mark.needs_mounts
@pytest.mark.process_node(differs="images have no user, so the container gets one that is not root")
async def test_run_as_non_root_refuses_an_image_of_root(space: Namespace) -> None:
    await space.create(shell("id -u", securityContext={"runAsNonRoot": True}))
    if space.where.on_process_node:
        await space.until(lambda pod: "terminated" in status_of(pod).get("state", {}))
        assert await space.log() != "0\n"
    else:
        await space.until(waits_for("CreateContainerConfigError"))


async def test_a_user_may_write_to_an_empty_dir(space: Namespace) -> None:
    container = {"securityContext": {"runAsUser": 1234}, **MOUNT}
    assert await space.output("echo x > /data/file; cat /data/file", container=container, **VOLUME) == ["x"]


@pytest.mark.needs_mounts
@pytest.mark.every_sandbox
async def test_a_read_only_root_cannot_be_written_to(space: Namespace) -> None:
    context = {"readOnlyRootFilesystem": True}
    script = """for folder in / /tmp; do touch $folder/x 2>/dev/null || echo "$folder refused"; done
        echo fine > /data/x && cat /data/x"""
    lines = await space.output(script, container={"securityContext": context, **MOUNT}, **VOLUME)
    assert lines == ["/ refused", "/tmp refused", "fine"]


async def test_a_volume_in_a_read_only_root_can_be_written_to(space: Namespace) -> None:
    context = {"readOnlyRootFilesystem": True}
    mounts = {"volumeMounts": [{"name": VOLUME["volumes"][0]["name"], "mountPath": "/tmp"}]}
    script = "echo fine > /tmp/x && cat /tmp/x"
    assert await space.output(script, container={"securityContext": context, **mounts}, **VOLUME) == ["fine"]


async def test_no_privileges_are_gained_when_that_is_forbidden(space: Namespace) -> None:
    context = {"allowPrivilegeEscalation": False}
    lines = await space.output("grep NoNewPrivs /proc/self/status", container={"securityContext": context})
    assert lines[0].split() == ["NoNewPrivs:", "1"]


@pytest.mark.needs_mounts
async def test_a_pod_of_the_restricted_profile_runs(space: Namespace) -> None:
    context = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert await space.output("id -u", container={"securityContext": context}) == ["1000"]


@pytest.mark.process_node(differs="root keeps what a container's root has when nothing is dropped")
async def test_dropped_capabilities_are_gone(space: Namespace) -> None:
    context = {"capabilities": {"drop": ["ALL"]}}
    lines = await space.output("grep CapBnd /proc/self/status", container={"securityContext": context})
    assert (int(lines[0].split()[1], 16) == 0) is not space.where.on_process_node


@pytest.mark.process_node(differs="system calls are not filtered")
async def test_the_default_profile_filters_system_calls(space: Namespace) -> None:
    context = {"seccompProfile": {"type": "RuntimeDefault"}}
    lines = await space.output("grep Seccomp: /proc/self/status", container={"securityContext": context})
    assert (lines[0].split() == ["Seccomp:", "2"]) is not space.where.on_process_node


@pytest.mark.process_node(differs="volumes belong to the node's user, for whom all users of pods stand")
async def test_volumes_belong_to_the_pods_group(space: Namespace) -> None:
    (group,) = await space.output("stat -c %g /data", container=MOUNT, securityContext={"fsGroup": 2000}, **VOLUME)
    assert (group == "2000") is not space.where.on_process_node


@pytest.mark.process_node(differs="a process has the groups of the node's user")
async def test_a_container_has_the_groups_it_asked_for(space: Namespace) -> None:
    context = {"runAsUser": 1234, "supplementalGroups": [3000]}
    (groups,) = await space.output("id -G", securityContext=context)
    assert ("3000" in groups.split()) is not space.where.on_process_node
