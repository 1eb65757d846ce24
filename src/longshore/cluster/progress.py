"""What a long step tells while it runs; the command line draws it, tests ignore it."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct


class Step(Struct, frozen=True, gc=False):
    """Something that takes a while: `what` it is, `detail` of this moment, `done` of `total` (0: not known)."""

    what: str
    detail: str = ""
    done: int = 0
    total: int = 0


Report = Callable[[Step], None]


def silent(_: Step) -> None:
    """The Report of whoever does not want to know."""
