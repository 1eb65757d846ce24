"""The sessions in docs/local-cluster-transcripts.md, typed again, say what is written there."""

import asyncio
import codecs
import os
import pty
import re
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from msgspec.structs import replace
from tests.cluster.node.process import NodeProcess, label
from tests.cluster.nodes import NODE
from tests.cluster.space import Namespace, Where

from longshore.cluster.cluster import LocalCluster
from longshore.cluster.node.attempts import kill_leftovers
from longshore.kube.client import Client
from longshore.kube.objects import NODES

DOCUMENT = Path(__file__).parents[3] / "docs/local-cluster-transcripts.md"
BLOCK = re.compile(r"^```(yaml|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ON_ONE_NODE, ON_TWO_NODES = ("Logs", "Commands in containers"), "A node is drained"
PROMPT = "box> "
VARIABLE = {
    r"\b(web)-[a-z0-9]+-[a-z0-9]{5}\b": r"\1-ID",
    r"\d{4}-\d\d-\d\dT[\d:.]+Z": "TIME",
    r" +": " ",
}


class Typed(NamedTuple):
    """A command, what is typed into it, and all that is then on the screen."""

    command: str
    inputs: list[str]
    screen: str


def chapters() -> dict[str, list[tuple[str, str]]]:
    """The blocks below each heading: kind and content."""
    _, *parts = re.split(r"^## ", DOCUMENT.read_text(), flags=re.MULTILINE)
    return {part.splitlines()[0]: BLOCK.findall(part) for part in parts}


def session(block: str) -> Iterator[Typed]:
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, screen = part.partition("\n")
        inputs = [line.removeprefix(PROMPT) for line in screen.splitlines() if line.startswith(PROMPT)]
        yield Typed(command, inputs, screen)


def masked(text: str) -> list[str]:
    for pattern, name in VARIABLE.items():
        text = re.sub(pattern, name, text)
    return text.splitlines()


class Terminal:
    """A terminal with kubectl on its PATH, in a folder of its own."""

    def __init__(self, folder: Path, kubectl: list[str], kubeconfig: Path, namespace: str) -> None:
        self.folder = folder
        self._namespace = namespace
        (folder / "bin").mkdir()
        script = folder / "bin/kubectl"
        script.write_text(f'#!/bin/sh\nexec {" ".join(kubectl)} --kubeconfig {kubeconfig} -n {namespace} "$@"\n')
        script.chmod(0o755)

    async def type(self, typed: Typed) -> str:
        """What is on the screen when the command has ended."""
        here, there = pty.openpty()
        env = {**os.environ, "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}
        command = ("bash", "-c", typed.command)
        process = await asyncio.create_subprocess_exec(
            *command, stdin=there, stdout=there, stderr=there, cwd=self.folder, env=env, start_new_session=True
        )
        os.close(there)
        try:
            async with asyncio.timeout(100):
                said = await self._read(here, typed.inputs)
                await process.wait()
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
            os.close(here)
        return said.replace("\r\n", "\n").replace(self._namespace, "default")

    async def _read(self, here: int, inputs: list[str]) -> str:
        """Until the terminal is closed; the next line is typed when there is a prompt."""
        said, answered, decoder = "", 0, codecs.getincrementaldecoder("utf-8")()
        while True:
            try:
                data = await asyncio.to_thread(os.read, here, 4096)
            except OSError:  # the last process has left it
                return said
            said += decoder.decode(data)  # a letter of several bytes may come in two reads
            if said.endswith(PROMPT) and said.count(PROMPT) > answered:
                answered += 1
                os.write(here, f"{inputs[answered - 1]}\n".encode())


@pytest.fixture
async def where(usual: Where) -> Where:
    return replace(usual, node_selector={})


@pytest.fixture
async def node1(cluster: LocalCluster, client: Client) -> AsyncIterator[None]:
    node = NodeProcess(cluster.node_part("node1"), client)
    await node.start()
    await node.open()
    yield
    await label(client, NODE, pool=None)
    await node.end(signal.SIGKILL)
    await kill_leftovers(node.root)
    await client.delete(NODES, "node1")


@pytest.fixture
def terminal(space: Namespace, kubectl_program: list[str], kubeconfig: Path, tmp_path: Path) -> Terminal:
    return Terminal(tmp_path, kubectl_program, kubeconfig, space.name)


async def says_the_same(terminal: Terminal, chapter: str) -> None:
    for kind, content in chapters()[chapter]:
        if kind == "yaml":
            (terminal.folder / content.split()[1]).write_text(content)
            continue
        for typed in session(content):
            said = await terminal.type(typed)
            assert masked(said) == masked(typed.screen), f"$ {typed.command}\n{said}"


@pytest.mark.parametrize("chapter", ON_ONE_NODE)
async def test_a_session_says_what_is_written(terminal: Terminal, chapter: str) -> None:
    await says_the_same(terminal, chapter)


async def test_a_session_with_two_nodes_says_what_is_written(terminal: Terminal, node1: None) -> None:
    await says_the_same(terminal, ON_TWO_NODES)


def test_there_are_no_other_chapters() -> None:
    assert chapters().keys() == {*ON_ONE_NODE, ON_TWO_NODES}
