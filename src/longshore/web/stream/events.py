"""The stream as server-sent events: one subscription, over plain HTTP (HTML Living Standard, 9.2).

Every event's id is a position; a browser, and our SDK, send the last one back when they connect again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from longshore.errors import Forbidden
from longshore.web.auth import Caller
from longshore.web.stream.audience import LET_GO
from longshore.web.stream.follow import Follow, Interest
from longshore.web.stream.messages import SPREAD_SECONDS, Code, Position, message, position
from longshore.web.stream.outbox import Change, Outbox
from longshore.web.stream.reader import Reader
from longshore.web.stream.socket import Stage

BEAT_SECONDS = 15.0
SEND_SECONDS = 20.0
RETRY_MS = 2_000
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # the latter is nginx's: do not collect it


class EventStream(Response):
    """A response that lasts until either side ends it."""

    media_type = "text/event-stream"

    def __init__(self, stage: Stage, who: Caller, credential: str, interest: Interest, after: Position | None) -> None:
        super().__init__(headers=HEADERS)
        del self.headers["content-length"]
        self.who = who
        self.credential = credential
        self._stage = stage
        self._after = after
        self._closing: tuple[Code, str] | None = None
        self._news = asyncio.Event()
        self._outbox = Outbox()
        self._follow = Follow(stage.hub, Reader(self._put, self._too_slow), "", interest, self._restart)

    def let_go(self, code: Code, reason: str) -> None:
        """End it after what is being sent."""
        if self._closing is None:
            LET_GO.labels(code.name.lower()).inc()
            self._closing = (code, reason)
            self._news.set()

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        if self.who.pod is not None:
            raise Forbidden("a pod's token does not open the stream", hint="use a key of its tenant")
        self._stage.audience.enter(self)
        reading = asyncio.ensure_future(self._until_gone(receive))
        try:
            self._follow.begin()
            first = await self._first()
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await self._send(send, f"retry: {RETRY_MS}\n\n".encode() + first)
            while self._closing is None:
                await self._send(send, await self._next())
            await self._send(send, self._last(), more=False)
        except TimeoutError:
            LET_GO.labels(Code.TOO_SLOW.name.lower()).inc()  # uvicorn closes what was not ended
        finally:
            self._follow.end()
            self._stage.audience.leave(self)
            reading.cancel()
            await asyncio.wait([reading])

    async def _first(self) -> bytes:
        """What was missed, or a snapshot."""
        hub, interest = self._stage.hub, self._follow.interest
        here = hub.here
        missed = hub.missed(self._after, self._follow) if interest.resumable else None
        if missed is None:
            return _event(message("snapshot", position=here, **await interest.snapshot()), here)
        return b"".join(self._events(missed)) or b": nothing was missed\n\n"

    async def _next(self) -> bytes:
        """Everything that waits, or a sign of life."""
        try:
            async with asyncio.timeout(BEAT_SECONDS):
                await self._news.wait()
        except TimeoutError:
            return b": still here\n\n"
        self._news.clear()
        waiting = list(iter(self._outbox.pop, None))
        return b"".join(self._events(waiting))

    def _last(self) -> bytes:
        assert self._closing is not None
        code, reason = self._closing
        retry = random.randint(RETRY_MS, int(SPREAD_SECONDS * 1000))  # noqa: S311 - jitter, not a secret
        return f"retry: {retry}\n".encode() + _event(message("closing", code=code, reason=reason), None)

    def _events(self, changes: list[Change]) -> Iterator[bytes]:
        for change in changes:
            hub = self._stage.hub
            yield _event(change.text, position(hub.epoch, change.seq, hub.known) if change.seq else None)

    async def _send(self, send: Send, body: bytes, *, more: bool = True) -> None:
        async with asyncio.timeout(SEND_SECONDS):
            await send({"type": "http.response.body", "body": body, "more_body": more})

    async def _until_gone(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._closing = (Code.GOING_AWAY, "the client has gone")
        self._news.set()

    def _put(self, change: Change) -> bool:
        if self._closing is not None:  # whoever comes again is told, from the position that he has
            return True
        if not self._outbox.put(change):
            self._too_slow()
        self._news.set()
        return True

    def _too_slow(self) -> None:
        self.let_go(Code.TOO_SLOW, "you read too slowly: connect again")

    def _restart(self) -> None:
        self._outbox.clear()  # these are numbered as before
        self.let_go(Code.GOING_AWAY, "this replica begins anew: connect again")


def _event(text: bytes, id: str | None) -> bytes:
    head = b"" if id is None else f"id: {id}\n".encode()
    return head + b"data: " + text + b"\n\n"
