"""How a log gets to its reader: as plain text, for as long as he takes it and his key is good; `answer` sends by it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

import structlog
from starlette.responses import StreamingResponse
from starlette.types import Message, Send

log = structlog.get_logger(__name__)

StillKnown = Callable[[], Awaitable[bool]]
# a reader that takes nothing for so long is cut off; it may come again with its offset
READER_SECONDS = 60.0


class _RevokedError(Exception):
    """The reader's key is good no more."""


class Text(StreamingResponse):
    """Plain text for a reader that may be slow, and whose key may be revoked: who takes nothing for a minute is cut
    off, and so is who is not known any more."""

    def __init__(
        self, body: AsyncGenerator[bytes, None], headers: dict[str, str], still_known: StillKnown | None = None
    ) -> None:
        # nosniff: what a job prints must never become a page of ours
        kept = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", **headers}
        super().__init__(body, media_type="text/plain; charset=utf-8", headers=kept)
        self._body = body
        self._still_known = still_known

    async def stream_response(self, send: Send) -> None:
        async def patiently(message: Message) -> None:
            if self._still_known is not None and not await self._still_known():
                raise _RevokedError
            async with asyncio.timeout(READER_SECONDS):
                await send(message)

        async with aclosing(self._body):
            try:
                await super().stream_response(patiently)
            except _RevokedError:
                log.info("a log was followed with a key that is good no more, and was cut off")
            except TimeoutError:
                log.info("a reader of a log took nothing for too long and was cut off", seconds=READER_SECONDS)
