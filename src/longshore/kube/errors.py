"""From what the API server answers to the errors of `longshore.errors`; the client and the reflector raise these.

The API server describes a failure as a Status object; its `reason` is the machine-readable part.
Source: k8s.io/apimachinery meta/v1, `Status` and `StatusReason`.
"""

import re

import msgspec
from msgspec import Struct

from longshore import errors

RETRY_AFTER_MAX = 300.0  # seconds; a server that asks for more is asked again anyway
REMARK_MAX = 300  # bytes of an answer without a Status that are passed on


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


# How etcd, and the API server's own client of it, refuse an object; the API server passes it on as a 500.
_TOO_LARGE = ("etcdserver: request is too large", "trying to send message larger than max")
_NOT_IN_SCHEMA = "failed to create typed patch object"  # a typo in an apply: the API server answers 500
_BUDGET = "DisruptionBudget"  # policy/v1, DisruptionBudgetCause
_FIELD = re.compile(r": (?:errors:\s+)?\.([\w.\[\]]+): ")  # ...; Kind=Job): .spec.replica: field not declared in schema
_status = msgspec.json.Decoder(Status)

_BY_REASON: dict[str, type[errors.LongshoreError]] = {
    "AlreadyExists": errors.AlreadyExists,
    "BadRequest": errors.UserMistake,
    "Conflict": errors.Conflict,
    "Expired": errors.Gone,
    "Forbidden": errors.Forbidden,
    "Gone": errors.Gone,
    "InternalError": errors.Unavailable,
    "Invalid": errors.UserMistake,
    "MethodNotAllowed": errors.UserMistake,
    "NotAcceptable": errors.UserMistake,
    "NotFound": errors.NotFound,
    "RequestEntityTooLarge": errors.TooLarge,
    "ServerTimeout": errors.Unavailable,
    "ServiceUnavailable": errors.Unavailable,
    "StorageReadError": errors.Terminal,
    "Timeout": errors.Unavailable,
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
    errors.AlreadyExists: "choose another name, or use what is there",
    errors.Conflict: "read the object again and decide again",
    errors.EvictionRefused: "evict it later, when more pods of its kind are healthy",
    errors.Forbidden: "ask whoever runs the cluster for this permission",
    errors.Terminal: "ask whoever runs the cluster: its etcd holds what the API server cannot read",
    errors.TooLarge: "send less: an object may have about 1.5 MB, its annotations 256 KiB together",
    errors.TooManyRequests: "slow down",
    errors.Unauthenticated: "check the credential in the kubeconfig, or log in again",
    errors.Unavailable: "try again in a moment",
    errors.UserMistake: "correct the request",
}
# What plugins of the API server refuse has no reason of its own: only its words tell.
_HINTS_BY_WORDS = (
    ("exceeded quota", "wait until something else has ended, or ask whoever runs the cluster for more quota"),
    ("failed quota", "say how much of these the containers need"),
    ("failed calling webhook", "ask whoever runs the cluster: its admission webhook does not answer"),
    ("denied the request", "an admission webhook of this cluster forbids it: change what it names"),
    ("denied request", "an admission policy of this cluster forbids it: change what it names"),
    ("is being terminated", "the namespace is being deleted: use another, or wait until it is gone"),
    (" with a web page", "is a proxy or a login page in the way?"),
)


def read_status(code: int, body: bytes) -> Status:
    """The Status in a response or, with code 0, in an event; anything else is told by its code, and a short text (of a
    kubelet, or of priority and fairness) as well.
    """
    try:
        status = _status.decode(body)
    except msgspec.MsgspecError:
        status = Status()
    message = status.message or f"the API server answered {code}{_remark(body)}"
    return Status(message, status.reason, code or status.code, status.details)


def error_of(status: Status, what: str, retry_after: float | None = None) -> errors.LongshoreError:
    """The error for one failed request. `what` says which ("GET /api/v1/pods"); `retry_after` is the header's."""
    kind = _kind(status)
    budget = _cause(status, _BUDGET)  # names the budget, which the message does not
    message = " ".join((f"{what}: {status.message}", *([budget.message] if budget else [])))
    hint = _hint(status, kind)
    asked = retry_after or (status.details and status.details.retry_after_seconds) or 0.0
    wait = max(0.0, min(asked, RETRY_AFTER_MAX))
    if issubclass(kind, errors.TooManyRequests | errors.Unavailable):
        return kind(message, hint=hint, retry_after=wait)
    if issubclass(kind, errors.UserMistake):
        return kind(message, hint=hint, field=_field(status))
    return kind(message, hint=hint)


def away(message: str, hint: str | None = "try again in a moment") -> errors.Unavailable:
    """Something failed for now, and nobody said when to come back: the caller's own backoff decides."""
    return errors.Unavailable(message, hint=hint, retry_after=0.0)


def retry_after(header: str | None) -> float | None:
    """Seconds in a Retry-After header; the API server never sends the date form."""
    return float(header) if header and header.isascii() and header.isdigit() else None


def _remark(body: bytes) -> str:
    if body.lstrip()[:1] == b"<":
        return " with a web page"
    text = body[:REMARK_MAX].decode(errors="replace").strip()
    return f": {text}" if text[:1].isalpha() and text.isprintable() else ""


def _kind(status: Status) -> type[errors.LongshoreError]:
    kind = _BY_REASON.get(status.reason) or _BY_CODE.get(status.code, errors.Unavailable)
    if _cause(status, "ResourceVersionTooLarge"):
        # It is in this server's future: its etcd was restored, or it lags behind another replica. A list without a
        # version is the way out of this too.
        return errors.Gone
    if any(words in status.message for words in _TOO_LARGE):
        return errors.TooLarge
    if _NOT_IN_SCHEMA in status.message:
        return errors.UserMistake
    return errors.EvictionRefused if kind is errors.TooManyRequests and _cause(status, _BUDGET) else kind


def _hint(status: Status, kind: type[errors.LongshoreError]) -> str | None:
    by_words = (hint for words, hint in _HINTS_BY_WORDS if words in status.message)
    return next(by_words, None) or _HINTS.get(kind)


def _field(status: Status) -> str | None:
    told = next((cause.field for cause in _causes(status) if cause.field), None)
    unknown = _FIELD.search(status.message) if told is None and _NOT_IN_SCHEMA in status.message else None
    return unknown[1] if unknown else told


def _cause(status: Status, reason: str) -> StatusCause | None:
    return next((cause for cause in _causes(status) if cause.reason == reason), None)


def _causes(status: Status) -> list[StatusCause]:
    return (status.details and status.details.causes) or []
