"""What pods may ask of the machine that runs them, and of a container runtime."""

import re

import pytest
from tests.cluster.space import Namespace, Raw, shell, status_of

HOST_PATH: Raw = {"volumes": [{"name": "v", "hostPath": {"path": "/etc"}}]}
MOUNT: Raw = {"volumeMounts": [{"name": "v", "mountPath": "/host"}]}
NET_ADMIN = 1 << 12


@pytest.mark.process_node(field="spec.volumes[0].hostPath", refused="files of the machine are not handed to pods")
async def test_a_folder_of_the_host_can_be_mounted(space: Namespace) -> None:
    assert await space.output("test -e /host/passwd && echo seen", container=MOUNT, **HOST_PATH) == ["seen"]


@pytest.mark.process_node(field="spec.hostPID", refused="pods do not share the host's PID namespace")
async def test_the_hosts_processes_can_be_seen(space: Namespace) -> None:
    lines = await space.output("ls -d /proc/[0-9]* 2>/dev/null | wc -l", hostPID=True)
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


@pytest.mark.process_node(field="spec.volumes[0].image", refused="images are names of environments and hold no files")
async def test_an_image_can_be_a_volume(space: Namespace) -> None:
    image: Raw = {"volumes": [{"name": "v", "image": {"reference": space.where.image("busybox")}}]}
    assert await space.output("test -d /host/bin && echo seen", container=MOUNT, **image) == ["seen"]


@pytest.mark.process_node(field="spec.containers[0].restartPolicyRules", refused="only restartPolicy is known")
async def test_an_exit_code_can_start_a_container_again(space: Namespace) -> None:
    rule = {"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}
    script = "test -e /host/seen && exit 0; touch /host/seen; exit 42"
    container = shell(script, restartPolicy="Never", restartPolicyRules=[rule], **MOUNT)
    pod = await space.run(container, volumes=[{"name": "v", "emptyDir": {}}])
    assert pod["status"]["phase"] == "Succeeded"
    assert status_of(pod)["restartCount"] == 1


@pytest.mark.process_node(
    field="spec.containers[0].env[].valueFrom.fileKeyRef", refused="files of variables are not read"
)
async def test_a_variable_can_come_from_a_file_of_a_volume(space: Namespace) -> None:
    init = shell("echo \"WORD='fromfile'\" > /host/words", "init", **MOUNT)
    source = {"fileKeyRef": {"volumeName": "v", "path": "words", "key": "WORD"}}
    container = {"env": [{"name": "W", "valueFrom": source}]}
    volumes: Raw = {"volumes": [{"name": "v", "emptyDir": {}}]}
    assert await space.output("echo $W", container=container, initContainers=[init], **volumes) == ["fromfile"]


@pytest.mark.process_node(differs="limits of CPU are not enforced")
async def test_a_container_gets_no_more_cpu_than_its_limit(space: Namespace) -> None:
    script = "timeout 3 sh -c 'while :; do :; done' 2>/dev/null; times"
    lines = await space.output(script, container={"resources": {"limits": {"cpu": "100m"}}})
    used = re.fullmatch(r"0m([0-9.]+)s 0m([0-9.]+)s", lines[-1])
    assert used
    assert space.where.on_process_node or float(used[1]) + float(used[2]) < 1.0
