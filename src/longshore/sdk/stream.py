"""Follows jobs as they change: over a WebSocket, taken up again where it broke, or by polling where there is none.

`sdk.jobs.watch` calls it. The messages are those of docs/stream.md.
"""

import asyncio
import random
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, Literal

import aiohttp
import msgspec
from msgspec import Struct

from longshore import errors
from longshore.sdk.answers import ArchiveAway, ArchiveDamaged, Job, Page
from longshore.sdk.problems import error_for
from longshore.sdk.transport import Transport, segment

POLL_SECONDS: Final = 2.0
STREAM_AGAIN_SECONDS: Final = 30.0
_LONGEST_PAUSE: Final = 5.0
_OPEN_SECONDS: Final = 15.0
_FOR_GOOD: Final[Mapping[int, type[errors.LongshoreError]]] = {
    4400: errors.LongshoreError,
    4401: errors.Unauthenticated,
    4403: errors.Forbidden,
}
_TOO_MANY: Final = 4429
_NOT_YET: Final = frozenset({429, 503})
_BUSY_SECONDS: Final = 5.0
_CHANGES: Final = frozenset({"snapshot", "job", "gone", "progress"})
_WHEN = re.compile(r"in (\d+(?:\.\d+)?) s")


class Change(Struct, frozen=True, kw_only=True):
    """What happened, by `type`.

    snapshot: `jobs` are all there is to show, in place of what was (`cursor`: more follow; `archive`: it is away, and
    what it alone has is missing; `damaged`: some of what it has is). job: `job` is its record
    now. gone: job `id` has left the cluster; where `archived`, its record still answers. progress: of job `id`.
    """

    type: Literal["snapshot", "job", "gone", "progress"]
    id: str | None = None
    job: Job | None = None
    jobs: tuple[Job, ...] = ()
    cursor: str | None = None
    archived: bool = False
    archive: ArchiveAway | None = None
    damaged: ArchiveDamaged | None = None
    progress: dict[str, Any] = {}


class Wanted(Struct, frozen=True, omit_defaults=True):
    """What is followed; as the server reads it."""

    job: str | None = None
    tenant: str | None = None
    kind: str | None = None
    status: str | None = None
    name: str | None = None
    tags: dict[str, str] = {}
    limit: int = 50
    cursor: str | None = None
    window: bool = False

    def message(self, after: str | None) -> str:
        to = {"job": self.job} if self.job is not None else self
        subscribe = {"type": "subscribe", "id": "watch", "to": to, **({"after": after} if after else {})}
        return msgspec.json.encode(subscribe).decode()

    def params(self) -> dict[str, object]:
        tags = [f"{key}={value}" for key, value in self.tags.items()]
        return {
            "kind": self.kind,
            "status": self.status,
            "name": self.name,
            "tag": tags or None,
            "limit": self.limit,
            "cursor": self.cursor,
        }


class _Said(Struct):
    """Any message of the server."""

    type: str
    position: str | None = None
    seq: int | None = None
    known: str = ""
    anew: bool = False
    id: str | None = None
    job: Job | None = None
    jobs: tuple[Job, ...] = ()
    cursor: str | None = None
    archived: bool = False
    archive: ArchiveAway | None = None
    damaged: ArchiveDamaged | None = None
    progress: dict[str, Any] = {}
    messages: tuple[msgspec.Raw, ...] = ()
    status: int = 0
    detail: str = ""
    hint: str | None = None


class _NoStream(Exception):
    """A WebSocket cannot be had here: something on the way does not let it through."""


class _Lost(Exception):
    """The connection is gone; come again in `after` seconds, or soon."""

    def __init__(self, after: float | None, why: str) -> None:
        super().__init__(why)
        self.after = after
        self.why = why


class _Watch:
    """Where a watch is, from one connection to the next."""

    def __init__(self, transport: Transport, wanted: Wanted) -> None:
        self._transport = transport
        self._wanted = wanted
        self._epoch: str | None = None
        self._seq = 0
        self._known = ""
        self._polled: tuple[Job, ...] | None = None
        self.answered = asyncio.get_running_loop().time()

    async def stream(self) -> AsyncIterator[Change]:
        """Changes over one socket. Raises _Lost when it ends, _NoStream when there is none."""
        try:
            async with self._transport.socket("/v1/stream") as socket:
                await socket.send_str(self._wanted.message(self._position))
                async for change in self._read(socket):
                    yield change
        except aiohttp.WSServerHandshakeError as refused:
            if refused.status in (429, 502, 503, 504):
                raise _Lost(None, f"the server answered {refused.status}") from refused
            raise _NoStream from refused
        except (aiohttp.ClientError, TimeoutError, OSError) as broken:
            raise _Lost(None, str(broken) or type(broken).__name__) from broken

    async def poll(self) -> AsyncIterator[Change]:
        """What there is, whenever it is another than before; for a while."""
        until = asyncio.get_running_loop().time() + STREAM_AGAIN_SECONDS
        while asyncio.get_running_loop().time() < until:
            try:
                page = await self._page()
            except errors.Gone:  # a backup of the cluster was put back: what we have seen may never be again
                if not self._known:
                    raise
                self._known = ""
                continue
            self.answered = asyncio.get_running_loop().time()
            if tuple(page.items) != self._polled:
                self._polled = tuple(page.items)
                yield Change(
                    type="snapshot",
                    jobs=self._polled,
                    cursor=page.cursor,
                    archive=page.archive,
                    damaged=page.damaged,
                )
            await asyncio.sleep(random.uniform(0.5, 1.0) * POLL_SECONDS)  # noqa: S311 - jitter, not a secret

    async def _page(self) -> Page:
        seen = {"min_resource_version": self._known.partition(".")[0] or None}
        if self._wanted.job is not None:
            path = f"/v1/jobs/{segment(self._wanted.job)}"
            return Page(items=[await self._transport.call("GET", path, Job, params=seen)])
        return await self._transport.call("GET", "/v1/jobs", Page, params={**self._wanted.params(), **seen})

    @property
    def _position(self) -> str | None:
        if not self._epoch:
            return None
        return f"{self._epoch}-{self._seq}-{self._known}" if self._known else f"{self._epoch}-{self._seq}"

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> AsyncIterator[Change]:
        first = True
        while True:
            async with asyncio.timeout(_OPEN_SECONDS if first else None):
                received = await socket.receive()
            if received.type is not aiohttp.WSMsgType.TEXT:
                raise _ended(socket.close_code or 1006, received.extra or "")
            said = msgspec.json.decode(received.data, type=_Said)
            if said.type == "error" and said.status in _NOT_YET:
                raise _Lost(None, said.detail)
            if said.type != "hello":
                self.answered = asyncio.get_running_loop().time()
            if said.type == "changed":
                await socket.send_str(self._wanted.message(None))
            elif said.type == "error":
                raise error_for(said.status, said.detail, said.hint)
            first = first and said.type == "hello"
            for change in self._changes(said):
                yield change

    def _changes(self, said: _Said) -> list[Change]:
        """What a message tells, and where it brings us."""
        changes: list[Change] = []
        if said.type == "resumed":
            for text in said.messages:
                changes += self._changes(msgspec.json.decode(text, type=_Said))
        elif said.type in _CHANGES:
            changes.append(_change(said))
        if said.type in ("snapshot", "resumed") and said.position:
            self._polled = None
            self._epoch, number, known = (*said.position.split("-", 2), "")[:3]
            self._seq = int(number)
            if said.anew:  # the cluster's history is another one, which may never come to what we have seen
                self._known = ""
            self._know(known)
        elif said.seq is not None:
            self._seq = max(self._seq, said.seq)
            self._know(said.known)
        return changes

    def _know(self, known: str) -> None:
        """What we have seen of the world, of each part the newest: no replica may tell us less."""
        numbers = [tuple(map(int, each.split("."))) for each in (self._known, known) if each]
        self._known = ".".join(str(max(each)) for each in zip(*numbers, strict=False))


async def watch(transport: Transport, wanted: Wanted, *, outage: float) -> AsyncIterator[Change]:
    """See `Jobs.watch`."""
    state = _Watch(transport, wanted)
    pause = 0.1
    while True:
        try:
            async for change in state.stream():
                pause = 0.1
                yield change
                if wanted.job is not None and _final(change):
                    return
        except _Lost as lost:
            if asyncio.get_running_loop().time() - state.answered > outage:
                raise errors.Unavailable(f"the longshore API at {transport.url} is away: {lost.why}") from lost
            wait = lost.after if lost.after is not None else random.uniform(0, pause)  # noqa: S311 - jitter
            pause = min(pause * 2, _LONGEST_PAUSE)
            await asyncio.sleep(wait)
        except _NoStream:
            async for change in state.poll():
                yield change
                if wanted.job is not None and _final(change):
                    return


def _final(change: Change) -> bool:
    job = change.job or (change.jobs[0] if change.jobs else None)
    return job is not None and job.final


def _change(said: _Said) -> Change:
    kept = {name: getattr(said, name) for name in Change.__struct_fields__}
    return Change(**{**kept, "id": None} if said.type == "snapshot" else kept)


def _ended(code: int, reason: str) -> Exception:
    """What the end of a socket means, by its code."""
    why = reason or f"the stream was closed with code {code}"
    if code in _FOR_GOOD:
        return _FOR_GOOD[code](why)
    when = _WHEN.search(reason)
    return _Lost(float(when[1]) if when else _BUSY_SECONDS if code == _TOO_MANY else None, why)
