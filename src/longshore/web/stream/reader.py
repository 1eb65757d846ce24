"""One connection's side of the hub: what it is sent at once, what waits for it, and when it is let go as too slow.

A reader that keeps up has nothing waiting and no timer. `socket` and `events` each have one per connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from longshore.web.stream.outbox import Change, Outbox

SLOW_SECONDS = 20.0  # without taking anything


class Reader:
    """`offer` sends a change, or says that it cannot now; `let_go` is called once when too much waits, or too long."""

    __slots__ = ("_caught_up", "_ended", "_held", "_let_go", "_offer", "_outbox", "_patience", "_seen", "_timer")

    def __init__(
        self, offer: Callable[[Change], bool], let_go: Callable[[], None], *, patience: float | None = None
    ) -> None:
        self._offer = offer
        self._let_go = let_go
        self._patience = SLOW_SECONDS if patience is None else patience
        self._seen = 0
        self._held = 0
        self._ended = False
        self._outbox: Outbox | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._caught_up: asyncio.Future[None] | None = None

    def take(self, change: Change) -> None:
        """Send it now or when the reader has caught up; once, whoever hands it in."""
        if self._ended:
            return
        if change.seq:
            if change.seq <= self._seen:
                return
            self._seen = change.seq
        if self._held or self._outbox or not self._offer(change):
            self._keep(change)

    def drained(self) -> None:
        """The reader may be offered more."""
        if self._held or self._outbox is None:
            return
        moved = False
        while (change := self._outbox.first()) is not None and self._offer(change):
            self._outbox.pop()
            moved = True
        if not self._outbox:
            self._rest()
        elif moved or self._timer is None:
            self._wait_for_it()

    @contextmanager
    def hold(self) -> Iterator[None]:
        """What comes meanwhile waits: something that goes before it is being made."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
            self.drained()

    async def caught_up(self) -> None:
        """Return when nothing waits. Ends too when the reader is let go."""
        if self._outbox:
            if self._caught_up is None:
                self._caught_up = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._caught_up)

    def end(self) -> None:
        """Nothing more is sent."""
        self._ended = True
        self._rest()

    def _keep(self, change: Change) -> None:
        if self._outbox is None:
            self._outbox = Outbox()
        if not self._outbox.put(change):
            self._give_up()
        elif self._timer is None and not self._held:
            self._wait_for_it()

    def _wait_for_it(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(self._patience, self._give_up)

    def _give_up(self) -> None:
        self.end()
        self._let_go()

    def _rest(self) -> None:
        self._outbox = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._caught_up is not None and not self._caught_up.done():
            self._caught_up.set_result(None)
        self._caught_up = None
