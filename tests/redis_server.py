"""A real redis-server for the tests, which they stop and start."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.cluster.product.serving import free_port
from tests.programs import require


class Redis:
    """A redis-server that can be stopped and started, at one port."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            require("redis-server"),
            *("--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self._folder)),
            stdout=asyncio.subprocess.DEVNULL,
        )

    async def stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await asyncio.wait_for(self._process.wait(), 60)
