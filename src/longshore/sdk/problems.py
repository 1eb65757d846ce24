"""Turns an RFC 9457 problem document back into the error that the server raised; `sdk.transport` calls it."""

from collections.abc import Mapping
from typing import Final

import msgspec

from longshore import errors

_BY_STATUS: Final[Mapping[int, type[errors.LongshoreError]]] = {
    400: errors.BadUpload,
    401: errors.Unauthenticated,
    403: errors.Forbidden,
    404: errors.NotFound,
    406: errors.NotAcceptable,
    409: errors.Conflict,
    410: errors.Gone,
    413: errors.TooLarge,
    422: errors.UserMistake,
    429: errors.TooManyRequests,
    502: errors.Unavailable,
    503: errors.Unavailable,
    504: errors.Unavailable,
}
_LONGEST_BODY: Final = 300


class Problem(msgspec.Struct, frozen=True):
    """The members of a problem document that say something to a caller."""

    title: str | None = None
    detail: str | None = None
    hint: str | None = None
    field: str | None = None


def error_of(status: int, headers: Mapping[str, str], body: bytes) -> errors.LongshoreError:
    """The error that an answer of 400 and more stands for, with its hint and, where it applies, when to come back."""
    problem = _read(body)
    message = problem.detail or problem.title or f"the server answered {status} and did not say why"
    kind = _kind(status)
    if issubclass(kind, (errors.TooManyRequests, errors.Unavailable)):
        return kind(message, hint=problem.hint, retry_after=_seconds(headers.get("Retry-After")))
    if issubclass(kind, errors.UserMistake):
        return kind(message, hint=problem.hint, field=problem.field)
    return kind(message, hint=problem.hint)


def error_for(status: int, message: str, hint: str | None) -> errors.LongshoreError:
    """The error that a message of a stream stands for."""
    return _kind(status)(message, hint=hint)


def _kind(status: int) -> type[errors.LongshoreError]:
    return _BY_STATUS.get(status, errors.UserMistake if status < 500 else errors.LongshoreError)


def _read(body: bytes) -> Problem:
    """The document, or what can be made of an answer that is none, such as a proxy's page."""
    try:
        return msgspec.json.decode(body, type=Problem)
    except msgspec.MsgspecError:
        text = body.decode(errors="replace").strip()
        plain = text and not text.startswith("<") and len(text) <= _LONGEST_BODY
        return Problem(detail=text) if plain else Problem()


def _seconds(retry_after: str | None) -> float:
    """Retry-After in seconds (RFC 9110, 10.2.3); a date or nonsense is taken as one second."""
    try:
        return max(0.0, float(retry_after or 1.0))
    except ValueError:
        return 1.0
