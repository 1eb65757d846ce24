"""What an error is to a controller: whether it goes on, and the one word by which metrics show it."""

from __future__ import annotations

import asyncio

from longshore.errors import Conflict, Retry, Terminal, TooManyRequests, Unavailable
from longshore.runtime.executor import Overdue
from longshore.runtime.term import TermOver

_RESULTS: tuple[tuple[type[BaseException], str], ...] = (
    (Retry, "retry"),
    (Terminal, "terminal"),
    (Conflict, "conflict"),
    (Unavailable, "unavailable"),
    (TooManyRequests, "unavailable"),
    (Overdue, "overdue"),
    (TermOver, "refused"),
    (asyncio.CancelledError, "cancelled"),
)


def result_of(error: BaseException) -> str:
    """What metrics call it."""
    return next((result for kind, result in _RESULTS if isinstance(error, kind)), "error")


def must_end(error: BaseException) -> bool:
    """Whether it is more than one key's trouble: our own cancellation, the end of the term or of the process.

    A CancelledError that nobody sent us is none of these: what a handler waited for was cancelled by somebody else. It
    would end a worker without a trace.
    """
    if isinstance(error, asyncio.CancelledError):
        return is_cancelled()
    if isinstance(error, BaseExceptionGroup):
        return error.subgroup((TermOver, KeyboardInterrupt, SystemExit)) is not None
    return isinstance(error, TermOver) or not isinstance(error, Exception)


def is_cancelled() -> bool:
    """Whether this task was told to end; a handler may have kept that to itself."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
