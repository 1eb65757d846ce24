"""Every example in docs/kube.md, run as it stands against the real control plane, prints what the page says."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from longshore.kube.client import Client
from longshore.kube.objects import PODS

DOCUMENT = Path(__file__).parents[2] / "docs/kube.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```\n```text\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
POD = "docs-kube"


@pytest.fixture(scope="module")
async def pod(client: Client) -> AsyncIterator[str]:
    """A pod that has said that it is ready."""
    container = {"name": "c", "image": "bash", "command": ["sh", "-c", "echo ready; exec sleep 600"]}
    body = {"metadata": {"name": POD}, "spec": {"containers": [container], "terminationGracePeriodSeconds": 1}}
    await client.create(PODS, body, "default")
    async with asyncio.timeout(60):
        while True:
            if [chunk async for chunk in client.logs(POD, "default")] if await started(client) else ():
                break
            await asyncio.sleep(0.05)
    yield POD
    await client.delete(PODS, POD, "default")


async def started(client: Client) -> bool:
    found = await client.get(PODS, POD, "default")
    return any(status.state.running for status in found.status.container_statuses)


@pytest.mark.parametrize(("program", "says"), EXAMPLES, ids=["client", "store", "logs"])
async def test_an_example_of_the_documentation_prints_what_it_says(
    program: str, says: str, kubeconfig: Path, pod: str
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, pod, "default"),
        env={**os.environ, "KUBECONFIG": str(kubeconfig)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await asyncio.wait_for(process.communicate(), 60)
    assert (said.decode(), process.returncode) == (says, 0), complained.decode()
