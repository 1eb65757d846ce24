"""HEAD and OPTIONS for every route, and bodies only of the type that a route reads; knows no kind."""

from __future__ import annotations

from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from longshore.web.bodies import has_body
from longshore.web.problems import methods_of, problem

_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


class Methods:
    """ASGI middleware: HEAD answers as GET does without its body, OPTIONS says what there is (RFC 9110, 9.3)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope.get("method")
        if method == "HEAD" and "HEAD" in methods_of(scope):
            await _without_body(self._app, scope, receive, send)
        elif method == "OPTIONS" and (methods := methods_of(scope)):
            await Response(status_code=204, headers={"Allow": ", ".join(methods)})(scope, receive, send)
        else:
            await self._app(scope, receive, send)


class _SaidEnoughError(Exception):
    """The headers are out: what would be the body is not made, however long it is."""


async def _without_body(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    async def headers_only(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send(message)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            raise _SaidEnoughError

    try:
        await app({**scope, "method": "GET"}, receive, headers_only)
    except* _SaidEnoughError:
        pass


class JsonBodies:
    """ASGI middleware: 415 for a body that is not JSON, on all routes but those that read theirs as a stream."""

    def __init__(self, app: ASGIApp, streamed: Callable[[str, str], bool]) -> None:
        self._app = app
        self._streamed = streamed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = scope.get("method", "")
        if scope["type"] == "http" and method in _WITH_BODY and not self._streamed(method, scope["path"]):
            headers = Headers(scope=scope)
            type_ = headers.get("content-type", "").partition(";")[0].strip().lower()
            if has_body(headers) and type_ != "application/json" and not type_.endswith("+json"):
                detail = f"the body is {type_[:100] or 'of no type'}, and this route reads JSON"
                hint = "send it with Content-Type: application/json"
                response = problem(Request(scope), 415, detail, hint=hint)
                response.headers["Accept"] = "application/json"
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)
