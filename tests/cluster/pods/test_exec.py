"""Commands in containers that run, by kubectl."""

import asyncio
import os
import pty
from pathlib import Path

import pytest
from tests.cluster.space import Kubectl, Namespace, Raw, shell


@pytest.mark.every_sandbox
async def test_kubectl_exec_gives_output_input_and_exit_code(space: Namespace, kubectl: Kubectl) -> None:
    await space.create(shell("echo up; export X=1; sleep 60", env=[{"name": "WHO", "value": "me"}]))
    await space.says("up")
    code, out, err = await kubectl("exec", "pod", "--", "sh", "-c", "echo $WHO; echo oops >&2; exit 3")
    assert (code, out) == (3, "me\n")
    assert "oops" in err
    code, out, _ = await kubectl("exec", "-i", "pod", "--", "cat", stdin="from outside")
    assert (code, out) == (0, "from outside")


@pytest.mark.every_sandbox
async def test_exec_sees_what_the_container_sees(space: Namespace, kubectl: Kubectl) -> None:
    mounts: Raw = {"volumeMounts": [{"name": "v", "mountPath": "/made/up"}]}
    context = {"runAsUser": 1234}
    await space.create(
        shell("touch /made/up/file; echo up; sleep 60", workingDir="/made", securityContext=context, **mounts),
        volumes=[{"name": "v", "emptyDir": {}}],
    )
    await space.says("up")
    _, out, err = await kubectl("exec", "pod", "--", "sh", "-c", "id -u; pwd; ls up")
    assert out.split() == ["1234", "/made", "file"], err


async def test_exec_of_what_is_not_there_says_so(space: Namespace, kubectl: Kubectl) -> None:
    await space.create(shell("echo up; sleep 60"))
    await space.says("up")
    code, _, err = await kubectl("exec", "pod", "--", "no-such-program")
    assert code != 0
    assert "no-such-program" in err


@pytest.mark.every_sandbox
async def test_a_terminal_passes_on_interrupts(space: Namespace, kubeconfig: Path, kubectl_program: list[str]) -> None:
    await space.create(shell("echo up; sleep 60"))
    await space.says("up")
    here, there = pty.openpty()
    words = ["--kubeconfig", str(kubeconfig), "-n", space.name, "exec", "-it", "pod", "--", "sh"]
    process = await asyncio.create_subprocess_exec(*kubectl_program, *words, stdin=there, stdout=there, stderr=there)
    os.close(there)
    said = b""

    async def until(text: bytes) -> None:
        nonlocal said
        while text not in said:
            said += await asyncio.to_thread(os.read, here, 4096)

    async with space.within(20):
        os.write(here, b"tty=$(test -t 0 && echo yes); echo terminal=$tty; sleep 50\n")
        await until(b"terminal=yes")
        os.write(here, b"\x03")  # which drops what is typed before it is seen
        await until(b"^C")
        os.write(here, b"echo again; exit 5\n")
        await until(b"again\r\n")
        assert await process.wait() == 5
    os.close(here)
