"""The controller in docs/runtime.md does what the page says, run as it stands against the real control plane."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from longshore.kube.client import Client
from longshore.kube.objects import CONFIG_MAPS, LEASES, NAMESPACES, AnyObject

DOCUMENT = Path(__file__).parents[2] / "docs/runtime.md"
NAMESPACE = "docs-runtime"


def blocks() -> tuple[str, str]:
    """The controller, and the test of its plan."""
    controller, test = re.findall(r"^```python\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    return controller, test


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    controller, test = blocks()
    (tmp_path / "mirror.py").write_text(controller)
    (tmp_path / "test_mirror.py").write_text(test)
    return tmp_path


@pytest.fixture
async def namespace(client: Client) -> AsyncIterator[str]:
    await client.create(NAMESPACES, {"metadata": {"name": NAMESPACE}})
    yield NAMESPACE
    await client.delete(NAMESPACES, NAMESPACE)


@asynccontextmanager
async def running(folder: Path, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """What it says is kept for when it fails."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        said, _ = await process.communicate()
        print(said.decode())


async def found(client: Client, namespace: str) -> dict[str, AnyObject]:
    return {each.metadata.name: each for each in (await client.list_page(CONFIG_MAPS, namespace)).items}


async def until(client: Client, namespace: str, holds: Callable[[dict[str, AnyObject]], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds(await found(client, namespace)):  # noqa: ASYNC110 - as somebody outside would look
            await asyncio.sleep(0.05)


async def test_the_controller_of_the_documentation_keeps_its_copies(
    client: Client, kubeconfig: Path, namespace: str, folder: Path
) -> None:
    body = {"metadata": {"name": "a", "labels": {"mirror": "yes"}}, "data": {"x": "1"}}
    await client.create(CONFIG_MAPS, body, namespace)
    await client.create(CONFIG_MAPS, {"metadata": {"name": "b"}, "data": {"x": "1"}}, namespace)
    async with running(folder, "mirror.py", str(kubeconfig), namespace) as process:
        await until(client, namespace, lambda there: "a-mirror" in there and there["a-mirror"].data == {"x": "1"})
        await client.patch(CONFIG_MAPS, "a", {"data": {"x": "2"}}, namespace)
        await until(client, namespace, lambda there: there["a-mirror"].data == {"x": "2"})
        await client.delete(CONFIG_MAPS, "a-mirror", namespace)
        await until(client, namespace, lambda there: "a-mirror" in there)
        await client.delete(CONFIG_MAPS, "a", namespace)
        await until(client, namespace, lambda there: "a-mirror" not in there)
        assert "b-mirror" not in await found(client, namespace)
        assert process.returncode is None
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 60) == 0
    assert not (await client.get(LEASES, "mirror", namespace)).spec.holder_identity, "the lease was not released"


async def test_the_plan_of_the_documentation_is_tested_as_it_says(folder: Path) -> None:
    async with running(folder, "test_mirror.py") as process:
        assert await asyncio.wait_for(process.wait(), 60) == 0


def test_the_controller_of_the_documentation_is_short() -> None:
    assert len([line for line in blocks()[0].splitlines() if line.strip()]) <= 40
