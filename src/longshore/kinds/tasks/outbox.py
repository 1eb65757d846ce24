"""What waits to be sent over one socket: the newest message about each thing, never a backlog; nobody waits for it."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect

from longshore.errors import LongshoreError
from longshore.web.stream.messages import Code
from longshore.web.stream.wire import wire_of

SEND_SECONDS = 20.0  # for one message
MOST_WAITING = 4_000
CLOSED_WELL, TRY_AGAIN = 1000, 1013
_encoder = msgspec.json.Encoder()
log = structlog.get_logger(__name__)


class Outbox:
    """Sends the newest of what it is given; nothing waits for it."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._waiting: dict[str, Any] = {}
        self._closing: tuple[int, str] | None = None
        self._sending: asyncio.Task[None] | None = None
        self._let_go = False

    def put(self, about: str, message: Any) -> None:
        """Send this; what waits about the same thing is out of date and is not."""
        if self._let_go:
            return
        if len(self._waiting) >= MOST_WAITING and about not in self._waiting:
            self._cut()
            return
        self._waiting.pop(about, None)
        self._waiting[about] = message
        self._wake()

    def close(self, code: int = CLOSED_WELL, reason: str = "") -> None:
        """After what waits."""
        self._closing = (code, reason)
        self._wake()

    async def end(self) -> None:
        """Nothing more can be sent."""
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.wait([self._sending])

    def _wake(self) -> None:
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send())

    async def _send(self) -> None:
        try:
            while self._waiting:
                message = self._waiting.pop(next(iter(self._waiting)))
                async with asyncio.timeout(SEND_SECONDS):
                    await self._socket.send_text(_encoder.encode(message).decode())
            if self._closing is not None:
                async with asyncio.timeout(SEND_SECONDS):
                    await self._socket.close(*self._closing)
        except TimeoutError:
            self._cut()
        except (WebSocketDisconnect, RuntimeError):
            return  # it has gone; whoever waits for its end is told so

    def _cut(self) -> None:
        """Without waiting for who does not read, as a close by ASGI would."""
        log.info("a socket read too slowly and was let go")
        self._let_go = True
        self._waiting.clear()
        wire_of(self._socket.scope).cut(Code.TOO_SLOW, "you read too slowly: connect again")


def reason(error: LongshoreError) -> str:
    """Why a socket is closed, in at most 123 bytes (RFC 6455, 5.5)."""
    return error.message.encode()[:120].decode(errors="ignore")
