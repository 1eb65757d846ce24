"""A WebSocket whose frames are made by hand, for what no honest client sends."""

from __future__ import annotations

import asyncio
import json
import struct
from typing import Any

TEXT, CONT, CLOSE, PING, PONG, FIN = 0x1, 0x0, 0x8, 0x9, 0xA, 0x80


class Raw:
    """A socket whose frames are made by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, port: int, path: str, key: str) -> Raw:
        """Let in, with nothing read yet."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = (
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"X-API-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        writer.write(head.encode())
        await reader.readuntil(b"\r\n\r\n")
        return cls(reader, writer)

    def sleep(self) -> asyncio.Transport:
        """Read no more, until its `resume_reading` is called."""
        transport = self.writer.transport
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()
        return transport

    def send(self, opcode: int, data: bytes = b"") -> None:
        size = len(data)
        head = bytes([size | 0x80]) if size < 126 else bytes([0xFF]) + struct.pack("!Q", size)
        self.writer.write(bytes([opcode]) + head + bytes(4) + data)

    def say(self, **message: Any) -> None:
        self.send(FIN | TEXT, json.dumps(message).encode())

    async def frame(self) -> tuple[int, bytes]:
        """The next one that is no ping: those come after 20 s, and are answered as honest clients do."""
        async with asyncio.timeout(60):
            while (got := await self._next())[0] == PING:
                self.send(FIN | PONG, got[1])
            return got

    async def _next(self) -> tuple[int, bytes]:
        first, size = await self.reader.readexactly(2)
        if size == 126:
            size = int.from_bytes(await self.reader.readexactly(2))
        elif size == 127:
            size = int.from_bytes(await self.reader.readexactly(8))
        return first & 0xF, await self.reader.readexactly(size)

    async def hear(self) -> dict[str, Any]:
        opcode, data = await self.frame()
        assert opcode == TEXT, (opcode, data)
        said: dict[str, Any] = json.loads(data)
        return said

    async def end(self) -> int:
        """The code that it is closed with."""
        while (got := await self.frame())[0] != CLOSE:
            pass
        self.writer.close()
        return int.from_bytes(got[1][:2])
