"""A gate that a job waits at until its test opens it, so that neither needs to be quick."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.cluster.product.serving import free_port


class Gate:
    """A port of this machine at which nobody listens before `open`."""

    def __init__(self) -> None:
        self._port = free_port()
        self._server: asyncio.Server | None = None

    @property
    def wait(self) -> str:
        """What bash does until it is open."""
        return f"until : < /dev/tcp/127.0.0.1/{self._port}; do sleep 0.1; done 2> /dev/null"

    async def open(self) -> None:
        """Also where it is open already."""
        if self._server is not None:
            return
        self._server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", self._port)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()


@asynccontextmanager
async def gate() -> AsyncIterator[Gate]:
    one = Gate()
    try:
        yield one
    finally:
        await one.close()
