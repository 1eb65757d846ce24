"""A node of a cluster that a test starts, ends and kills by itself."""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp

from longshore.cluster.parts import Part
from longshore.kube.client import Client
from longshore.kube.objects import NODES


class NodeProcess:
    """A second node of the session's cluster, started by the test itself; no other test's pods come to it."""

    def __init__(self, part: Part, client: Client) -> None:
        self._argv = part.argv
        self.name = self._argv[self._argv.index("--name") + 1]
        self._client = client
        self._port = self._argv[self._argv.index("--port") + 1]
        self.root = Path(self._argv[self._argv.index("--root") + 1])
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(*self._argv)
        await until(self._is_healthy)
        await self._client.patch(NODES, self.name, {"spec": {"unschedulable": True}})

    async def open(self) -> None:
        """Let pods come: those of other tests ask for another node."""
        await self._client.patch(NODES, self.name, {"spec": {"unschedulable": None}})

    async def end(self, number: int) -> int:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
        async with asyncio.timeout(60):
            return await self.process.wait()

    async def _is_healthy(self) -> bool:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            url = f"https://127.0.0.1:{self._port}/healthz"
            async with aiohttp.ClientSession() as session, session.get(url, ssl=context) as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False


async def label(client: Client, node: str, **labels: str | None) -> None:
    """What pods can ask for by nodeSelector; the node keeps its other labels."""
    await client.patch(NODES, node, {"metadata": {"labels": labels}})


async def until(holds: Callable[[], Any], deadline: float = 60.0) -> None:
    async with asyncio.timeout(deadline):
        while not await holds():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.05)
