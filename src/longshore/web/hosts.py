"""Answers only to the names it is known by: an allow-list of Host and Origin, against DNS rebinding; knows no kind."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from longshore.web.problems import problem


class AllowedHosts:
    """ASGI middleware: 421 for another Host, 403 for another Origin, WebSockets too."""

    def __init__(self, app: ASGIApp, names: Iterable[str]) -> None:
        self._app = app
        self._names = frozenset(name.lower() for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if host_name(f"//{headers.get('host', '')}") not in self._names:
            await self._refuse(scope, receive, send, 421, "this host name is not served here")
        elif origin is not None and host_name(origin) not in self._names:
            await self._refuse(scope, receive, send, 403, "pages of another origin may not call this API")
        else:
            await self._app(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send, status: int, detail: str) -> None:
        if scope["type"] == "websocket":
            # closing before accepting is answered with 403 by the server
            await send({"type": "websocket.close", "code": 1008, "reason": detail})
            return
        hint = "add the name to LONGSHORE_ALLOWED_HOSTS if it is yours"
        await problem(Request(scope), status, detail, hint=hint)(scope, receive, send)


def host_name(url: str) -> str:
    """The host of a URL without its port, lower case, IPv6 in brackets; "" where there is none."""
    try:
        name = urlsplit(url).hostname or ""
    except ValueError:
        return ""
    return f"[{name}]" if ":" in name else name.lower()
