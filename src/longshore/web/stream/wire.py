"""uvicorn's WebSocket, with what the stream needs beyond ASGI: writing without waiting, and ending who does not read.

ASGI's `send` waits for the reader, so that each socket would need a task, and a reader that has stopped could not be
told why it is let go. `serve` gives this class to uvicorn; an endpoint finds it in its scope.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame

EXTENSION = "longshore.wire"
CUT_SECONDS = 10.0
MOST_FRAGMENTS = 1_000


class Wire(WebSocketsSansIOProtocol):
    """`drained` is called when the reader has caught up. `then` goes on once the endpoint has let a client in: what
    was needed for that, middleware, scope and headers, would be half of an idle socket's memory.
    """

    drained: Callable[[], None] | None = None
    then: Callable[[Receive, Send], Awaitable[None]] | None = None

    async def run_asgi(self) -> None:
        extensions = cast(dict[str, Any], self.scope["extensions"])
        extensions[EXTENSION] = self
        inside = self.app

        async def whole(scope: Any, receive: Any, send: Any) -> None:
            await inside(scope, receive, send)
            if self.then is not None:
                self._forget()
                await self.then(receive, send)

        self.app = whole
        await super().run_asgi()

    def _forget(self) -> None:
        """What uvicorn and websockets keep of the handshake and read no more."""
        cast(dict[str, Any], self.scope).clear()
        del self.request, self.response

    def offer(self, frame: bytes) -> bool:
        """Write a whole frame; False, and nothing is written, while the reader does not keep up."""
        if not self.writable.is_set():
            return False
        if not self.close_sent and not self.transport.is_closing():
            self.transport.write(frame)
        return True

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.drained is not None:
            self.drained()

    def handle_ping(self) -> None:
        """Who does not read is owed no pongs: they would fill our memory, and the newest ping is all that counts.

        Source: RFC 6455, 5.5.3.
        """
        pong = b"".join(self.conn.data_to_send())
        if self.writable.is_set():
            self.transport.write(pong)

    def handle_cont(self, event: Frame) -> None:
        """Empty fragments count for nothing in the bound on a message's bytes, and are kept all the same."""
        if len(self.frames) >= MOST_FRAGMENTS:
            self.frames = []
            self.cut(CloseCode.MESSAGE_TOO_BIG, f"a message has at most {MOST_FRAGMENTS} fragments")
        else:
            super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        """uvicorn would log the traceback of each text that is none: a stranger's way to fill our log."""
        if self.curr_msg_data_type == "text" and not _is_text(b"".join(self.frames)):
            self.frames = []
            self.cut(CloseCode.INVALID_DATA, "this is not UTF-8")
        else:
            super().send_receive_event_to_app()

    def handle_close(self, event: Frame) -> None:
        super().handle_close(event)
        self._drop_soon()

    def handle_parser_exception(self) -> None:
        super().handle_parser_exception()
        self._drop_soon()

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self._drop_soon()

    def _drop_soon(self) -> None:
        """A transport that is closed waits for its reader to take what was written: for ever, where he does not."""
        if self.close_timer is None and not self.disconnected:
            self.close_timer = self.loop.call_later(CUT_SECONDS, self.transport.abort)

    def cut(self, code: int, reason: str) -> None:
        """Close it now, after what is written already; a reader that does not take that in 10 s is dropped."""
        if self.close_sent or self.transport.is_closing():
            return
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.conn.send_close(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(CUT_SECONDS, self.transport.abort)


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def wire_of(scope: Scope) -> Wire:
    """Raises RuntimeError under another server than ours, which cannot do this."""
    wire = scope.get("extensions", {}).get(EXTENSION)
    if not isinstance(wire, Wire):
        raise RuntimeError("the stream needs uvicorn with ws=longshore.web.stream.wire.Wire")
    return wire
