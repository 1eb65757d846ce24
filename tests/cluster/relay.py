"""A TCP relay on loopback in front of one server: what the network between us and an API server may do to us."""

import asyncio
from types import TracebackType
from typing import Self

CHUNK = 65536


class Relay:
    """An async context manager. `connections` counts those that were accepted since the start.

    `cut` ends all connections and refuses new ones. `freeze` is a network that swallows everything: connections made
    before are forgotten for ever, as by a NAT, and those made meanwhile go on when it thaws. `mend` undoes both.
    """

    def __init__(self, port: int, *, host: str = "127.0.0.1") -> None:
        self.host = host
        self.port = 0
        self.connections = 0
        self._to = port
        self._server: asyncio.Server | None = None
        self._pumps: dict[asyncio.StreamWriter, asyncio.Event] = {}  # by the writer, whether it may be written to
        self._serving: set[asyncio.Task[None]] = set()
        self._frozen = False

    @property
    def url(self) -> str:
        return f"https://{self.host}:{self.port}"

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.cut()

    async def cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        serving = set(self._serving)
        for task in serving:
            task.cancel()
        if serving:
            await asyncio.wait(serving)

    def lead_to(self, port: int) -> None:
        """Connections that are made from now on go there; those that are open stay."""
        self._to = port

    def freeze(self) -> None:
        self._frozen = True
        for flows in self._pumps.values():
            flows.clear()
        self._pumps.clear()

    async def mend(self) -> None:
        self._frozen = False
        for flows in self._pumps.values():
            flows.set()
        if self._server is None:
            await self._listen()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accepted, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Lives until either end closes, or `cut`."""
        opened = [writer]
        try:
            there, onward = await asyncio.open_connection("127.0.0.1", self._to)
            opened.append(onward)
            pumps = [asyncio.create_task(self._pump(*ends)) for ends in ((reader, onward), (there, writer))]
            try:
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for pump in pumps:
                    pump.cancel()
                await asyncio.wait(pumps)
        except OSError:
            pass  # the server is away: so is whoever stands in for it
        finally:
            for end in opened:
                self._pumps.pop(end, None)
                end.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        flows = self._pumps[writer] = asyncio.Event()
        if not self._frozen:
            flows.set()
        try:
            while data := await reader.read(CHUNK):
                await flows.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
