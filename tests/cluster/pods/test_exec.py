"""Commands in containers that run, by kubectl."""

import asyncio
import fcntl
import os
import pty
import signal
import struct
import termios
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.cluster.space import DEADLINE, Kubectl, Namespace, Raw, shell


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


async def test_exec_goes_into_the_container_that_is_named(space: Namespace, kubectl: Kubectl) -> None:
    one, two = (shell("echo up; sleep 60", name, env=[{"name": "ME", "value": name}]) for name in ("one", "two"))
    await space.create(one, two)
    await space.says("up", container="two")
    code, out, _ = await kubectl("exec", "pod", "-c", "two", "--", "sh", "-c", "echo $ME")
    assert (code, out) == (0, "two\n")


async def test_exec_into_a_finished_container_is_an_error(space: Namespace, kubectl: Kubectl) -> None:
    await space.run(shell("true"))
    code, _, err = await kubectl("exec", "pod", "--", "true")
    assert code != 0
    assert "completed pod" in err


async def test_exec_of_what_is_not_there_says_so(space: Namespace, kubectl: Kubectl) -> None:
    await space.create(shell("echo up; sleep 60"))
    await space.says("up")
    code, _, err = await kubectl("exec", "pod", "--", "no-such-program")
    assert code != 0
    assert "no-such-program" in err


@pytest.mark.every_sandbox
async def test_a_terminal_passes_on_interrupts(terminal: "Terminal") -> None:
    terminal.type('tty=$(test -t 0 && echo yes); sh -c "echo terminal=$tty; exec sleep 50"\n')
    await terminal.until("terminal=yes")
    terminal.type("\x03")  # which drops what is typed before it is seen
    await terminal.until("^C")
    terminal.type("echo again; exit 5\n")
    await terminal.until("again\r\n")
    assert await terminal.exit_code() == 5


async def test_a_terminal_passes_on_its_size(terminal: "Terminal") -> None:
    terminal.type("echo in'side'\n")
    await terminal.until("inside\r\n")  # kubectl does not hear of changes before it has begun
    terminal.resize(rows=33, columns=111)
    terminal.type("until stty size | grep '33 111'; do sleep 0.1; done; exit\n")
    await terminal.until("33 111\r\n")
    assert await terminal.exit_code() == 0


class Terminal:
    """A shell in a container, by `kubectl exec -it` in a terminal of ours."""

    def __init__(self, process: asyncio.subprocess.Process, here: int, space: Namespace) -> None:
        self._process = process
        self._here = here
        self._space = space
        self._said = b""

    def type(self, text: str) -> None:
        os.write(self._here, text.encode())

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._here, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._process.send_signal(signal.SIGWINCH)

    async def until(self, text: str) -> None:
        async with self._space.within(DEADLINE):
            while text.encode() not in self._said:
                self._said += await asyncio.to_thread(os.read, self._here, 4096)

    async def exit_code(self) -> int:
        async with self._space.within(DEADLINE):
            return await self._process.wait()


@pytest.fixture
async def terminal(space: Namespace, kubeconfig: Path, kubectl_program: list[str]) -> AsyncIterator[Terminal]:
    await space.create(shell("echo up; sleep 60"))
    await space.says("up")
    here, there = pty.openpty()
    words = ["--kubeconfig", str(kubeconfig), "-n", space.name, "exec", "-it", "pod", "--", "sh"]
    process = await asyncio.create_subprocess_exec(*kubectl_program, *words, stdin=there, stdout=there, stderr=there)
    os.close(there)
    try:
        yield Terminal(process, here, space)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(here)
