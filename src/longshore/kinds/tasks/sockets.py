"""The WebSockets of seed 3. `WS /ws/task-status/{job_name}` is here.

A socket costs one task that waits for its end; a change makes another only for as long as it takes to send it. Who
reads too slowly misses what came between, never the newest, and is let go when even that takes too long.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import structlog
from fastapi import APIRouter
from starlette.websockets import WebSocket, WebSocketDisconnect

from longshore.errors import Forbidden, LongshoreError, Unauthenticated
from longshore.kinds.tasks.desk import TaskDesk
from longshore.kinds.tasks.view import TaskStatus, Word
from longshore.kinds.tasks.watching import key_of
from longshore.web.auth import Authentication, Caller

router = APIRouter()
log = structlog.get_logger(__name__)

SEND_SECONDS = 20.0
CLOSED_WELL, TRY_AGAIN, NO_CREDENTIAL, NOT_YOURS = 1000, 1013, 4401, 4403
SUBPROTOCOL, BEARER = "longshore", "bearer."
_encoder = msgspec.json.Encoder()


class Outbox:
    """Sends the newest of what it is given; nothing waits for it."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._waiting: dict[str, Any] = {}
        self._closing: tuple[int, str] | None = None
        self._sending: asyncio.Task[None] | None = None

    def put(self, about: str, message: Any) -> None:
        """Send this; what waits about the same thing is out of date and is not."""
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
            async with asyncio.timeout(SEND_SECONDS):
                while self._waiting:
                    message = self._waiting.pop(next(iter(self._waiting)))
                    await self._socket.send_text(_encoder.encode(message).decode())
                if self._closing is not None:
                    await self._socket.close(*self._closing)
        except TimeoutError:
            log.info("a socket read too slowly and was let go")
            await self._socket.close(TRY_AGAIN, "you read too slowly: connect again")
        except (WebSocketDisconnect, RuntimeError):
            return  # it has gone; whoever waits for its end is told so


async def caller_of(socket: WebSocket) -> Caller:
    """Who connects: by a header as over HTTP, or, from a page, by a subprotocol `bearer.<key>`; never by the URL."""
    authentication: Authentication = socket.app.state.authentication
    headers = socket.headers.mutablecopy()
    for offered in socket.scope.get("subprotocols", ()):
        if offered.startswith(BEARER) and "authorization" not in headers:
            headers["authorization"] = f"Bearer {offered.removeprefix(BEARER)}"
    return await authentication.caller(headers)


async def accept(socket: WebSocket) -> Caller | None:
    """Let it in and say who it is; None when it was closed again, with a code that a page can read."""
    offered = socket.scope.get("subprotocols", ())
    await socket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
    try:
        return await caller_of(socket)
    except LongshoreError as error:
        known = isinstance(error, Unauthenticated | Forbidden)
        await socket.close(NO_CREDENTIAL if known else TRY_AGAIN, error.message[:120])
        return None


async def until_gone(socket: WebSocket) -> None:
    """Read, and drop, whatever comes until the other side or we have closed it."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass


class _StatusListener:
    """What a socket of one Job is told: its status when that changes, and errors meanwhile."""

    def __init__(self, outbox: Outbox, look: Callable[[], Awaitable[TaskStatus]]) -> None:
        self._outbox = outbox
        self._look = look
        self._told: Word | None = None
        self._asking: asyncio.Task[None] | None = None

    async def ask(self) -> None:
        """Tell what is so now, wherever that is known: the store, the archive, nowhere."""
        present = await self._look()
        if present.status is Word.ERROR:
            self.trouble(present.message)
        else:
            self._tell(present)

    def status(self, status: TaskStatus | None) -> None:
        if status is None:
            self._ask_soon()  # its object has gone: the archive knows how it ended
        elif self._told is not Word.ERROR:
            self._tell(status)

    def trouble(self, why: str | None) -> None:
        if why is None:
            self._told = None
            self._ask_soon()
        elif self._told is not Word.ERROR:
            self._told = Word.ERROR
            self._outbox.put("status", {"status": Word.ERROR, "message": why})

    async def end(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])

    def _ask_soon(self) -> None:
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self.ask())

    def _tell(self, status: TaskStatus) -> None:
        if status.status is self._told:
            return
        self._told = status.status
        self._outbox.put("status", status.news())
        if status.status.final or status.status is Word.NOT_FOUND:
            self._outbox.close()


@router.websocket("/ws/task-status/{job_name}")
async def task_status(socket: WebSocket, job_name: str, namespace: str | None = None) -> None:
    """The present status, then each change; closes after a final one."""
    who = await accept(socket)
    if who is None:
        return
    desk: TaskDesk = socket.app.state.tasks
    try:
        space = desk.namespace_for(who, job_name, namespace)
    except Forbidden as refused:
        await socket.close(NOT_YOURS, refused.message[:120])
        return
    outbox = Outbox(socket)
    listener = _StatusListener(outbox, lambda: desk.status(who, job_name, namespace))
    key = key_of(space, job_name)
    desk.watching.add(key, listener)
    try:
        await listener.ask()
        await until_gone(socket)
    finally:
        desk.watching.remove(key, listener)
        await listener.end()
        await outbox.end()
