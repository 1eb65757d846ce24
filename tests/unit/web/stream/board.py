"""Something that changes, without Kubernetes: things of two owners, and the interests that follow them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import Receive, Scope, Send

from longshore.errors import NotFound, Unauthenticated, Unavailable
from longshore.serve import listen
from longshore.web.auth import Caller
from longshore.web.serving import Server
from longshore.web.stream.audience import Audience
from longshore.web.stream.events import EventStream
from longshore.web.stream.follow import Concern, Interest
from longshore.web.stream.hub import Hub, News
from longshore.web.stream.messages import MOST_BYTES, message, parse_position
from longshore.web.stream.ring import Mark
from longshore.web.stream.socket import Stage, serve_socket
from longshore.web.stream.tickets import Tickets
from longshore.web.stream.wire import Wire

CALLERS = {"a": Caller("a", tenant="a"), "b": Caller("b", tenant="b"), "root": Caller("root", admin=True)}


class Board:
    """Things by key, each with an owner (the first letter) and a value."""

    def __init__(self, *, bound: int = 20_000) -> None:
        self.things: dict[str, int] = {}
        self.views = 0
        self.hub = Hub(self._view, bound=bound)

    def put(self, key: str, value: int) -> None:
        self.things[key] = value
        self._tell(key)

    async def caught_up(self, known: str) -> None:
        if known > self.hub.known:
            raise Unavailable("this board is behind", hint="try again in a moment")

    def drop(self, key: str) -> None:
        if self.things.pop(key, None) is not None:
            self._tell(key)

    def of(self, scope: str | None) -> dict[str, int]:
        return {key: value for key, value in self.things.items() if scope in (None, key[0])}

    def _tell(self, key: str) -> None:
        self.hub.publish([News(key, key[0], (f"owner/{key[0]}", "all"), key)])

    def _view(self, mark: Mark) -> bytes:
        self.views += 1
        return message("thing", seq=mark.seq, key=mark.key, value=self.things.get(mark.key, "gone"))


class All:
    """Everything of one owner, or of all."""

    resumable = True

    def __init__(self, board: Board, scope: str | None) -> None:
        self.scope = scope
        self.topic = "all" if scope is None else f"owner/{scope}"
        self._board = board

    def concern(self, _mark: Mark) -> Concern:
        return Concern.NEWS

    async def snapshot(self) -> Mapping[str, Any]:
        await asyncio.sleep(0)
        return {"things": self._board.of(self.scope)}


class Rows(All):
    """What is there when the snapshot is made; whatever comes later is a hint."""

    resumable = False

    def __init__(self, board: Board, scope: str | None) -> None:
        super().__init__(board, scope)
        self._rows: set[str] = set()

    def concern(self, mark: Mark) -> Concern:
        return Concern.NEWS if mark.key in self._rows else Concern.LIST

    async def snapshot(self) -> Mapping[str, Any]:
        self._rows = set(self._board.of(self.scope))
        return await super().snapshot()


class Place:
    """A board behind a real uvicorn."""

    def __init__(self, board: Board, url: str, stage: Stage, server: Server, keys: dict[str, Caller]) -> None:
        self.board = board
        self.url = url
        self.stage = stage
        self.server = server
        self.keys = keys


@asynccontextmanager
async def place(**limits: int) -> AsyncIterator[Place]:
    board, keys = Board(), dict(CALLERS)

    async def recognise(credential: str) -> Caller:
        if credential not in keys:
            raise Unauthenticated("this credential is unknown, expired or revoked", hint="get one")
        return keys[credential]

    async def resolve(who: Caller, text: bytes, known: str) -> Interest:
        await board.caught_up(known)
        wanted = msgspec.json.decode(text)
        if wanted.get("nothing"):
            raise NotFound("there is no such thing", hint="follow another")
        return (Rows if wanted.get("rows") else All)(board, who.tenant)

    stage = Stage(board.hub, Audience(recognise, **limits), Tickets(), recognise, resolve)

    async def socket(scope: Scope, receive: Receive, send: Send) -> None:
        await serve_socket(stage, scope, receive, send)

    async def events(request: Request) -> Response:
        key = request.headers["x-api-key"]
        who = await recognise(key)
        after = parse_position(request.headers.get("last-event-id"))
        return EventStream(stage, who, key, await resolve(who, b"{}", after.known if after else ""), after)

    class Endpoint:
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await socket(scope, receive, send)

    app = Starlette(routes=[WebSocketRoute("/ws", Endpoint()), Route("/events", events)])
    listening = listen("127.0.0.1", 0)
    config = uvicorn.Config(
        app,
        log_config=None,
        lifespan="off",
        ws=Wire,
        ws_max_size=MOST_BYTES,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=10,
    )
    server = Server(config, stage.audience.farewell)
    serving = asyncio.ensure_future(server.serve(sockets=[listening]))
    try:
        yield Place(board, f"http://127.0.0.1:{listening.getsockname()[1]}", stage, server, keys)
    finally:
        server.should_exit = True
        await serving
