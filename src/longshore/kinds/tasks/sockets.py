"""The WebSockets of seed 3: `WS /ws/task-status/{job_name}` follows one Job, `WS /ws/tasks` many tasks.

A socket costs one task that waits for its end; a change makes another only for as long as it takes to send it. Who
reads too slowly misses what came between, never the newest, and is let go when even that takes too long.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass

from fastapi import APIRouter
from starlette.websockets import WebSocket

from longshore.errors import Forbidden, LongshoreError, TooManyRequests, Unauthenticated
from longshore.kinds.tasks.desk import TaskDesk
from longshore.kinds.tasks.listening import StatusListener, Subscriptions, heard
from longshore.kinds.tasks.outbox import TRY_AGAIN, Outbox, reason
from longshore.web.auth import Authentication, Caller
from longshore.web.stream.messages import Code
from longshore.web.stream.socket import Stage
from longshore.web.stream.tickets import SUBPROTOCOL, Tickets, shown_by

router = APIRouter()

MOST_CHARACTERS = 4096
LOOK_AGAIN_SECONDS = 30.0


@dataclass(frozen=True)
class Guest:
    """Who has come in, and by which credential: a ticket is good once, what it was given for may be asked again."""

    who: Caller
    credential: str


@asynccontextmanager
async def entered(socket: WebSocket) -> AsyncIterator[Guest | None]:
    """Within, it is let in, and counts as one of its caller's; None when it was closed again, with a code that a page
    can read."""
    offered = socket.scope.get("subprotocols", ())
    await socket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
    stage: Stage | None = getattr(socket.app.state, "stage", None)  # whose tickets they are; none without a cluster
    guest: Guest | None = None
    with ExitStack() as counted:
        try:
            credential = shown_by(socket.headers, offered, stage.tickets if stage else Tickets())
            who = await _recognise(socket, credential)
            if who.pod is not None:
                raise Forbidden("a pod's token opens no socket", hint="use a key of its tenant")
            if stage is not None:
                counted.enter_context(stage.audience.counted(who))
            guest = Guest(who, credential)
        except LongshoreError as error:
            await socket.close(_code_of(error), reason(error))
        yield guest


def _code_of(error: LongshoreError) -> int:
    if isinstance(error, TooManyRequests):
        return Code.TOO_MANY
    return Code.UNAUTHENTICATED if isinstance(error, Unauthenticated | Forbidden) else TRY_AGAIN


async def _recognise(socket: WebSocket, credential: str) -> Caller:
    authentication: Authentication = socket.app.state.authentication
    return await authentication.recognise(credential)


async def received(socket: WebSocket, guest: Guest) -> AsyncIterator[str]:
    """What the other side says, until it or we have closed; a key that is revoked meanwhile ends it within a minute,
    however much it says."""
    clock = asyncio.get_running_loop().time
    due = clock() + LOOK_AGAIN_SECONDS
    while True:
        if clock() >= due:
            if (gone := await _gone(socket, guest)) is not None:
                await socket.close(Code.UNAUTHENTICATED, reason(gone))
                return
            due = clock() + LOOK_AGAIN_SECONDS
        try:
            async with asyncio.timeout_at(due):
                message = await socket.receive()
        except TimeoutError:
            continue
        if message["type"] == "websocket.disconnect":
            return
        yield message.get("text") or ""


async def _gone(socket: WebSocket, guest: Guest) -> Unauthenticated | None:
    """Why its credential is good no more; None while it is, or while that cannot be said."""
    try:
        await _recognise(socket, guest.credential)
    except Unauthenticated as gone:
        return gone
    except LongshoreError:
        return None
    return None


@router.websocket("/ws/task-status/{job_name}")
async def task_status(socket: WebSocket, job_name: str, namespace: str | None = None) -> None:
    """The present status, then each change; closes after a final one."""
    async with entered(socket) as guest:
        if guest is not None:
            await _follow_one(socket, guest, job_name, namespace)


async def _follow_one(socket: WebSocket, guest: Guest, job_name: str, namespace: str | None) -> None:
    desk: TaskDesk = socket.app.state.tasks
    outbox = Outbox(socket)
    listener = StatusListener(outbox, lambda: desk.status(guest.who, job_name, namespace))
    try:
        with heard(desk, guest.who, job_name, namespace, listener):
            await listener.ask()
            async for _ in received(socket, guest):
                pass  # there is nothing to say
    except Forbidden as refused:
        await socket.close(Code.FORBIDDEN, reason(refused))
    finally:
        await listener.end()
        await outbox.end()


@router.websocket("/ws/tasks")
async def tasks(socket: WebSocket) -> None:
    """Updates of the tasks that the client subscribes to, for as long as it likes."""
    async with entered(socket) as guest:
        if guest is not None:
            await _follow_many(socket, guest)


async def _follow_many(socket: WebSocket, guest: Guest) -> None:
    outbox = Outbox(socket)
    subscriptions = Subscriptions(socket.app.state.tasks, guest.who, outbox)
    try:
        async for text in received(socket, guest):
            if len(text) > MOST_CHARACTERS:
                await socket.close(Code.BAD_MESSAGE, "a message has at most 4096 characters")
                break
            await subscriptions.answer(text)
    finally:
        await subscriptions.close()
        await outbox.end()
