"""A WebSocket of the stream: subscriptions come in, snapshots and changes go out (docs/stream.md has the messages).

A socket costs the one task that uvicorn makes, which sleeps until the client says something. Changes are written into
it by the hub; they wait in its reader's outbox only while the client does not keep up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from longshore.errors import Forbidden, LongshoreError, TooManyRequests, Unauthenticated
from longshore.web.auth import Caller
from longshore.web.problems import status_of
from longshore.web.stream.audience import LET_GO, Audience
from longshore.web.stream.follow import Follow, Resolve
from longshore.web.stream.hub import Hub
from longshore.web.stream.messages import (
    Code,
    Ping,
    Said,
    Subscribe,
    failure,
    frame_of,
    going_away,
    message,
    parse_position,
    read,
)
from longshore.web.stream.outbox import Change
from longshore.web.stream.reader import Reader
from longshore.web.stream.tickets import SUBPROTOCOL, Tickets, shown_by
from longshore.web.stream.wire import Wire, wire_of

MOST_SUBSCRIPTIONS = 64
SAY_SECONDS = 20.0


@dataclass(frozen=True)
class Stage:
    """What the streams of one process share."""

    hub: Hub
    audience: Audience
    tickets: Tickets
    recognise: Callable[[str], Awaitable[Caller]]
    resolve: Resolve


class Socket:
    """One client that has come in."""

    __slots__ = ("_follows", "_reader", "_stage", "_wire", "credential", "who")

    def __init__(self, stage: Stage, wire: Wire, who: Caller, credential: str) -> None:
        self.who = who
        self.credential = credential
        self._stage = stage
        self._wire = wire
        self._reader = Reader(self._offer, self._too_slow)
        self._follows: dict[str, Follow] = {}
        wire.drained = self._reader.drained

    def let_go(self, code: Code, reason: str) -> None:
        """Close it; its task ends with that."""
        LET_GO.labels(code.name.lower()).inc()
        self._reader.end()
        self._wire.cut(code, reason)

    async def run(self, receive: Receive, send: Send) -> None:
        """Until either side has closed it."""
        try:
            await self._say(send, message("hello", position=self._stage.hub.here))
            while (event := await receive())["type"] != "websocket.disconnect":
                said = self._read(event.get("text") or event.get("bytes") or b"")
                if said is not None:
                    await self._heed(said, send)
        finally:
            self._reader.end()
            self._wire.drained = None
            self._stage.audience.leave(self)
            for follow in self._follows.values():
                follow.end()

    def _read(self, text: str | bytes) -> Said | None:
        try:
            return read(text)
        except (msgspec.MsgspecError, RecursionError) as error:
            self.let_go(Code.BAD_MESSAGE, f"not a message of this stream: {error}"[:110])
            return None

    async def _heed(self, said: Said, send: Send) -> None:
        if isinstance(said, Ping):
            await self._say(send, message("pong", id=said.id))
        elif isinstance(said, Subscribe):
            try:
                await self._subscribe(said, send)
            except LongshoreError as error:
                self._drop(said.id)
                await self._say(send, failure(said.id, status_of(error), error))
        else:
            self._drop(said.id)
            await self._say(send, message("unsubscribed", id=said.id))

    async def _subscribe(self, said: Subscribe, send: Send) -> None:
        self._drop(said.id)
        if len(self._follows) >= MOST_SUBSCRIPTIONS:
            hint = "unsubscribe from something, or follow a whole tenant"
            raise TooManyRequests(f"a socket has at most {MOST_SUBSCRIPTIONS} subscriptions", hint=hint)
        stage = self._stage
        after = parse_position(said.after)
        interest = await stage.resolve(self.who, bytes(said.to), after.known if after else "")
        await self._reader.caught_up()
        follow = Follow(stage.hub, self._reader, said.id, interest, self._restart)
        with self._reader.hold():
            self._follows[said.id] = follow
            follow.begin()
            here = stage.hub.here
            missed = stage.hub.missed(after, follow) if interest.resumable else None
            if missed is not None:
                said_since = [msgspec.Raw(change.text) for change in missed]
                text = message("resumed", id=said.id, position=here, messages=said_since)
            else:
                text = message("snapshot", id=said.id, position=here, **await interest.snapshot())
            await self._say(send, text)

    def _drop(self, id: str) -> None:
        follow = self._follows.pop(id, None)
        if follow is not None:
            follow.end()

    async def _say(self, send: Send, text: bytes) -> None:
        try:
            async with asyncio.timeout(SAY_SECONDS):
                await send({"type": "websocket.send", "text": text.decode()})
        except TimeoutError:
            self._too_slow()

    def _offer(self, change: Change) -> bool:
        return self._wire.offer(change.frame or frame_of(change.text))

    def _too_slow(self) -> None:
        self.let_go(Code.TOO_SLOW, "you read too slowly: connect again and go on after your last position")

    def _restart(self) -> None:
        self.let_go(Code.GOING_AWAY, going_away())


async def serve_socket(stage: Stage, scope: Scope, receive: Receive, send: Send) -> None:
    """An ASGI endpoint: let a client in, or close its socket with a code that a page can read."""
    await receive()  # websocket.connect
    offered = scope.get("subprotocols", ())
    chosen = SUBPROTOCOL if SUBPROTOCOL in offered else None
    await send({"type": "websocket.accept", "subprotocol": chosen})
    wire = wire_of(scope)
    try:
        credential = shown_by(Headers(scope=scope), offered, stage.tickets)
        socket = Socket(stage, wire, await stage.recognise(credential), credential)
        _require_person(socket.who)
        stage.audience.enter(socket)
    except LongshoreError as error:
        wire.cut(_code_of(error), _reason(error))
        return
    wire.then = socket.run


def _require_person(who: Caller) -> None:
    if who.pod is not None:
        raise Forbidden("a pod's token does not open the stream", hint="use a key of its tenant")


def _code_of(error: LongshoreError) -> Code:
    if isinstance(error, Unauthenticated):
        return Code.UNAUTHENTICATED
    if isinstance(error, TooManyRequests):
        return Code.TOO_MANY
    return Code.FORBIDDEN if isinstance(error, Forbidden) else Code.GOING_AWAY


def _reason(error: LongshoreError) -> str:
    return error.message.encode()[:120].decode(errors="ignore")  # RFC 6455: 123 bytes
