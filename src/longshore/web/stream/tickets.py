"""How a page comes in, which cannot set headers on a WebSocket: with a ticket that is good once and for 30 seconds.

A program of a person's own may also send his key as a subprotocol. Neither is ever part of a URL.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

from starlette.datastructures import Headers

from longshore.errors import Unauthenticated
from longshore.web.auth import HINT, credential_of

TICKET_SECONDS = 30.0
MOST = 10_000
SUBPROTOCOL, TICKET, BEARER = "longshore", "ticket.", "bearer."


class Tickets:
    """Those of one process that were not used yet."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._issued: OrderedDict[bytes, tuple[float, str]] = OrderedDict()

    def issue(self, credential: str) -> str:
        """For whoever has shown this credential."""
        ticket = secrets.token_urlsafe(24)
        self._issued[_digest(ticket)] = (self._clock() + TICKET_SECONDS, credential)
        while len(self._issued) > MOST:
            self._issued.popitem(last=False)
        return ticket

    def redeem(self, ticket: str) -> str | None:
        """The credential that it was issued for; never twice."""
        until, credential = self._issued.pop(_digest(ticket), (0.0, None))
        return credential if credential is not None and self._clock() < until else None


def shown_by(headers: Headers, subprotocols: Iterable[str], tickets: Tickets) -> str:
    """The credential of whoever opens a socket. Raises Unauthenticated."""
    if credential := credential_of(headers):
        return credential
    for offered in subprotocols:
        if offered.startswith(BEARER):
            return offered.removeprefix(BEARER)
        if offered.startswith(TICKET):
            credential = tickets.redeem(offered.removeprefix(TICKET))
            if credential is None:
                hint = "get another by POST /v1/stream/ticket; one is good once and for 30 seconds"
                raise Unauthenticated("this ticket is used, too old, or not of this replica", hint=hint)
            return credential
    raise Unauthenticated("no credential was sent", hint=HINT)


def _digest(ticket: str) -> bytes:
    return hashlib.sha256(ticket.encode(errors="surrogatepass")).digest()
