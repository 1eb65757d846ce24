"""The words of the stream: what a WebSocket may say, what it is told, and the codes that it is closed with.

docs/stream.md is the same for people; a test holds one to the other.
"""

from __future__ import annotations

import random
from enum import IntEnum
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta, Raw, Struct
from websockets.frames import Frame, Opcode

from longshore.errors import LongshoreError

MOST_BYTES = 64 * 1024  # of one message of a client
SPREAD_SECONDS = 10.0
Name = Annotated[str, Meta(min_length=1, max_length=64)]
_encoder = msgspec.json.Encoder()


class Code(IntEnum):
    """With which a socket is closed; 4000 and above are an application's own (RFC 6455, 7.4.2)."""

    BAD_MESSAGE = 4400
    UNAUTHENTICATED = 4401
    FORBIDDEN = 4403
    TOO_SLOW = 4408
    TOO_MANY = 4429
    GOING_AWAY = 4503


class Subscribe(Struct, tag_field="type", tag="subscribe", forbid_unknown_fields=True):
    """Follow what `to` says. `id` is the client's own name for it, `after` the position to go on from."""

    id: Name
    to: Raw = Raw(b"{}")
    after: Annotated[str, Meta(max_length=128)] | None = None


class Unsubscribe(Struct, tag_field="type", tag="unsubscribe", forbid_unknown_fields=True):
    id: Name


class Ping(Struct, tag_field="type", tag="ping", forbid_unknown_fields=True):
    id: Name | None = None


Said = Subscribe | Unsubscribe | Ping
_decoder: msgspec.json.Decoder[Said] = msgspec.json.Decoder(Said)


def read(text: str | bytes) -> Said:
    """Raises msgspec.MsgspecError, or RecursionError, when it is none of these."""
    return _decoder.decode(text)


def message(kind: str, **members: Any) -> bytes:
    """A message to a client; members that are None are left out."""
    return _encoder.encode({"type": kind, **{name: value for name, value in members.items() if value is not None}})


def failure(id: str | None, status: int, error: LongshoreError) -> bytes:
    """What a client asked for cannot be; its socket stays."""
    return message("error", id=id, status=status, detail=error.message, hint=error.hint)


def frame_of(text: bytes) -> bytes:
    """As a WebSocket's text frame from a server: the same bytes for all."""
    return Frame(Opcode.TEXT, text).serialize(mask=False)


class Position(NamedTuple):
    """Where a client is. Within one epoch of one replica numbers only grow; `known` is what any replica must have seen
    before it answers this client, in the words of whoever publishes; "" for nothing.
    """

    epoch: str
    seq: int
    known: str = ""


def position(epoch: str, seq: int, known: str = "") -> str:
    return f"{epoch}-{seq}-{known}" if known else f"{epoch}-{seq}"


def parse_position(text: str | None) -> Position | None:
    """None when this is not a position."""
    epoch, _, rest = (text or "").partition("-")
    number, _, known = rest.partition("-")
    fine = epoch and number.isascii() and number.isdigit() and len(number) < 20
    return Position(epoch, int(number), known) if fine else None


def going_away() -> str:
    """The reason for GOING_AWAY: each client is given another moment, so that they do not all come at once."""
    return f"connect again in {random.uniform(0.2, SPREAD_SECONDS):.1f} s: this replica ends"  # noqa: S311 - jitter
