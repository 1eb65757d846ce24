"""An HTTP proxy on loopback that tunnels by CONNECT, as those of companies do."""

import asyncio
import base64
from contextlib import suppress
from types import TracebackType
from typing import Self


class Proxy:
    """An async context manager. `tunnelled` lists where it led to; with `login` ("user:password") it wants that."""

    def __init__(self, *, login: str | None = None, refuses: bool = False) -> None:
        self.port = 0
        self.tunnelled: list[str] = []
        self.turned_away = 0
        self._wanted = login and f"Basic {base64.b64encode(login.encode()).decode()}"
        self._refuses = refuses
        self._serving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        serving = set(self._serving)
        for task in serving:
            task.cancel()
        if serving:
            await asyncio.wait(serving)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened = [writer]
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            refusal = self._refusal(head)
            if refusal:
                self.turned_away += 1
                writer.write(f"HTTP/1.1 {refusal}\r\nContent-Length: 0\r\n\r\n".encode())
                await writer.drain()
                return
            target = head[0].split()[1]
            self.tunnelled.append(target)
            there, onward = await asyncio.open_connection(*target.rsplit(":", 1))
            opened.append(onward)
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await _tunnel((reader, onward), (there, writer))
        except (OSError, asyncio.IncompleteReadError):
            pass  # either end went away
        finally:
            for end in opened:
                end.close()
                await _closed(end)

    def _refusal(self, head: list[str]) -> str | None:
        headers = dict(line.split(": ", 1) for line in head[1:] if line)
        if self._wanted and headers.get("Proxy-Authorization") != self._wanted:
            return "407 Proxy Authentication Required"
        return "403 Forbidden" if self._refuses or not head[0].startswith("CONNECT ") else None


async def _tunnel(*ways: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
    """Until either end closes."""
    pumps = [asyncio.create_task(_pump(*way)) for way in ways]
    try:
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for pump in pumps:
            pump.cancel()
        await asyncio.wait(pumps)


async def _closed(end: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        await end.wait_closed()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
