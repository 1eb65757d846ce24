"""How replicas know each other's calls and messages: signed with a key derived from their secret, which never travels.

Used by `relay` for each call and by `bus_redis` for each message. A signature holds for what was said and for
`GOOD_SECONDS`; a call's holds once: whoever overhears it cannot call again. What is said is not hidden by it.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable

GOOD_SECONDS = 60.0  # clocks of replicas may differ by as much
MOST_SEEN = 100_000
_DIGEST = 32
_NONCE = 16
HEAD = 8 + _NONCE + _DIGEST


class Seal:
    """Signs and checks; remembers what it has let pass."""

    def __init__(self, key: bytes, clock: Callable[[], float] = time.time, most: int = MOST_SEEN) -> None:
        self._key, self._clock, self._most = key, clock, most
        self._seen: OrderedDict[bytes, int] = OrderedDict()  # by nonce: when it came, in ms

    def sign(self, said: bytes) -> bytes:
        """Time (ms, 8 bytes), nonce and HMAC-SHA-256 (RFC 2104), `HEAD` bytes together."""
        head = int(self._clock() * 1000).to_bytes(8) + secrets.token_bytes(_NONCE)
        return head + self._digest(head, said)

    def holds(self, signature: bytes, said: bytes, *, once: bool = True) -> bool:
        """Whether a replica has signed this just now; with `once`, and it was not shown before."""
        if len(signature) != HEAD:
            return False
        head, digest = signature[:-_DIGEST], signature[-_DIGEST:]
        if not hmac.compare_digest(digest, self._digest(head, said)):
            return False
        signed, nonce, now = int.from_bytes(head[:8]), head[8:], int(self._clock() * 1000)
        if abs(now - signed) > GOOD_SECONDS * 1000:
            return False
        return not once or self._remember(nonce, now)

    def _remember(self, nonce: bytes, now: int) -> bool:
        """False for one that is known, and when there are too many to remember: then none is let pass twice."""
        while self._seen and now - next(iter(self._seen.values())) > 2 * GOOD_SECONDS * 1000:
            self._seen.popitem(last=False)
        if nonce in self._seen or len(self._seen) >= self._most:
            return False
        self._seen[nonce] = now
        return True

    def _digest(self, head: bytes, said: bytes) -> bytes:
        return hmac.digest(self._key, head + said, "sha256")
