"""Every type of problem that the API answers with: its stable URI, and what to do about it; knows no kind.

`problems` answers with them, `openapi` documents them, docs/problems.md is generated from them. A type's slug is part
of the API: it is never changed and never used again for something else.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from msgspec import Struct

BASE: Final = "https://longshore.dev/problems/"


class ProblemType(Struct, frozen=True):
    """One status that says no, the slug its URI ends with, when it comes, and what the caller may do."""

    status: int
    slug: str
    title: str
    when: str
    do: str

    @property
    def uri(self) -> str:
        return BASE + self.slug


TYPES: Final = (
    ProblemType(
        400,
        "bad-request",
        "Bad request",
        "The request cannot be read at all, or an upload is not what the route takes.",
        "Compare it with the example of the route at /docs; `detail` says where it broke off.",
    ),
    ProblemType(
        401,
        "unauthenticated",
        "Not authenticated",
        "No credential came with the request, or one that is unknown, expired or revoked.",
        "Send an API key as `X-API-Key`, or as `Authorization: Bearer`; an administrator makes new ones.",
    ),
    ProblemType(
        403,
        "forbidden",
        "Forbidden",
        "The credential is known, but does not open this; or the page that calls is of another origin.",
        "Use a credential that may: `detail` says whose route this is.",
    ),
    ProblemType(
        404,
        "not-found",
        "Not found",
        "There is no such thing here, or it belongs to another tenant: the answer is the same.",
        "List what there is; look at /docs for the routes.",
    ),
    ProblemType(
        405,
        "method-not-allowed",
        "Method not allowed",
        "The path is right, the method is not.",
        "Use one of the methods in the `Allow` header.",
    ),
    ProblemType(
        406,
        "not-acceptable",
        "Not acceptable",
        "`Accept` leaves out every form that this route answers in.",
        "Name one that `detail` tells, or send no `Accept`.",
    ),
    ProblemType(
        408,
        "too-slow",
        "Too slow",
        "The body of the request takes too long to come.",
        "Send it again where the network is better; send large files as transfers, in parts.",
    ),
    ProblemType(
        409,
        "conflict",
        "Conflict",
        "It contradicts what is there already, such as an idempotency key that was used with another request.",
        "Read what is there, then decide; sending the same again does not help.",
    ),
    ProblemType(
        410,
        "gone",
        "Gone",
        "It was here and is no more, such as the page that a cursor led to.",
        "Begin again without the cursor.",
    ),
    ProblemType(
        413,
        "too-large",
        "Too large",
        "The body, the job that would be made of it, or an upload is larger than is taken here.",
        "Put large values into files and pass these as inputs.",
    ),
    ProblemType(
        415,
        "unsupported-media-type",
        "Unsupported media type",
        "The body is of a type that this route does not read.",
        "Send what the route's documentation names, mostly `Content-Type: application/json`.",
    ),
    ProblemType(
        416,
        "range-not-satisfiable",
        "Range not satisfiable",
        "The `Range` header asks for bytes that the file does not have.",
        "Ask within its size, which `Content-Range` says.",
    ),
    ProblemType(
        421,
        "misdirected",
        "Misdirected request",
        "The `Host` header names somebody else: this API answers only to the names it was given.",
        "Use the address that the operator gave out, or have him add the name to LONGSHORE_ALLOWED_HOSTS.",
    ),
    ProblemType(
        422,
        "invalid",
        "Invalid",
        "The request can be read, but a field of it cannot be meant or is not known; `field` and `errors` say which.",
        "Mend it and send it again.",
    ),
    ProblemType(
        429,
        "too-many-requests",
        "Too many requests",
        "A limit of the tenant is reached, or longshore takes in no more for now.",
        "Wait for as many seconds as `Retry-After` says, then send the same again, with the same idempotency key.",
    ),
    ProblemType(
        500,
        "internal",
        "Failed",
        "longshore itself failed at this request.",
        "Its log says why; please report it.",
    ),
    ProblemType(
        501,
        "not-implemented",
        "Not implemented",
        "The method is known to nobody here.",
        "Use one of the methods that /docs lists.",
    ),
    ProblemType(
        503,
        "unavailable",
        "Unavailable",
        "Something that is needed is away, or not ready yet; nothing was changed.",
        "Wait for as many seconds as `Retry-After` says, then send the same again, with the same idempotency key.",
    ),
)
BY_STATUS: Final = {each.status: each for each in TYPES}


def type_of(status: int) -> ProblemType:
    """The type for this status; one that is not in the table is only its status (RFC 9457, 4.2.1: about:blank)."""
    known = BY_STATUS.get(status)
    if known is not None:
        return known
    try:
        title = HTTPStatus(status).phrase
    except ValueError:
        title = "Refused"
    return ProblemType(status, title.lower().replace(" ", "-"), title, "", "see /docs for what this route takes")
