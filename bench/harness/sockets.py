"""Many followers of the stream in one process, as cheap as can be, so that their cost is not the server's.

Each is a bare WebSocket (RFC 6455) that subscribes to its tenant and notes when each version of a job arrived.
"""

from __future__ import annotations

import asyncio
import re
import resource
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import aiohttp

from bench.harness.processes import Measured

AT_ONCE = 50  # handshakes
QUIET_SECONDS = 4.0  # without a message: it is over
LONGEST_SECONDS = 200.0
SUBSCRIBE = b'{"type":"subscribe","id":"s","to":{"limit":0}}'
_TEXT, _CLOSE, _PING, _PONG = 0x1, 0x8, 0x9, 0xA
_VERSION = re.compile(rb'"resource_version":"(\d+)"')
HANDSHAKE = (
    "GET /v1/stream HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-API-Key: {key}\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class Seen:
    """When each version arrived, by the clock that all processes of a machine share, in ns."""

    def __init__(self) -> None:
        self.arrivals: defaultdict[str, list[int]] = defaultdict(list)
        self.last = time.monotonic()
        self.ended = 0


class Follower(asyncio.Protocol):
    """One socket."""

    def __init__(self, seen: Seen, handshake: bytes) -> None:
        self.subscribed = asyncio.get_running_loop().create_future()
        self._seen = seen
        self._handshake = handshake
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._handshake)

    def data_received(self, data: bytes) -> None:
        at = time.monotonic_ns()
        self._buffer += data
        if not self._open:
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            if not found:
                return
            if b" 101 " not in head:
                raise RuntimeError(f"no socket: {head[:100]!r}")
            self._open, self._buffer = True, rest
            self._say(_TEXT, SUBSCRIBE)
        while (frame := self._frame()) is not None:
            self._heed(*frame, at)

    def connection_lost(self, _: Exception | None) -> None:
        self._seen.ended += 1

    def _frame(self) -> tuple[int, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        size, begin = buffer[1], 2
        if size >= 126:
            begin = 4 if size == 126 else 10
            size = int.from_bytes(buffer[2:begin])
        if len(buffer) < begin + size:
            return None
        self._buffer = buffer[begin + size :]
        return buffer[0] & 0xF, buffer[begin : begin + size]

    def _heed(self, opcode: int, text: bytes, at: int) -> None:
        if opcode == _PING:
            self._say(_PONG, text)
        elif opcode == _CLOSE:
            raise RuntimeError(f"closed: {text!r}")
        elif text.startswith(b'{"type":"snapshot"'):
            self.subscribed.set_result(None)
        elif found := _VERSION.search(text):
            self._seen.arrivals[found[1].decode()].append(at)
            self._seen.last = at / 1e9

    def _say(self, opcode: int, text: bytes) -> None:
        assert self._transport is not None
        self._transport.write(bytes([0x80 | opcode, 0x80 | len(text), 0, 0, 0, 0]) + text)


async def connect(url: str, keys: Sequence[str], count: int, seen: Seen) -> None:
    """So many, their keys in turn; returns when all are subscribed."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    host = urlsplit(url)
    assert host.hostname
    assert host.port
    loop = asyncio.get_running_loop()
    for begin in range(0, count, AT_ONCE):
        texts = [
            HANDSHAKE.format(host=host.netloc, key=keys[number % len(keys)]).encode()
            for number in range(begin, min(begin + AT_ONCE, count))
        ]
        made = await asyncio.gather(
            *(loop.create_connection(lambda t=text: Follower(seen, t), host.hostname, host.port) for text in texts)  # type: ignore[misc]
        )
        async with asyncio.timeout(60):
            await asyncio.gather(*(follower.subscribed for _, follower in made))


async def follow(url: str, keys: list[str], count: int) -> Measured:
    """Connect, and note what arrives until it has been quiet; then say how often each version did, and when."""
    seen = Seen()
    await connect(url, keys, count, seen)
    began = time.monotonic()
    while not seen.arrivals or time.monotonic() - seen.last < QUIET_SECONDS:
        if time.monotonic() - began > LONGEST_SECONDS:
            raise RuntimeError("it never became quiet")
        await asyncio.sleep(0.2)
    if seen.ended:
        raise RuntimeError(f"{seen.ended} sockets were closed")
    return {"arrivals": seen.arrivals}


@asynccontextmanager
async def idle(url: str, keys: list[str], count: int) -> AsyncIterator[Measured]:
    """Stay connected for as long as the parent wants."""
    seen = Seen()
    await connect(url, keys, count, seen)
    yield {"connected": count}
    if seen.ended:
        raise RuntimeError(f"{seen.ended} sockets were closed")


async def metric(session: aiohttp.ClientSession, url: str, name: str) -> float:
    """What `serve` says of itself."""
    async with session.get(f"{url}/metrics") as answer:
        text = await answer.text()
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"serve does not show {name}")
    return float(found[1])


async def connected(session: aiohttp.ClientSession, url: str, count: int) -> None:
    """Return when so many follow."""
    async with asyncio.timeout(120):
        while await metric(session, url, "longshore_stream_connections") != count:  # noqa: ASYNC110 - of others
            await asyncio.sleep(0.2)
