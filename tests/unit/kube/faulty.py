"""A scripted API server on loopback that misbehaves on purpose, and the words its scripts are written in.

A script is a list of answers, one for each request in the order they come:

    server.script = [
        page(job("a", 5), version=10),
        watch(added(job("b", 11)), bookmark(20), CUT),
        refuse(410, "Expired"),
    ]

When the script is over, `server.finished` is set by the next request, which is left unanswered: all that the script
said has been taken by then.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import msgspec
from aiohttp import web

Object = dict[str, Any]


class Move(Enum):
    """How a stream goes on when nothing more is said."""

    CLOSE = "end it cleanly"
    CUT = "break the connection in the middle"
    HANG = "say nothing more"


CLOSE, CUT, HANG = Move.CLOSE, Move.CUT, Move.HANG


@dataclass(frozen=True)
class Later:
    """This much time passes, on the test's clock, before the stream goes on."""

    seconds: float


@dataclass(frozen=True)
class Until:
    """The stream says nothing before this holds."""

    holds: Callable[[], bool]


LONG = Later(250)  # longer than any stream that counts as too short
Moves = bytes | Later | Until | Move


@dataclass(frozen=True)
class Answer:
    """A whole response."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


@dataclass(frozen=True)
class Watch:
    """A stream of events; CLOSE unless the last move says otherwise."""

    moves: tuple[Moves, ...]


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    method: str
    path: str
    params: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def is_watch(self) -> bool:
        return "watch" in self.params

    @property
    def resumed_at(self) -> str:
        return self.params["resourceVersion"]


def job(name: str, version: int, uid: str | None = None, **spec: Any) -> Object:
    metadata = {"name": name, "namespace": "ns", "uid": uid or f"uid-{name}", "resourceVersion": str(version)}
    return {"metadata": metadata, "spec": spec}


def page(*items: Object, version: int | str, continue_: str = "") -> Answer:
    """One page of a list of Jobs."""
    metadata = {"resourceVersion": str(version), "continue": continue_}
    return Answer(msgspec.json.encode({"kind": "JobList", "metadata": metadata, "items": items}))


def watch(*moves: Moves) -> Watch:
    return Watch(moves)


def event(type_: str, obj: Object) -> bytes:
    return msgspec.json.encode({"type": type_, "object": obj}) + b"\n"


def added(obj: Object) -> bytes:
    return event("ADDED", obj)


def modified(obj: Object) -> bytes:
    return event("MODIFIED", obj)


def deleted(obj: Object) -> bytes:
    return event("DELETED", obj)


def bookmark(version: int) -> bytes:
    """Like the real ones: everything but the resourceVersion is null or nonsense for a Job."""
    return event(
        "BOOKMARK", {"kind": "Job", "metadata": {"resourceVersion": str(version), "labels": None}, "spec": None}
    )


def initial_end(version: int) -> bytes:
    """The bookmark after the last event of a streamed list."""
    annotations = {"k8s.io/initial-events-end": "true"}
    metadata = {"resourceVersion": str(version), "annotations": annotations, "creationTimestamp": None}
    return event("BOOKMARK", {"kind": "Job", "metadata": metadata, "spec": {"template": {}}})


def failure(code: int, reason: str) -> bytes:
    """An ERROR event."""
    return event("ERROR", status(code, reason))


def refuse(code: int, reason: str = "", **headers: str) -> Answer:
    return Answer(msgspec.json.encode(status(code, reason)), code, {k.replace("_", "-"): v for k, v in headers.items()})


def status(code: int, reason: str) -> Object:
    return {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": f"told to say {code}"}


class Faulty:
    """The server. `asked` is every request that came, `peers` the connections they came on.

    Who only looks at the version, by a list of one object, is told `at`, and that is counted in `looks` instead: it is
    no part of the script.
    """

    def __init__(self, elapse: Callable[[float], None]) -> None:
        self.script: list[Answer | Watch] = []
        self.asked: list[Asked] = []
        self.at = 10**12
        self.looks = 0
        self.only_watch = False  # whether those looks are forbidden
        self.expired = ""  # a token that is refused, whatever the script says
        self.finished = asyncio.Event()
        self.peers: set[object] = set()
        self.url = ""
        self._elapse = elapse
        self._stopped = asyncio.Event()
        self._runner = web.ServerRunner(web.Server(self._answer), shutdown_timeout=0.1)

    @property
    def watches(self) -> list[Asked]:
        return [asked for asked in self.asked if asked.is_watch]

    @property
    def lists(self) -> list[Asked]:
        return [asked for asked in self.asked if not asked.is_watch]

    async def start(self) -> None:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        self._stopped.set()
        await self._runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.peers.add(request.transport and request.transport.get_extra_info("peername"))
        if request.query.get("limit") == "1":
            self.looks += 1
            if self.only_watch:
                return web.json_response(status(403, "Forbidden"), status=403)
            return web.json_response(body=page(version=self.at).body)
        if self.expired and headers.get("authorization") == f"Bearer {self.expired}":
            return web.json_response(status(401, "Unauthorized"), status=401)
        body = await request.read()
        self.asked.append(Asked(request.method, request.path, dict(request.query), headers, body))
        if not self.script:
            self.finished.set()
            await self._stopped.wait()
            return web.Response(status=503)
        answer = self.script.pop(0)
        if isinstance(answer, Watch):
            return await self._stream(request, answer.moves)
        return web.Response(
            body=answer.body, status=answer.status, headers=answer.headers, content_type=answer.content_type
        )

    async def _stream(self, request: web.BaseRequest, moves: tuple[Moves, ...]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for move in moves:
            if isinstance(move, bytes):
                await response.write(move)
            elif isinstance(move, Until):
                while not move.holds():  # noqa: ASYNC110 - of the code under test, which tells nobody
                    await asyncio.sleep(0)
            elif isinstance(move, Later):
                self._elapse(move.seconds)
            elif move is HANG:
                if not self.script:
                    self.finished.set()
                await self._stopped.wait()
            elif move is CUT:
                assert request.transport is not None
                request.transport.abort()
        return response
