"""The one table from longshore's errors to HTTP, as RFC 9457 problem documents with a `hint`; knows no kind."""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Scope

from longshore import errors
from longshore.web.problem_types import type_of

log = structlog.get_logger(__name__)

# the first that matches decides, so subclasses come before what they inherit from
STATUS: tuple[tuple[type[errors.LongshoreError], int], ...] = (
    (errors.TooLarge, 413),
    (errors.BadUpload, 400),
    (errors.NotAcceptable, 406),
    (errors.UserMistake, 422),
    (errors.TooSlow, 408),
    (errors.Unauthenticated, 401),
    (errors.Forbidden, 403),
    (errors.NotFound, 404),
    (errors.Conflict, 409),
    (errors.Gone, 410),
    (errors.TooManyRequests, 429),
    (errors.Unavailable, 503),
)


class Refused(HTTPException):
    """An error that is raised while a body is read, where whatever is no HTTPException would become a 400."""

    def __init__(self, error: errors.LongshoreError, headers: dict[str, str] | None = None) -> None:
        super().__init__(status_of(error), error.message, headers)
        self.error = error


def status_of(error: errors.LongshoreError) -> int:
    return next((status for kind, status in STATUS if isinstance(error, kind)), 500)


def problem(request: Request, status: int, detail: str, **members: Any) -> Response:
    """A problem document; members that are None are left out, and a hint is never missing."""
    known = type_of(status)
    body = {
        "type": known.uri,
        "title": known.title,
        "status": status,
        "detail": detail,
        "instance": request.url.path,
        "hint": known.do,
        **{k: v for k, v in members.items() if v is not None},
    }
    return Response(msgspec.json.encode(body), status, media_type="application/problem+json")


def install(app: FastAPI) -> None:
    """Make every error of this app a problem document."""
    app.add_exception_handler(errors.LongshoreError, _longshore)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _unexpected)


async def _longshore(request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.LongshoreError)
    status = status_of(error)
    response = problem(request, status, error.message, hint=error.hint, field=getattr(error, "field", None))
    if isinstance(error, errors.TooManyRequests | errors.Unavailable):
        response.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    if status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    response = await _longshore(request, error.error)
    response.headers.update(error.headers or {})
    return response


async def _gone(_: Request, __: Exception) -> Response:
    """Nobody reads it: who goes in the midst of his body is no failure of ours."""
    return Response(status_code=HTTPStatus.BAD_REQUEST)


async def _validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    # the input is left out on purpose: it may hold what nobody else should read
    faults = [{"field": ".".join(str(p) for p in e["loc"][1:]), "detail": e["msg"]} for e in error.errors()]
    first = faults[0] if faults else {"field": "", "detail": "the request cannot be read"}
    detail = f"{first['field']}: {first['detail']}" if first["field"] else str(first["detail"])
    hint = "see /docs for what this route takes"
    return problem(request, 422, detail, hint=hint, field=first["field"] or None, errors=faults)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    hint, path = None, request.url.path
    if error.status_code == HTTPStatus.NOT_FOUND:
        hint = f"leave out the slash at its end: {path.rstrip('/')}" if path.endswith("/") else None
        hint = hint or "see /docs for the routes there are"
    response = problem(request, error.status_code, _detail(error, request), hint=hint)
    for name, value in (error.headers or {}).items():
        response.headers[name] = value
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        response.headers["Allow"] = ", ".join(methods_of(request.scope))
    return response


def _detail(error: HTTPException, request: Request) -> str:
    """Starlette's own words are the status's phrase, which says nothing of this request."""
    if error.status_code == HTTPStatus.NOT_FOUND:
        return f"there is nothing at {request.url.path[:200]}"
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return f"{request.method[:20]} is not a method of {request.url.path[:200]}"
    return str(error.detail)


def methods_of(scope: Scope) -> list[str]:
    """The methods of this path (RFC 9110, 10.2.1: all of them, whichever routes they belong to); none: no such path."""
    routes = scope["app"].router.routes
    bare = {"type": "http", "path": scope["path"], "root_path": scope.get("root_path", ""), "app": scope["app"]}
    found = [
        method
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
        if any(route.matches({**bare, "method": method})[0] is Match.FULL for route in routes)
    ]
    return [*found, *(["HEAD"] if "GET" in found else []), "OPTIONS"] if found else []


async def _unexpected(request: Request, error: Exception) -> Response:
    log.error("request failed", path=request.url.path, method=request.method, exc_info=error)
    return problem(request, 500, "longshore failed at this request", hint="its log says why; please report it")
