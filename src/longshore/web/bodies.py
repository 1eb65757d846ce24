"""No byte of a body is read before it is known who sends it, and none is waited for too long; knows no kind.

FastAPI reads a JSON body whole before it asks who sends it. So this stands between the routes and what they receive:
whoever reads a body asks first, and a route that reads none, as one that does not exist, asks nobody.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from longshore.errors import LongshoreError, TooSlow
from longshore.web.auth import Authentication
from longshore.web.problems import Refused

# seconds that a body may take whatever its size, and the bytes of it that buy another: what a client waits for that
# does not hang is shorter, and who sends less holds a connection for nothing
GRACE_SECONDS = 20.0
LEAST_RATE = 1024
SILENCE_SECONDS = 60.0  # between two pieces, however fast the others came


class Bodies:
    """ASGI middleware: 401 before a body is read, 408 where it does not come."""

    def __init__(self, app: ASGIApp, authentication: Authentication) -> None:
        self._app = app
        self._authentication = authentication

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and has_body(headers := Headers(scope=scope)):
            receive = self._guarded(headers, receive)
        await self._app(scope, receive, send)

    def _guarded(self, headers: Headers, receive: Receive) -> Receive:
        patience = Patience()
        asked = False

        async def guarded() -> Message:
            nonlocal asked
            if not asked:
                await self._ask(headers)
                asked = True
            return await patience.wait_for(receive)

        return guarded

    async def _ask(self, headers: Headers) -> None:
        try:
            await self._authentication.caller(headers)
        except LongshoreError as error:
            raise Refused(error) from None  # FastAPI makes a 400 of whatever else is raised while it reads a body


class Patience:
    """How long one body is still waited for. What its reader takes for itself does not count."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._waited = 0.0
        self._bytes = 0
        self._over = False

    @property
    def left(self) -> float:
        """Seconds for which the next piece is waited for."""
        return min(SILENCE_SECONDS, GRACE_SECONDS + self._bytes / LEAST_RATE - self._waited)

    async def wait_for(self, receive: Receive) -> Message:
        """The next piece. Raises Refused (408) when it takes too long."""
        if self._over:  # what comes after a body is that its sender is gone, whenever that is
            return await receive()
        begun = self._clock()
        try:
            async with asyncio.timeout(max(0.0, self.left)):
                message = await receive()
        except TimeoutError:
            raise Refused(_too_slow(self._bytes), headers={"Connection": "close"}) from None
        self._waited += self._clock() - begun
        self._bytes += len(message.get("body", b""))
        self._over = not message.get("more_body", False)
        return message


def _too_slow(seen: int) -> TooSlow:
    return TooSlow(
        f"the body does not come: of it {seen} bytes are here",
        hint=f"send {LEAST_RATE} bytes a second or more, and never nothing for {SILENCE_SECONDS:.0f} s; large files "
        "are better sent in parts",
    )


def has_body(headers: Headers) -> bool:
    """Whether a request says that it has one (RFC 9112, 6.3)."""
    return "transfer-encoding" in headers or headers.get("content-length", "0").strip() not in ("", "0")
