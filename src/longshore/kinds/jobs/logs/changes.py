"""Waits until one job or one of its pods may have changed; `answer` then looks again at what is, whichever it was."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable

from longshore.kinds.kind import Stores
from longshore.kube.store import Overflowed


class Changes:
    """A context manager; `id` and `uid` are the job's."""

    def __init__(self, stores: Stores, id: str, uid: str) -> None:
        self._stores = stores
        self._id, self._uid = id, uid
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Changes:
        await self._subscribe()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _subscribe(self) -> None:
        await self._stack.aclose()
        self._jobs = await self._stack.enter_async_context(self._stores.jobs.subscribe(("id", self._id)))
        self._pods = await self._stack.enter_async_context(self._stores.pods.subscribe(("job", self._uid)))

    async def wait(self) -> None:
        """Return at the next change."""
        waiting = [asyncio.ensure_future(_told(self._jobs.next())), asyncio.ensure_future(_told(self._pods.next()))]
        try:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
        if any(task.result() for task in done):
            await self._subscribe()


async def _told(changes: Awaitable[object]) -> bool:
    """Whether the subscription overflowed and has to be taken anew."""
    try:
        await changes
    except Overflowed:
        return True
    return False
