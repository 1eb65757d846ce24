"""uvicorn's HTTP, with bounds on what a stranger can do before anybody asks who he is; `app` serves by it.

uvicorn waits for ever for the head of a first request, and keeps as much of it as is sent.
"""

from __future__ import annotations

import asyncio
from typing import cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS = 20.0  # from the first byte of a request, or from the connection, to the end of its head
MOST_HEAD = 64 << 10  # bytes, and what one read brings beyond
_REFUSAL = b"HTTP/1.1 %s\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class Doorway(HttpToolsProtocol):
    """One connection."""

    _head = 0  # bytes of a head that has not ended
    _waits: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast("asyncio.Transport", transport))
        self._begin()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        before = self._waits
        super().data_received(data)
        if self._waits is None or self._waits is not before:
            return  # it has ended, or began in the midst of these bytes
        self._head += len(data)
        if self._head > MOST_HEAD:
            self._refuse(b"431 Request Header Fields Too Large")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._begin()

    def on_headers_complete(self) -> None:
        self._end()
        super().on_headers_complete()

    def _begin(self) -> None:
        if self._waits is None:
            self._head = 0
            self._waits = self.loop.call_later(HEAD_SECONDS, self._refuse, b"408 Request Timeout")

    def _end(self) -> None:
        if self._waits is not None:
            self._waits.cancel()
            self._waits = None

    def _refuse(self, status: bytes) -> None:
        self._end()
        if not self.transport.is_closing():
            # never into an answer that is on its way; browsers connect before they have something to ask
            if self.cycle.response_complete if self.cycle is not None else self._head > 0:
                self.transport.write(_REFUSAL % status)
            self.transport.close()
