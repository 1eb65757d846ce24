"""What follows the API server's versions: at which one it is, when the server was last heard of, and waiting for more.

`kube.store` builds on it; whoever has written waits here to read his own write.
"""

import asyncio
import math
import time
from collections.abc import Callable
from contextlib import suppress

from msgspec import Struct

from longshore.errors import Unavailable, UserMistake

OWN_SECONDS = 10.0  # the API server, or a watch of it, may stand still for some


class Stats(Struct):
    """What happened to one cache since the process started; `kube.metrics` shows it."""

    streams: int = 0
    events: int = 0
    relists: int = 0
    gone: int = 0
    failures: int = 0
    undecodable: int = 0
    unindexed: int = 0
    waits: int = 0
    waited_seconds: float = 0.0
    late: int = 0


class Versioned:
    """`version` is the resourceVersion up to which everything is known; before `synced` nothing is.

    `trouble` says in one sentence why it may be behind, None when all is well. `what` names it in errors.
    """

    def __init__(self, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.version = 0
        self.synced = False
        self.trouble: str | None = "not synced yet"
        self.stats = Stats()
        self._what = what
        self._clock = clock
        self._heard: float | None = None
        self._waiters: dict[asyncio.Future[None], int] = {}

    @property
    def age(self) -> float:
        """Seconds since the API server was last heard of; infinite before the first time."""
        return math.inf if self._heard is None else self._clock() - self._heard

    async def wait_synced(self, deadline: float = 1.0) -> None:
        """Return when the first list is in; raises Unavailable after `deadline` seconds."""
        await self._wait(0, deadline)

    async def wait_for(self, version: int | str, deadline: float = 2.0) -> None:
        """Return when it is at least at this resourceVersion: read your own writes.

        Raises Unavailable when that takes more than `deadline` seconds.
        """
        try:
            wanted = int(version)
        except ValueError:
            raise UserMistake(f"{version!r} is not a resource version", hint="pass one that was returned") from None
        await self._wait(wanted, deadline)

    async def has_seen(self, version: int | str) -> None:
        """Return when what was written just now, at this resourceVersion, is known here too, so that its writer's next
        read finds it; after OWN_SECONDS at the latest, for it is written all the same.
        """
        with suppress(Unavailable):
            await self.wait_for(version, OWN_SECONDS)

    def _move(self, version: int) -> None:
        self.version = version
        if self._waiters:
            for future, wanted in self._waiters.items():
                if self._reached(wanted) and not future.done():
                    future.set_result(None)

    def _reached(self, version: int) -> bool:
        return self.synced and self.version >= version

    async def _wait(self, version: int, deadline: float) -> None:
        if self._reached(version):
            return
        began = self._clock()
        future = asyncio.get_running_loop().create_future()
        self._waiters[future] = version
        try:
            async with asyncio.timeout(deadline):
                await future
        except TimeoutError:
            if self._reached(version):
                return  # it came while this process was put aside, and the deadline with it
            self.stats.late += 1
            raise Unavailable(
                f"the cache of {self._what} has not caught up ({self.trouble or 'it is behind'})",
                hint="try again in a moment",
            ) from None
        finally:
            del self._waiters[future]
            self.stats.waits += 1
            self.stats.waited_seconds += self._clock() - began
