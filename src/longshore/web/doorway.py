"""uvicorn's HTTP, with bounds on what a stranger can do before anybody asks who he is; `serve` listens by it.

uvicorn waits for ever for the head of a first request, and keeps as much of it as is sent. When it has answered before
the body was there, it takes the rest of that for as long as it comes, and an answer that nobody reads it keeps. Bodies
that are read are `web.bodies`'.
"""

from __future__ import annotations

import asyncio
import resource
import sys
from collections import OrderedDict
from functools import cache
from typing import ClassVar, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from longshore.web.auth import is_known

HEAD_SECONDS = 20.0  # from the first byte of a request, or from the connection, to the end of its head
MOST_HEAD = 64 << 10  # bytes, and what one read brings beyond
LINGER_SECONDS = 5.0  # from an answer to the end of a body that nobody reads; closed sooner, the answer may be lost
MOST_LINGER = 256  # connections that do so at a time; beyond, the oldest is cut off
# for the next request of who is known. His side gives an idle connection up first: one that both end at once may lose a
# request that must not be sent twice. Clients wait 15 to 60 s, a stranger's is given up after uvicorn's 5
KNOWN_IDLE_SECONDS = 75
READ_SECONDS = 30.0  # in which a stranger reads so many bytes of a large answer, or is cut off
LEAST_READ = 30 << 10
_REFUSAL = b"HTTP/1.1 %s\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


@cache
def most_unknown() -> int:
    """Connections that may wait for a head: half of all, so that no stranger who says nothing takes the others' too."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if files == resource.RLIM_INFINITY else files // 2


class Waiting(OrderedDict["Doorway", None]):
    """Connections in the order in which they began to wait; what is too much goes at the old end."""

    def enter(self, one: Doorway, most: int) -> Doorway | None:
        """Who has to go for this one."""
        self[one] = None
        return next(iter(self)) if len(self) > most else None


class Doorway(HttpToolsProtocol):
    """One connection."""

    unknown: ClassVar = Waiting()  # whose head has not ended
    lingering: ClassVar = Waiting()  # whose body nobody reads
    _head = 0  # bytes of a head that has not ended, or that came since the last of a body: trailers are kept as well
    _moved = False  # whether the bytes at hand have brought some of a body
    _waits: asyncio.TimerHandle | None = None
    _lingers: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast("asyncio.Transport", transport))
        self._begin()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()
        self._end_linger()
        self._end_unread()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        before, rest, self._moved = self._waits, self._lingers, False
        super().data_received(data)
        if self._forgotten:
            self._begin() if rest is None else self._be_idle()
        if self._moved or self._waits is not before:
            return  # a head has ended, or began in the midst of these bytes; or a body goes on
        self._head += len(data)
        if self._head > MOST_HEAD:
            self._refuse(b"431 Request Header Fields Too Large")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._begin()

    def on_headers_complete(self) -> None:
        self._end()
        self._head = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._moved, self._head = True, 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._end_linger()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        # where another request has come already, the body of this one was there
        unread = not self.pipeline and self.cycle.more_body
        known = is_known(self.cycle.scope)
        self.timeout_keep_alive = KNOWN_IDLE_SECONDS if known else self.config.timeout_keep_alive
        super().on_response_complete()
        if unread and not self.transport.is_closing():
            self._linger()

    @property
    def _forgotten(self) -> bool:
        """uvicorn gives up an idle connection no more once anything came: an empty line before the next request, or
        the rest of a body that nobody reads."""
        watched = self._waits or self._lingers or self.timeout_keep_alive_task
        idle = self.cycle is not None and self.cycle.response_complete
        return idle and not watched and self in self.connections and not self.transport.is_closing()

    def _be_idle(self) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        self._end_unread()
        super().resume_writing()

    def _watch_reader(self) -> None:
        """While writing is paused nothing is added, also when the connection is to be closed after that."""
        self._unread = self.loop.call_later(READ_SECONDS, self._check_reader, self.transport.get_write_buffer_size())

    def _check_reader(self, before: int) -> None:
        known = self.cycle is not None and is_known(self.cycle.scope)  # he may read a log in a pager
        if not known and before - self.transport.get_write_buffer_size() < LEAST_READ:
            self.transport.abort()
        else:
            self._watch_reader()

    def _end_unread(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _begin(self) -> None:
        if self._waits is None:
            self._head = 0
            self._waits = self.loop.call_later(HEAD_SECONDS, self._refuse, b"408 Request Timeout")
            if oldest := self.unknown.enter(self, most_unknown()):
                oldest._refuse(b"408 Request Timeout")

    def _end(self) -> None:
        if self._waits is not None:
            self._waits.cancel()
            self._waits = None
            self.unknown.pop(self, None)

    def _linger(self) -> None:
        self._lingers = self.loop.call_later(LINGER_SECONDS, self.transport.abort)
        if oldest := self.lingering.enter(self, MOST_LINGER):
            oldest._end_linger()
            oldest.transport.abort()

    def _end_linger(self) -> None:
        if self._lingers is not None:
            self._lingers.cancel()
            self._lingers = None
            self.lingering.pop(self, None)

    def _refuse(self, status: bytes) -> None:
        self._end()
        if not self.transport.is_closing():
            # never into an answer that is on its way; browsers connect before they have something to ask
            if self.cycle.response_complete if self.cycle is not None else self._head > 0:
                self.transport.write(_REFUSAL % status)
            self.transport.close()
