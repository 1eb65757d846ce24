"""uvicorn, as `serve` runs it: it says farewell to those who follow a stream, and lets what is around it end too.

Whoever is told to end by a signal may be told again at any moment: what it does to end cleanly is not cut off by that.
"""

from __future__ import annotations

import asyncio
import resource
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

import uvicorn

_NUMBERS: Final = (signal.SIGTERM, signal.SIGINT)


class Server(uvicorn.Server):
    """Ends at SIGTERM and SIGINT; uvicorn itself would raise the signal again.

    `farewell` is called once, when the server has been told to end and still serves.
    """

    def __init__(self, config: uvicorn.Config, farewell: Callable[[], None]) -> None:
        super().__init__(config)
        self._farewell = farewell

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._farewell()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        with told_by_signals(lambda number: self.handle_exit(number, None)):
            yield


@contextmanager
def told_by_signals(end: Callable[[int], None]) -> Iterator[None]:
    """Within, SIGTERM and SIGINT call `end` in the event loop. Who was told takes no notice of a SIGTERM that comes
    after it; Ctrl-C is what it was before, for people who will not wait."""
    loop, told = asyncio.get_running_loop(), False

    def hear(number: int, _: object) -> None:
        nonlocal told
        told = True
        loop.call_soon_threadsafe(end, number)

    before = {number: signal.signal(number, hear) for number in _NUMBERS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, _nothing if told and number == signal.SIGTERM else handler or signal.SIG_DFL)


async def until_told(work: Callable[[], Awaitable[None]]) -> None:
    """Run until done, or until SIGTERM or SIGINT cancels it, which is a clean end."""
    task = asyncio.ensure_future(work())

    def end(number: int) -> None:
        if not task.cancelling() or number == signal.SIGINT:
            task.cancel()

    with told_by_signals(end), suppress(asyncio.CancelledError):
        await task


def take_no_more() -> None:
    """All is done: the interpreter's own end puts handlers back to a default that would kill it, and spoil that."""
    for number in _NUMBERS:
        signal.signal(number, signal.SIG_IGN)


def _nothing(*_: object) -> None:
    """Not SIG_IGN, which processes that are started would inherit."""


def allow_many_connections() -> None:
    """Each is a file, and processes often begin with a limit of 1,024: ours is raised to the most we may have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
