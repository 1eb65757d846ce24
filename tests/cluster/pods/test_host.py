"""What pods may ask of the machine that runs them."""

import pytest
from tests.cluster.space import Namespace, Raw, shell

HOST_PATH: Raw = {"volumes": [{"name": "v", "hostPath": {"path": "/etc"}}]}
MOUNT: Raw = {"volumeMounts": [{"name": "v", "mountPath": "/host"}]}
NET_ADMIN = 1 << 12


@pytest.mark.process_node(field="spec.volumes[0].hostPath", refused="files of the machine are not handed to pods")
async def test_a_folder_of_the_host_can_be_mounted(space: Namespace) -> None:
    assert await space.output("test -e /host/passwd && echo seen", container=MOUNT, **HOST_PATH) == ["seen"]


@pytest.mark.process_node(field="spec.hostPID", refused="pods do not share the host's PID namespace")
async def test_the_hosts_processes_can_be_seen(space: Namespace) -> None:
    lines = await space.output("ls -d /proc/[0-9]* | wc -l", hostPID=True)
    assert int(lines[0]) > 10


@pytest.mark.process_node(field="spec.hostIPC", refused="pods do not share the host's IPC namespace")
async def test_the_hosts_ipc_namespace_can_be_shared(space: Namespace) -> None:
    assert await space.output("echo ran", hostIPC=True) == ["ran"]


@pytest.mark.process_node(field="spec.shareProcessNamespace", refused="containers do not see each other's processes")
async def test_containers_can_see_each_others_processes(space: Namespace) -> None:
    one = shell("exec sleep 31.25 || true", "one")
    two = shell("until grep -q 31.25 /proc/[0-9]*/cmdline; do sleep 0.1; done; kill $(pidof sleep); echo seen", "two")
    await space.run(one, two, shareProcessNamespace=True)
    assert await space.log(container="two") == "seen\n"


@pytest.mark.process_node(
    field="spec.containers[0].securityContext.privileged", refused="a process of the user cannot be given privileges"
)
async def test_a_privileged_container_may_mount(space: Namespace) -> None:
    script = "mkdir /tmp/here && mount -t tmpfs none /tmp/here && echo mounted"
    assert await space.output(script, container={"securityContext": {"privileged": True}}) == ["mounted"]


@pytest.mark.process_node(
    field="spec.containers[0].securityContext.capabilities.add", refused="no capabilities can be given"
)
async def test_capabilities_can_be_given(space: Namespace) -> None:
    context = {"capabilities": {"add": ["NET_ADMIN"]}}
    lines = await space.output("grep CapEff /proc/self/status", container={"securityContext": context})
    assert int(lines[0].split()[1], 16) & NET_ADMIN


@pytest.mark.process_node(field="spec.securityContext.sysctls", refused="kernel settings are the host's")
async def test_kernel_settings_of_its_own_can_be_set(space: Namespace) -> None:
    context = {"sysctls": [{"name": "kernel.shm_rmid_forced", "value": "1"}]}
    assert await space.output("cat /proc/sys/kernel/shm_rmid_forced", securityContext=context) == ["1"]
