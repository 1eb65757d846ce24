"""The WebSockets of seed 3. `WS /ws/task-status/{job_name}` is here.

A socket costs one task that waits for its end; a change makes another only for as long as it takes to send it. Who
reads too slowly misses what came between, never the newest, and is let go when even that takes too long.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any, Literal, Protocol

import msgspec
import structlog
from fastapi import APIRouter
from msgspec import Struct
from starlette.websockets import WebSocket, WebSocketDisconnect

from longshore.errors import Forbidden, LongshoreError, Unauthenticated
from longshore.kinds.jobs.find import progress_topic
from longshore.kinds.tasks.desk import TaskDesk
from longshore.kinds.tasks.model import task_topic
from longshore.kinds.tasks.view import TaskStatus, Word
from longshore.kinds.tasks.watching import Listener, key_of
from longshore.runtime.bus import Offered
from longshore.web.auth import Authentication, Caller

router = APIRouter()
log = structlog.get_logger(__name__)

SEND_SECONDS = 20.0
MOST_TASKS = 1000
MOST_CHARACTERS = 4096
CLOSED_WELL, TOO_LONG, TRY_AGAIN, NO_CREDENTIAL, NOT_YOURS = 1000, 1009, 1013, 4401, 4403
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


class Heard(Listener, Offered, Protocol):
    """Who hears of a task by whatever way there is."""

    def again(self) -> None: ...


@contextmanager
def heard(desk: TaskDesk, who: Caller, name: str, namespace: str | None, listener: Heard) -> Iterator[None]:
    """Within, the listener is told of this task or Job. Raises Forbidden for a namespace that is not the caller's."""
    key = key_of(desk.jobs.namespace_for(who, name, namespace), name) if desk.jobs is not None else ""
    topic = task_topic(name)
    if desk.jobs is not None:
        desk.jobs.watching.add(key, listener)
    desk.bus.join(topic, listener)
    desk.followed(name, listener)
    try:
        yield
    finally:
        desk.unfollowed(name, listener)
        desk.bus.leave(topic, listener)
        if desk.jobs is not None:
            desk.jobs.watching.remove(key, listener)


class StatusListener:
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

    def offer(self, _topic: str, _value: Any) -> None:
        """From the bus: a task that a service runs has changed."""
        self._ask_soon()

    def again(self) -> None:
        """News may have been missed: the link to the replica that runs it is down."""
        self._ask_soon()

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
    outbox = Outbox(socket)
    listener = StatusListener(outbox, lambda: desk.status(who, job_name, namespace))
    try:
        with heard(desk, who, job_name, namespace, listener):
            await listener.ask()
            await until_gone(socket)
    except Forbidden as refused:
        await socket.close(NOT_YOURS, refused.message[:120])
    finally:
        await listener.end()
        await outbox.end()


class TaskListener:
    """What a socket is told of one task that it subscribed to: its status and how far it is."""

    def __init__(self, outbox: Outbox, id: str, look: Callable[[], Awaitable[dict[str, Any]]]) -> None:
        self._outbox = outbox
        self._id = id
        self._look = look
        self._told: dict[str, Any] | None = None
        self._asking: asyncio.Task[None] | None = None
        self._news = False

    async def ask(self) -> None:
        """Tell what is so now, where that is something new; raises NotFound."""
        data = await self._look()
        if data != self._told:
            self._told = data
            self._outbox.put(self._id, {"type": "task_update", "task_id": self._id, "data": data})

    def status(self, _status: TaskStatus | None) -> None:
        self.again()

    def trouble(self, why: str | None) -> None:
        if why is None:
            self.again()
        else:
            self._told = {"status": Word.ERROR, "message": why}
            self._outbox.put(self._id, {"type": "task_update", "task_id": self._id, "data": self._told})

    def offer(self, _topic: str, _value: Any) -> None:
        """From the bus: it got on, or a service that runs it says that it changed."""
        self.again()

    def again(self) -> None:
        """Look once more; however much happens meanwhile, it is one look at a time."""
        self._news = True
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_while_there_is_news())

    async def end(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])

    async def _ask_while_there_is_news(self) -> None:
        while self._news:
            self._news = False
            try:
                await self.ask()
            except LongshoreError as error:
                data = {"status": Word.ERROR, "message": error.message}
                self._outbox.put(self._id, {"type": "task_update", "task_id": self._id, "data": data})


class Subscriptions:
    """The tasks that one socket of /ws/tasks follows."""

    def __init__(self, desk: TaskDesk, who: Caller, outbox: Outbox) -> None:
        self._desk, self._who, self._outbox = desk, who, outbox
        self._open: dict[str, AsyncExitStack] = {}

    async def answer(self, text: str) -> None:
        """Do what a message asks for, and say so."""
        try:
            message = _message_decoder.decode(text)
        except msgspec.DecodeError:
            self._refuse(None, 'send {"type": "subscribe"|"unsubscribe"|"ping", "task_id": "..."}')
            return
        if message.type == "ping":
            self._outbox.put("pong", {"type": "pong"})
        elif message.type == "unsubscribe":
            await self._close(message.task_id)
            self._outbox.put(f"-{message.task_id}", {"type": "unsubscribed", "task_id": message.task_id})
        else:
            await self._subscribe(message.task_id)

    async def _subscribe(self, id: str) -> None:
        if id not in self._open and len(self._open) >= MOST_TASKS:
            self._refuse(id, f"a socket follows at most {MOST_TASKS} tasks")
            return
        try:
            present = await self._desk.task(self._who, id)
        except LongshoreError as error:
            self._refuse(id, error.message)
            return
        await self._close(id)
        self._outbox.put(f"+{id}", {"type": "subscribed", "task_id": id})
        self._outbox.put(id, {"type": "task_update", "task_id": id, "data": present.update()})
        self._open[id] = await self._listening(id)

    async def _listening(self, id: str) -> AsyncExitStack:
        async def look() -> dict[str, Any]:
            return (await self._desk.task(self._who, id)).update()

        listener = TaskListener(self._outbox, id, look)
        stack = AsyncExitStack()
        stack.push_async_callback(listener.end)
        stack.enter_context(heard(self._desk, self._who, id, None, listener))
        self._desk.bus.join(progress_topic(id), listener)
        stack.callback(self._desk.bus.leave, progress_topic(id), listener)
        listener.again()  # for what changed since it was looked up
        return stack

    async def _close(self, id: str) -> None:
        stack = self._open.pop(id, None)
        if stack is not None:
            await stack.aclose()

    async def close(self) -> None:
        for id in tuple(self._open):
            await self._close(id)

    def _refuse(self, id: str | None, why: str) -> None:
        self._outbox.put(f"!{id}", {"type": "error", "task_id": id, "message": why})


class Message(Struct, frozen=True):
    """What a client of /ws/tasks says."""

    type: Literal["subscribe", "unsubscribe", "ping"]
    task_id: str = ""


_message_decoder = msgspec.json.Decoder(Message)


@router.websocket("/ws/tasks")
async def tasks(socket: WebSocket) -> None:
    """Updates of the tasks that the client subscribes to, for as long as it likes."""
    who = await accept(socket)
    if who is None:
        return
    outbox = Outbox(socket)
    subscriptions = Subscriptions(socket.app.state.tasks, who, outbox)
    try:
        while (message := await socket.receive())["type"] != "websocket.disconnect":
            text = message.get("text") or ""
            if len(text) > MOST_CHARACTERS:
                await socket.close(TOO_LONG, "a message has at most 4096 characters")
                break
            await subscriptions.answer(text)
    finally:
        await subscriptions.close()
        await outbox.end()
