"""Where a page of `listing` ended, as text for a URL; pure. Also of a list whose archive was away for a part of it."""

from __future__ import annotations

import base64

import msgspec

from longshore.errors import UserMistake
from longshore.kinds.jobs.places import CREATED
from longshore.kube.store import Position

ARCHIVE = "archive"
START = ("", "")


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """A `Position`; of the order `archive` only what is archived is left to show.

    `missed`: what is archived after this place was not shown, and comes when the cluster's own is through; START is the
    very beginning.
    """

    order: str
    key: str
    uid: str
    missed: tuple[str, str] | None = None

    @property
    def position(self) -> Position | None:
        """Where to go on; None from the beginning."""
        order = CREATED if self.order == ARCHIVE else self.order
        return Position(order, self.key, self.uid) if self.key else None

    def encode(self) -> str:
        return base64.urlsafe_b64encode(msgspec.json.encode(self)).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> Cursor:
        """Raises UserMistake when this is not a cursor."""
        try:
            return msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=cls)
        except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
            hint = "pass the cursor of the page before, unchanged"
            raise UserMistake("this cursor is not one of ours", hint=hint, field="cursor") from None
