"""From what the API server answers to the errors of `longshore.errors`; the client and the reflector raise these.

The API server describes a failure as a Status object; its `reason` is the machine-readable part.
Source: k8s.io/apimachinery meta/v1, `Status` and `StatusReason`.
"""

import msgspec
from msgspec import Struct

from longshore import errors

RETRY_AFTER_MAX = 300.0  # seconds; a server that asks for more is asked again anyway


class StatusCause(Struct, frozen=True, rename="camel"):
    reason: str = ""
    message: str = ""
    field: str = ""


class StatusDetails(Struct, frozen=True, rename="camel"):
    name: str = ""
    kind: str = ""
    causes: list[StatusCause] | None = None
    retry_after_seconds: float = 0


class Status(Struct, frozen=True, rename="camel"):
    """meta/v1 Status, as the body of a failed request and in ERROR events of a watch."""

    message: str = ""
    reason: str = ""
    code: int = 0
    details: StatusDetails | None = None


_status = msgspec.json.Decoder(Status)

_BY_REASON: dict[str, type[errors.LongshoreError]] = {
    "AlreadyExists": errors.AlreadyExists,
    "BadRequest": errors.UserMistake,
    "Conflict": errors.Conflict,
    "Expired": errors.Gone,
    "Forbidden": errors.Forbidden,
    "Gone": errors.Gone,
    "Invalid": errors.UserMistake,
    "MethodNotAllowed": errors.UserMistake,
    "NotAcceptable": errors.UserMistake,
    "NotFound": errors.NotFound,
    "RequestEntityTooLarge": errors.TooLarge,
    "TooManyRequests": errors.TooManyRequests,
    "Unauthorized": errors.Unauthenticated,
    "UnsupportedMediaType": errors.UserMistake,
}
_BY_CODE: dict[int, type[errors.LongshoreError]] = {
    400: errors.UserMistake,
    401: errors.Unauthenticated,
    403: errors.Forbidden,
    404: errors.NotFound,
    405: errors.UserMistake,
    406: errors.UserMistake,
    409: errors.Conflict,
    410: errors.Gone,
    413: errors.TooLarge,
    415: errors.UserMistake,
    422: errors.UserMistake,
    429: errors.TooManyRequests,
}
_HINTS: dict[type[errors.LongshoreError], str] = {
    errors.Unauthenticated: "check the credential in the kubeconfig, or log in again",
    errors.Forbidden: "ask whoever runs the cluster for this permission, or for more quota",
    errors.Conflict: "read the object again and decide again",
    errors.AlreadyExists: "choose another name, or use what is there",
}


def read_status(code: int, body: bytes) -> Status:
    """The Status in a response or, with code 0, in an event; anything else (HTML of a proxy) is told by its code."""
    try:
        status = _status.decode(body)
    except msgspec.MsgspecError:
        status = Status()
    return Status(
        status.message or f"the API server answered {code}", status.reason, code or status.code, status.details
    )


def error_of(status: Status, what: str, retry_after: float | None = None) -> errors.LongshoreError:
    """The error for one failed request. `what` says which ("GET /api/v1/pods"); `retry_after` is the header's."""
    kind = _BY_REASON.get(status.reason) or _BY_CODE.get(status.code, errors.Unavailable)
    if _version_too_large(status):
        kind = errors.Gone  # a list without a version is the way out of this too
    message = f"{what}: {status.message}"
    wait = min(retry_after or (status.details and status.details.retry_after_seconds) or 0.0, RETRY_AFTER_MAX)
    if kind is errors.TooManyRequests:
        return errors.TooManyRequests(message, hint="slow down", retry_after=wait)
    if kind is errors.Unavailable:
        return errors.Unavailable(message, hint="try again in a moment", retry_after=wait)
    if issubclass(kind, errors.UserMistake):
        return kind(message, hint="correct the request", field=_field(status))
    return kind(message, hint=_HINTS.get(kind))


def away(message: str, hint: str | None = "try again in a moment") -> errors.Unavailable:
    """Something failed for now, and nobody said when to come back: the caller's own backoff decides."""
    return errors.Unavailable(message, hint=hint, retry_after=0.0)


def retry_after(header: str | None) -> float | None:
    """Seconds in a Retry-After header; the API server never sends the date form."""
    return float(header) if header and header.isascii() and header.isdigit() else None


def _field(status: Status) -> str | None:
    causes = (status.details and status.details.causes) or []
    return next((cause.field for cause in causes if cause.field), None)


def _version_too_large(status: Status) -> bool:
    """The asked version is in this server's future: its etcd was restored, or it lags behind another replica."""
    causes = (status.details and status.details.causes) or []
    return any(cause.reason == "ResourceVersionTooLarge" for cause in causes)
