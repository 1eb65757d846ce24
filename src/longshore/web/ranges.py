"""One range of bytes asked for, so that a download goes on where it broke (RFC 9110, 14); knows no kind."""

from __future__ import annotations

import re

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def byte_range(headers: Headers, size: int, etag: str) -> tuple[int, int] | None:
    """Start and end (exclusive) of what is asked for; None for all of it, and where the file is another than the client
    has (If-Range). Several ranges are answered with all, as the RFC allows. 416 for one that lies outside."""
    match = _RANGE.fullmatch(headers.get("range", "").replace(" ", ""))
    if match is None or match[1] == match[2] == "" or headers.get("if-range", etag) != etag:
        return None
    if match[1] == "":
        start, end = max(0, size - int(match[2])), size
    else:
        start, end = int(match[1]), min(size, int(match[2]) + 1 if match[2] else size)
    if match[1] and match[2] and int(match[2]) < int(match[1]):
        return None  # malformed, so as if it were not there
    if start >= end:
        raise HTTPException(416, f"the file has {size} bytes", {"Content-Range": f"bytes */{size}"})
    return start, end
