"""What one reader has not been sent yet: of each thing only the newest, so that a slow reader costs little; pure."""

from __future__ import annotations

from collections import OrderedDict

from msgspec import Struct

MOST = 2_000


class Change(Struct):
    """A message to many, made and encoded once. `seq` is 0 for what belongs to one reader alone."""

    seq: int
    key: str
    text: bytes  # JSON
    frame: bytes = b""  # the same as a WebSocket's text frame


class Outbox:
    """Changes that wait, oldest first."""

    def __init__(self, bound: int = MOST) -> None:
        self._bound = bound
        self._waiting: OrderedDict[str, Change] = OrderedDict()

    def put(self, change: Change) -> bool:
        """What waits about the same thing is out of date and goes; False when too much waits now."""
        self._waiting[change.key] = change
        self._waiting.move_to_end(change.key)
        return len(self._waiting) <= self._bound

    def first(self) -> Change | None:
        return next(iter(self._waiting.values()), None)

    def pop(self) -> Change | None:
        return self._waiting.popitem(last=False)[1] if self._waiting else None

    def clear(self) -> None:
        self._waiting.clear()

    def __len__(self) -> int:
        return len(self._waiting)
