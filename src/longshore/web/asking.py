"""What a request may ask of a route of /v1: parameters that it knows, and an answer in a form that it has.

`api` puts this before every route of ours, once it is known who asks. The routes of the systems that longshore replaces
stay as lenient as those were. Knows no kind.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Final

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from msgspec import Struct
from starlette.requests import Request

from longshore.errors import NotAcceptable, UserMistake
from longshore.web.auth import Who
from longshore.web.openapi import ANY, Operations, media_of

# an administrator's client says for whom it acts wherever it calls, also where the path says so already
EVERYWHERE: Final = frozenset({"tenant"})
_LONGEST: Final = 50


class _Route(Struct, frozen=True):
    """What one route takes and gives; no media: its answers have no body, or any form."""

    parameters: frozenset[str]
    media: tuple[str, ...]


def checked(operations: Operations) -> Callable[[Request, Who], Awaitable[None]]:
    """A FastAPI dependency. Raises UserMistake for a parameter that the route does not know, NotAcceptable where
    `Accept` leaves out all that it answers with."""
    routes: dict[str, _Route] = {}

    async def check(request: Request, _: Who) -> None:
        scope = request.scope
        accept = request.headers.getlist("accept")
        if not scope["query_string"] and not accept:
            return
        route: APIRoute = scope["route"]
        known = routes.get(route.unique_id)
        if known is None:
            known = routes[route.unique_id] = _described(route, operations)
        _refuse_unknown(request.query_params, known.parameters)
        if accept and known.media:
            _refuse_unacceptable(", ".join(accept), known.media)

    return check


def _described(route: APIRoute, operations: Operations) -> _Route:
    media: set[str] = set()
    for method in route.methods or ():
        operation = operations.get(f"{method} {route.path_format}")
        media |= media_of(operation) if operation else {ANY}
    return _Route(frozenset(_parameters(route.dependant)) | EVERYWHERE, () if ANY in media else tuple(sorted(media)))


def _parameters(dependant: Dependant) -> Iterator[str]:
    yield from (field.alias for field in dependant.query_params)
    for each in dependant.dependencies:
        yield from _parameters(each)


def _refuse_unknown(asked: Mapping[str, str], known: frozenset[str]) -> None:
    name = next((name for name in asked if name not in known), None)
    if name is None:
        return
    near = get_close_matches(name[:_LONGEST].lower(), known, 1)
    meant = f"did you mean {near[0]!r}? " if near else ""
    hint = f"{meant}this route takes: {', '.join(sorted(known))}"
    raise UserMistake(f"there is no parameter {name[:_LONGEST]!r} here", hint=hint, field=name[:_LONGEST])


def _refuse_unacceptable(accept: str, media: Iterable[str]) -> None:
    ranges = list(_ranges(accept))
    if ranges and not any(_quality(each, ranges) > 0 for each in media):
        has = " or ".join(media)
        raise NotAcceptable(
            f"this route answers {has}, which the request's Accept leaves out",
            hint=f"send Accept: {has}, or */*, or no Accept at all",
        )


def _ranges(accept: str) -> Iterator[tuple[str, float]]:
    """Media ranges and their q (RFC 9110, 12.5.1); what is no range is passed over."""
    for each in accept.lower().split(","):
        range_, *parameters = (part.strip() for part in each.split(";"))
        type_, slash, subtype = range_.partition("/")
        if not (type_ and slash and subtype):
            continue
        weights = [value for name, _, value in (part.partition("=") for part in parameters) if name.strip() == "q"]
        try:
            yield range_, float(weights[0]) if weights else 1.0
        except ValueError:
            yield range_, 1.0


def _quality(media: str, ranges: Iterable[tuple[str, float]]) -> float:
    """How welcome a type is: the range that names it most closely decides, of equals the best."""
    close = {media: 3, f"{media.partition('/')[0]}/*": 2, "*/*": 1}
    fitting = [(close[range_], quality) for range_, quality in ranges if range_ in close]
    return max(fitting)[1] if fitting else 0.0
