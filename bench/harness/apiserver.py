"""An API server of one resource and made-up objects, for clients to list and watch over loopback HTTP.

It pages and streams as the real one does: `limit` and `continue`, `sendInitialEvents`, one chunk for each event. What
it serves is put together on the way, so that 100,000 objects cost it no memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from aiohttp import web

from bench.harness.jobs import Identity, changed, config_map, job, listed

WARM_UP = 100  # objects in the namespace `warm-up`
FIRST_VERSION = 1_000  # of the first object; the list is as of the last one's
ENDED = b'"metadata":{"resourceVersion":"%d","annotations":{"k8s.io/initial-events-end":"true"}}'

NOT_STREAMED = (
    b'{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Invalid","code":422,'
    b'"message":"sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"}'
)


class Server:
    """`count` objects to list, then `events` changes of them, `pace` a second or as fast as they are taken.

    One that does not stream lists answers as a server from before they were.
    """

    def __init__(self, count: int, events: int, pace: float, what: str, streams_lists: bool) -> None:
        self.objects = listed(count)
        self.version = FIRST_VERSION + count
        self._events = events
        self._pace = pace
        self._streams_lists = streams_lists
        self._started = asyncio.Event()
        kind, self._item, self._changed = _KINDS[what]
        self._list_head = b'{"kind":"%sList","apiVersion":"%s","metadata":' % kind
        self._bookmark = b'{"kind":"%s","apiVersion":"%s",' % kind + ENDED + b"}"

    async def collection(self, request: web.Request) -> web.StreamResponse:
        if "watch" in request.query:
            return await self._watch(request)
        return self._list(request)

    async def start(self, _: web.Request) -> web.Response:
        """Let the changes begin."""
        self._started.set()
        return web.Response()

    def _list(self, request: web.Request) -> web.Response:
        chosen = self.objects[:WARM_UP] if request.match_info.get("namespace") == "warm-up" else self.objects
        first = int(request.query.get("continue") or 0)
        end = first + int(request.query.get("limit") or len(chosen))
        items = [self._item(one, FIRST_VERSION + n) for n, one in enumerate(chosen[first:end], first)]
        remaining = max(len(chosen) - end, 0)
        more = b',"continue":"%d","remainingItemCount":%d' % (end, remaining) if remaining else b""
        meta = b'{"resourceVersion":"%d"%s}' % (self.version, more)
        body = self._list_head + meta + b',"items":[' + b",".join(items) + b"]}"
        return web.Response(body=body, content_type="application/json")

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        initial = request.query.get("sendInitialEvents") == "true"
        if initial and not self._streams_lists:
            return web.Response(status=422, body=NOT_STREAMED, content_type="application/json")
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        with suppress(ConnectionResetError):  # clients leave in the middle
            await response.prepare(request)
            if initial:
                await self._initial_events(response)
            await self._started.wait()
            await self._changes(response)
            await asyncio.Event().wait()
        return response

    async def _initial_events(self, response: web.StreamResponse) -> None:
        for number, one in enumerate(self.objects):
            await response.write(_event(b"ADDED", self._item(one, FIRST_VERSION + number)))
        await response.write(_event(b"BOOKMARK", self._bookmark % self.version))

    async def _changes(self, response: web.StreamResponse) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number in range(self._events):
            if self._pace:
                await asyncio.sleep(began + number / self._pace - loop.time())
            one = self.objects[number * 7919 % len(self.objects)]  # a prime, so that neighbours do not follow
            await response.write(_event(b"MODIFIED", self._changed(one, self.version + 1 + number)))


def _event(type_: bytes, obj: bytes) -> bytes:
    return b'{"type":"%s","object":%s}\n' % (type_, obj)


def _bare_config_map(one: Identity, version: int) -> bytes:
    """In a list, items name neither their kind nor their version."""
    return b'{"metadata"' + config_map(one, version).partition(b'"metadata"')[2]


Make = Callable[[Identity, int], bytes]
_KINDS: dict[str, tuple[tuple[bytes, bytes], Make, Make]] = {
    "jobs": ((b"Job", b"batch/v1"), job, changed),
    "configmaps": ((b"ConfigMap", b"v1"), _bare_config_map, config_map),
}


@asynccontextmanager
async def serve(
    count: int, events: int = 0, pace: float = 0.0, what: str = "jobs", streams_lists: bool = True
) -> AsyncIterator[dict[str, object]]:
    server = Server(count, events, pace, what, streams_lists)
    app = web.Application()
    root = "/apis/batch/v1" if what == "jobs" else "/api/v1"
    app.router.add_get(f"{root}/{what}", server.collection)
    app.router.add_get(f"{root}/namespaces/{{namespace}}/{what}", server.collection)
    app.router.add_get("/start", server.start)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    yield {"url": f"http://{host}:{port}", "version": server.version, "last": server.version + events}
    await runner.cleanup()
