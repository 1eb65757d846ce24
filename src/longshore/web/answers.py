"""JSON answers from msgspec data, without FastAPI walking through them again; knows no kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import Response

_encoder = msgspec.json.Encoder()


def answer(content: Any, status: int = 200, *, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response; datetimes become RFC 3339, Structs become objects."""
    return Response(_encoder.encode(content), status, headers, media_type="application/json")
