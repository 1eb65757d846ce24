"""How a page comes in, which cannot set headers on a WebSocket: with a ticket that is good for 30 seconds.

A ticket is the credential that it was given for, sealed with a key that all replicas derive alike: whichever is asked
can open it, and none keeps anything of those that it gives out. A program of a person's own may also send his key as a
subprotocol. Neither is ever part of a URL.
"""

from __future__ import annotations

import base64
import binascii
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from starlette.datastructures import Headers

from longshore.errors import Unauthenticated
from longshore.web.auth import HINT, credential_of

TICKET_SECONDS = 30.0
SKEW_SECONDS = 10.0  # by so much the clocks of two replicas may differ
MOST_USED = 40_000  # of which it is remembered that they were used
PURPOSE = "stream tickets"
SUBPROTOCOL, TICKET, BEARER = "longshore", "ticket.", "bearer."
_NONCE, _UNTIL = 12, 8


class Tickets:
    """`shared` is the key of all replicas, None while it is not known: then a ticket is good at this one only.

    Each replica takes a ticket once.
    """

    def __init__(
        self, shared: Callable[[], bytes | None] = lambda: None, clock: Callable[[], float] = time.time
    ) -> None:
        self._shared = shared
        self._own = AESGCM.generate_key(256)
        self._clock = clock
        self._used: OrderedDict[bytes, float] = OrderedDict()

    def issue(self, credential: str) -> str:
        """For whoever has shown this credential."""
        nonce, until = os.urandom(_NONCE), self._clock() + TICKET_SECONDS
        inside = int(until * 1000).to_bytes(_UNTIL) + credential.encode()
        sealed = AESGCM(self._shared() or self._own).encrypt(nonce, inside, PURPOSE.encode())
        return base64.urlsafe_b64encode(nonce + sealed).decode().rstrip("=")

    def redeem(self, ticket: str) -> str | None:
        """The credential that it was issued for; never twice."""
        opened = self._open(ticket)
        if opened is None:
            return None
        nonce, until, credential = opened
        now = self._clock()
        if not now < until <= now + TICKET_SECONDS + SKEW_SECONDS or nonce in self._used:
            return None
        self._used[nonce] = until
        while len(self._used) > MOST_USED or next(iter(self._used.values())) <= now - SKEW_SECONDS:
            self._used.popitem(last=False)
        return credential

    def _open(self, ticket: str) -> tuple[bytes, float, str] | None:
        try:
            raw = base64.b64decode(f"{ticket}{'=' * (-len(ticket) % 4)}", b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        nonce, sealed = raw[:_NONCE], raw[_NONCE:]
        for key in (self._shared(), self._own):
            try:
                inside = AESGCM(key).decrypt(nonce, sealed, PURPOSE.encode()) if key else None
            except (InvalidTag, ValueError):  # ValueError: it is too short to be one
                continue
            if inside is not None:
                return nonce, int.from_bytes(inside[:_UNTIL]) / 1000, inside[_UNTIL:].decode()
        return None


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
                raise Unauthenticated("this ticket is used, too old, or none of ours", hint=hint)
            return credential
    raise Unauthenticated("no credential was sent", hint=HINT)
