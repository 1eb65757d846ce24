"""Joining a container from outside: attach, port-forward, debug, cp."""

import asyncio
import re
from pathlib import Path

import pytest
from tests.cluster.space import DEADLINE, Kubectl, Namespace, Raw, is_ready, is_running, shell

SERVER: Raw = {
    "name": "main",
    "image": "python",
    "command": ["sh", "-c", "mkdir /tmp/www; cd /tmp/www; echo here > file; exec python3 -m http.server 18474"],
}
PATIENT = "until test -e /tmp/go; do sleep 0.1; done; while :; do echo attached; sleep 0.1; done"


@pytest.mark.process_node(differs="attach says that it is not possible, and what is: logs -f, exec")
async def test_attach_shows_what_a_container_says_from_now_on(
    space: Namespace, kubectl: Kubectl, kubectl_program: list[str], kubeconfig: Path
) -> None:
    await space.create(shell(f"echo up; {PATIENT}"))
    await space.says("up")
    if space.where.on_process_node:
        code, _, err = await kubectl("attach", "pod")
        assert code != 0
        assert "kubectl logs" in err
        return
    command = [*kubectl_program, "--kubeconfig", str(kubeconfig), "-n", space.name, "attach", "pod"]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        await kubectl("exec", "pod", "--", "touch", "/tmp/go")
        assert process.stdout is not None
        async with space.within(DEADLINE):
            assert await process.stdout.readline() == b"attached\n"
    finally:
        process.kill()
        await process.wait()


@pytest.mark.process_node(field="spec.containers[0].stdin", refused="attaching is not possible")
async def test_a_container_can_read_what_is_typed_into_kubectl_run(space: Namespace, kubectl: Kubectl) -> None:
    await space.create(shell("cat", stdin=True, stdinOnce=True))
    await space.until(is_running)
    code, out, err = await kubectl("attach", "-i", "-q", "pod", stdin="typed")
    assert (code, out) == (0, "typed"), err


@pytest.mark.process_node(field="spec.containers[0].tty", refused="a container has no terminal")
async def test_a_container_can_have_a_terminal(space: Namespace) -> None:
    assert await space.output("test -t 1 && echo terminal", container={"tty": True}) == ["terminal"]


@pytest.mark.process_node(differs="port-forward says that it is not possible: the pod's ports are the machine's own")
async def test_port_forward_leads_to_a_port_of_the_pod(
    space: Namespace, kubectl: Kubectl, kubectl_program: list[str], kubeconfig: Path
) -> None:
    await space.create({**SERVER, "readinessProbe": {"tcpSocket": {"port": 18474}, "periodSeconds": 1}})
    await space.until(is_ready)
    if space.where.on_process_node:
        code, _, err = await kubectl("port-forward", "pod", ":18474")
        assert code != 0
        assert "port-forward is not possible on a process node" in err
        return
    command = [*kubectl_program, "--kubeconfig", str(kubeconfig), "-n", space.name, "port-forward", "pod", ":18474"]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        async with space.within(DEADLINE):
            port = re.search(rb"127.0.0.1:(\d+)", await process.stdout.readline())
            assert port
            reader, writer = await asyncio.open_connection("127.0.0.1", int(port[1]))
            writer.write(b"GET /file HTTP/1.0\r\n\r\n")
            assert (await reader.read()).endswith(b"here\n")
            writer.close()
    finally:
        process.kill()
        await process.wait()


@pytest.mark.process_node(differs="an ephemeral container ends at once, and says why")
async def test_a_container_can_be_added_to_debug_a_pod(space: Namespace, kubectl: Kubectl) -> None:
    await space.create(shell("echo up; sleep 60"))
    await space.says("up")
    image = f"--image={space.where.image('busybox')}"
    code, _, err = await kubectl("debug", "pod", image, "-c", "guest", "--", "sh", "-c", "echo guest; sleep 60")
    assert code == 0, err
    if not space.where.on_process_node:
        await space.says("guest", container="guest")
        return

    def has_said_why(pod: Raw) -> bool:
        (status,) = pod["status"].get("ephemeralContainerStatuses") or [{}]
        return "NotOnProcessNode" in status.get("state", {}).get("terminated", {}).get("reason", "")

    await space.until(has_said_why)
    assert "spec.ephemeralContainers[0]" in await space.event("NotOnProcessNode")


async def test_kubectl_cp_brings_files_in_and_out(space: Namespace, kubectl: Kubectl, tmp_path: Path) -> None:
    await space.create(shell("mkdir /tmp/in; echo up; sleep 60"))
    await space.says("up")
    (tmp_path / "sent").write_text("from outside")
    code, _, err = await kubectl("cp", str(tmp_path / "sent"), "pod:/tmp/in/there")
    assert code == 0, err
    code, _, err = await kubectl("cp", "pod:/tmp/in", str(tmp_path / "back"))
    assert code == 0, err
    assert (tmp_path / "back/there").read_text() == "from outside"
