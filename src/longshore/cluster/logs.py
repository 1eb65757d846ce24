"""Log files of the parts, which write them themselves and so outlive the supervisor; it only rotates them."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

LIMIT = 10 * 1024**2  # bytes; one older file of this size is kept as NAME.log.1
TAIL = 256 * 1024
FOLLOW_EVERY = 0.2  # seconds


def rotate(log: Path, limit: int = LIMIT) -> None:
    """Copy and truncate: the part goes on appending to the same file. What it writes in between is lost.

    Where the disk is full, room is worth more than what was said long ago.
    """
    if not log.exists() or log.stat().st_size <= limit:
        return
    older = log.with_name(f"{log.name}.1")
    try:
        shutil.copyfile(log, older)
    except OSError:
        older.unlink(missing_ok=True)
    with log.open("r+b") as file:
        file.truncate()


def note(log: Path, text: str) -> None:
    """A line of the supervisor's own between those of the part; lost, as theirs are, when the disk is full."""
    with suppress(OSError), log.open("a") as file:
        file.write(f"--- {datetime.now(UTC).isoformat(timespec='milliseconds')} longshore: {text}\n")


def tail(log: Path, lines: int) -> tuple[int, bytes]:
    """Where the log ends, and its last lines up to there."""
    with log.open("rb") as file:
        end, span = file.seek(0, 2), TAIL
        while True:
            start = max(0, end - span)
            file.seek(start)
            found = file.read(end - start).splitlines(keepends=True)
            if start == 0 or len(found) > lines:  # the first of them may be the rest of a line
                return end, b"".join(found[max(0, len(found) - lines) :])
            span *= 4


def follow(log: Path, start: int) -> Iterator[bytes]:
    """What is added after `start`, until the reader stops asking; a log cut off by rotation begins again."""
    with log.open("rb") as file:
        file.seek(start)
        while True:
            if chunk := file.read(TAIL):
                yield chunk
            elif log.stat().st_size < file.tell():
                file.seek(0)
            else:
                time.sleep(FOLLOW_EVERY)
