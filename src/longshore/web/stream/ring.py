"""Remembers which things changed last, so that whoever comes back learns exactly what was missed; pure.

Of each thing only the newest change counts, so memory is bounded by things and not by time. What a change looks like is
not kept: it is read again from where the thing is now.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from msgspec import Struct


class Mark(Struct, frozen=True):
    """Something changed: `key` names it for life, `scope` is whose it is, `topics` are where listeners look for it.

    `facts` belong to whoever publishes: what its listeners choose by, and what its view is made from.
    """

    seq: int
    key: str
    scope: str
    topics: tuple[str, ...]
    facts: Any


class Ring:
    """The newest mark of each of the last `bound` things, in order of their numbers."""

    def __init__(self, bound: int = 20_000, *, floor: int = 0) -> None:
        self.floor = floor  # of what came after this number everything is here
        self._bound = bound
        self._marks: OrderedDict[str, Mark] = OrderedDict()

    def add(self, mark: Mark) -> None:
        self._marks[mark.key] = mark
        self._marks.move_to_end(mark.key)
        if len(self._marks) > self._bound:
            self.floor = self._marks.popitem(last=False)[1].seq

    def since(self, seq: int) -> list[Mark] | None:
        """What changed after this number, oldest first; None when that is not known any more."""
        if seq < self.floor:
            return None
        missed: list[Mark] = []
        for mark in reversed(self._marks.values()):
            if mark.seq <= seq:
                break
            missed.append(mark)
        return missed[::-1]

    def __len__(self) -> int:
        return len(self._marks)
