"""Serves the example page, and stands between it and longshore: the key stays here and never reaches a browser.

Run: LONGSHORE_URL=http://127.0.0.1:8484 LONGSHORE_API_KEY=ls_... python deploy/examples/tasks/serve.py, then open
http://127.0.0.1:8090. Who lets others in asks them who they are first: this one lets everybody act with its key.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
from aiohttp import web

HERE = Path(__file__).parent
FILES = {"": "index.html", "tasks.js": "tasks.js"}


class Front:
    """The page, and a way through for /api and /ws."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url.rstrip("/")
        self._key = key
        self._session: aiohttp.ClientSession | None = None
        self._sockets: set[web.WebSocketResponse] = set()
        self._cut = False

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/{name:|tasks\\.js}", self._file)
        app.router.add_put("/demo/sockets", self._let_through)
        app.router.add_delete("/demo/sockets", self._cut_off)
        app.router.add_route("*", "/api/{tail:.*}", self._call)
        app.router.add_get("/ws/{tail:.*}", self._socket)
        app.cleanup_ctx.append(self._opened)
        return app

    async def _opened(self, _app: web.Application) -> AsyncIterator[None]:
        async with aiohttp.ClientSession(headers={"X-API-Key": self._key}) as self._session:
            yield
            await self._close_all()

    async def _file(self, request: web.Request) -> web.FileResponse:
        return web.FileResponse(HERE / FILES[request.match_info["name"]])

    async def _let_through(self, _request: web.Request) -> web.Response:
        self._cut = False
        return web.Response(status=204)

    async def _cut_off(self, _request: web.Request) -> web.Response:
        self._cut = True
        await self._close_all()
        return web.Response(status=204)

    async def _close_all(self) -> None:
        for socket in tuple(self._sockets):
            await socket.close(code=aiohttp.WSCloseCode.GOING_AWAY)

    async def _call(self, request: web.Request) -> web.Response:
        assert self._session is not None
        headers = {"Content-Type": request.headers.get("Content-Type", "application/json")}
        url = self._url + request.path_qs
        try:
            async with self._session.request(request.method, url, data=await request.read(), headers=headers) as answer:
                body = await answer.read()
                return web.Response(body=body, status=answer.status, content_type=answer.content_type)
        except aiohttp.ClientConnectionError:
            return web.json_response({"status": "Error", "message": "longshore is away"}, status=502)

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        assert self._session is not None
        if self._cut:
            return web.Response(status=503, text="the sockets are cut")
        browser = web.WebSocketResponse()
        async with self._session.ws_connect(self._url + request.path_qs) as longshore:
            await browser.prepare(request)
            self._sockets.add(browser)
            try:
                there, back = (
                    asyncio.create_task(_pass(browser, longshore)),
                    asyncio.create_task(_pass(longshore, browser)),
                )
                await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
                for each in (there, back):
                    each.cancel()
                await asyncio.wait((there, back))
                await browser.close(code=longshore.close_code or aiohttp.WSCloseCode.OK)
            finally:
                self._sockets.discard(browser)
        return browser


Socket = web.WebSocketResponse | aiohttp.ClientWebSocketResponse


async def _pass(source: Socket, target: Socket) -> None:
    async for message in source:
        if message.type is aiohttp.WSMsgType.TEXT:
            await target.send_str(message.data)


if __name__ == "__main__":
    front = Front(os.environ.get("LONGSHORE_URL", "http://127.0.0.1:8484"), os.environ["LONGSHORE_API_KEY"])
    web.run_app(front.app(), host="127.0.0.1", port=int(os.environ.get("PORT", "8090")))
