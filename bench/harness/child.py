"""The other side of `bench.harness.processes`: one function in a process of its own, which ends with its parent.

    python -m bench.harness.child call  bench.fanout:ours '[1000]'     prints what it returns, as JSON
    python -m bench.harness.child serve bench.harness.apiserver:serve '[10000]'     prints what it yields, and stays

What the function itself prints goes to stderr.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import logging
import os
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import IO, Any

import msgspec
import structlog


def main() -> None:
    how, name, arguments = sys.argv[1:]
    said = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure([plain], wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    function = named(name)
    given = msgspec.json.decode(arguments)
    if how == "serve":
        asyncio.run(_serve(function(*given), said))
        return
    _when_the_parent_lets_go(lambda: os._exit(1))
    result = function(*given)
    if inspect.isawaitable(result):
        result = asyncio.run(_awaited(result))
    said.write(msgspec.json.encode(result))
    os._exit(0)  # whatever threads it left behind


def named(name: str) -> Callable[..., Any]:
    """The function that `module:function` names."""
    module, _, attribute = name.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    return function


async def _awaited(result: Any) -> Any:
    return await result


async def _serve(serving: AbstractAsyncContextManager[Any], said: IO[bytes]) -> None:
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    _when_the_parent_lets_go(lambda: loop.call_soon_threadsafe(over.set))
    async with serving as told:
        said.write(msgspec.json.encode(told) + b"\n")
        await over.wait()


def _when_the_parent_lets_go(end: Callable[[], object]) -> None:
    """The parent holds the other end of stdin and says nothing: it closes it, or has died."""

    def listen() -> None:
        os.read(0, 1)
        end()

    threading.Thread(target=listen, daemon=True).start()


if __name__ == "__main__":
    main()
