"""How a page comes in, which cannot set headers on a WebSocket: with a ticket that is good once and for 30 seconds.

A program of a person's own may also send his key as a subprotocol. Neither is ever part of a URL.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable

from starlette.datastructures import Headers

from longshore.errors import TooManyRequests, Unauthenticated
from longshore.web.auth import HINT, credential_of

TICKET_SECONDS = 30.0
MOST = 40_000
MOST_EACH = 2_000  # of one credential, so that nobody's tickets push out those of others
SUBPROTOCOL, TICKET, BEARER = "longshore", "ticket.", "bearer."


class Tickets:
    """Those of one process that were not used yet."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._issued: OrderedDict[bytes, tuple[float, str]] = OrderedDict()
        self._of: Counter[str] = Counter()

    def issue(self, credential: str) -> str:
        """For whoever has shown this credential. Raises TooManyRequests."""
        self._forget(lambda until: until <= self._clock())
        if self._of[credential] >= MOST_EACH:
            hint = "a ticket is for one socket, and good for 30 seconds"
            raise TooManyRequests(f"you have {MOST_EACH} tickets that were not used", hint=hint, retry_after=30)
        ticket = secrets.token_urlsafe(24)
        self._issued[_digest(ticket)] = (self._clock() + TICKET_SECONDS, credential)
        self._of[credential] += 1
        self._forget(lambda _until: len(self._issued) > MOST)
        return ticket

    def redeem(self, ticket: str) -> str | None:
        """The credential that it was issued for; never twice."""
        until, credential = self._issued.pop(_digest(ticket), (0.0, None))
        if credential is None:
            return None
        self._discount(credential)
        return credential if self._clock() < until else None

    def _forget(self, is_due: Callable[[float], bool]) -> None:
        """The oldest, for as long as they are due; all are good for the same time."""
        while self._issued and is_due(next(iter(self._issued.values()))[0]):
            self._discount(self._issued.popitem(last=False)[1][1])

    def _discount(self, credential: str) -> None:
        self._of[credential] -= 1
        if not self._of[credential]:
            del self._of[credential]


def shown_by(headers: Headers, subprotocols: Iterable[str], tickets: Tickets) -> str:
    """The credential of whoever opens a socket. Raises Unauthenticated."""
    if credential := credential_of(headers):
        return credential
    for offered in subprotocols:
        if offered.startswith(BEARER) and offered != BEARER:
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
