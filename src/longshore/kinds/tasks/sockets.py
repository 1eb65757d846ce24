"""The WebSockets of seed 3: `WS /ws/task-status/{job_name}` follows one Job, `WS /ws/tasks` many tasks.

A socket costs one task that waits for its end; a change makes another only for as long as it takes to send it. Who
reads too slowly misses what came between, never the newest, and is let go when even that takes too long.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fastapi import APIRouter
from starlette.websockets import WebSocket

from longshore.errors import Forbidden, LongshoreError, Unauthenticated
from longshore.kinds.tasks.desk import TaskDesk
from longshore.kinds.tasks.listening import StatusListener, Subscriptions, heard
from longshore.kinds.tasks.outbox import TRY_AGAIN, Outbox
from longshore.web.auth import Authentication, Caller

router = APIRouter()

MOST_CHARACTERS = 4096
LOOK_AGAIN_SECONDS = 30.0
TOO_LONG, NO_CREDENTIAL, NOT_YOURS = 1009, 4401, 4403
SUBPROTOCOL, BEARER = "longshore", "bearer."


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


async def received(socket: WebSocket) -> AsyncIterator[str]:
    """What the other side says, until it or we have closed; a key that is revoked meanwhile ends it within a minute."""
    while True:
        try:
            async with asyncio.timeout(LOOK_AGAIN_SECONDS):
                message = await socket.receive()
        except TimeoutError:
            try:
                await caller_of(socket)
            except Unauthenticated as gone:
                await socket.close(NO_CREDENTIAL, gone.message[:120])
                return
            except LongshoreError:
                continue  # it cannot be said for now
            continue
        if message["type"] == "websocket.disconnect":
            return
        yield message.get("text") or ""


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
            async for _ in received(socket):
                pass  # there is nothing to say
    except Forbidden as refused:
        await socket.close(NOT_YOURS, refused.message[:120])
    finally:
        await listener.end()
        await outbox.end()


@router.websocket("/ws/tasks")
async def tasks(socket: WebSocket) -> None:
    """Updates of the tasks that the client subscribes to, for as long as it likes."""
    who = await accept(socket)
    if who is None:
        return
    outbox = Outbox(socket)
    subscriptions = Subscriptions(socket.app.state.tasks, who, outbox)
    try:
        async for text in received(socket):
            if len(text) > MOST_CHARACTERS:
                await socket.close(TOO_LONG, "a message has at most 4096 characters")
                break
            await subscriptions.answer(text)
    finally:
        await subscriptions.close()
        await outbox.end()
