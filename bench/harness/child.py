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
from typing import Any

import msgspec
import structlog


def main() -> None:
    how, name, arguments = sys.argv[1:]
    said = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure([plain], wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    function = named(name)
    given = msgspec.json.decode(arguments)
    if how == "serve":
        asyncio.run(_serve(function(*given), said.write))
        return
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


async def _serve(serving: AbstractAsyncContextManager[Any], say: Callable[[bytes], Any]) -> None:
    async with serving as told:
        say(msgspec.json.encode(told) + b"\n")
        await asyncio.Event().wait()


def _end_with_the_parent() -> None:
    """The parent holds the other end of stdin, and says nothing."""
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    main()
