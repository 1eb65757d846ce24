"""Ends what is told to end by a signal: `serve` and `control`, cleanly, however often they are told.

A second SIGTERM may come at any moment, and what the first began, such as giving up a lease, is not cut off by it; a
second Ctrl-C is from somebody who will not wait.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

_NUMBERS: Final = (signal.SIGTERM, signal.SIGINT)


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
        with _woken(loop):
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, _nothing if told and number == signal.SIGTERM else handler or signal.SIG_DFL)


async def until_told(work: Callable[[], Awaitable[None]]) -> None:
    """Run until done, or until SIGTERM or SIGINT cancels it, which is a clean end."""
    task, told = asyncio.ensure_future(work()), False

    def end(number: int) -> None:
        nonlocal told
        if not told or number == signal.SIGINT:
            told = True
            task.cancel()

    with told_by_signals(end), suppress(asyncio.CancelledError):
        await task


@contextmanager
def _woken(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Within, a signal that comes just as the loop goes to sleep wakes it."""
    reader, writer = socket.socketpair()
    with reader, writer:
        reader.setblocking(False)
        writer.setblocking(False)
        before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        loop.add_reader(reader, reader.recv, 4096)
        try:
            yield
        finally:
            loop.remove_reader(reader)
            signal.set_wakeup_fd(before)


def take_no_more() -> None:
    """All is done: the interpreter's own end puts handlers back to a default that would kill it, and spoil that."""
    for number in _NUMBERS:
        signal.signal(number, signal.SIG_IGN)


def _nothing(*_: object) -> None:
    """Not SIG_IGN, which processes that are started would inherit."""
