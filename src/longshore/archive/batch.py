"""The files of the index: their names and their rows; pure. `batches` reads and writes them.

`index/{tenant}/{sort}-{last}-{first}-{count}-{unique}.jsonl`, one JSON object a line, UTC times as
`20251120T211200123456Z`. No file is ever changed and no name used twice.

| sort | rows | first, last |
|---|---|---|
| e0 | entries as they were added | oldest and newest `created` |
| e1 | entries that compaction sorted and cut: ranges of e1 files hardly overlap | the same |
| h0 | {uid, hidden}: marks of entries not to be shown any more | `hidden` |
| h1 | such marks, already applied to the e1 files; kept a while in case an entry is added again late | `hidden` |
| d0 | {path}: files that compaction replaced, to be deleted when their time has come | that time, twice |

Names alone tell which files can hold rows of a page. Files of another shape are left alone. `unique` begins with a part
of the sha256 of what is in the file (of those with an 8 for its thirteenth character; RFC 9562, version 8), and `count`
is checked too.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from uuid import uuid4

import msgspec

_STAMP = "%Y%m%dT%H%M%S%fZ"
_NAME = re.compile(r"(e0|e1|h0|h1|d0)-(\d{8}T\d{12}Z)-(\d{8}T\d{12}Z)-(\d+)-([0-9a-f]{32})\.jsonl")
_UNIQUE = slice(-len(".jsonl") - 32, -len(".jsonl"))
_SUMMED, _SUM = 12, "8"
_MESSAGE_CHARACTERS = 160


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One line of history. `created` belongs to `uid` for good; (created, uid) is its place in every list.

    Lines of earlier versions have neither `started` nor `message`, which is `brief`: the record has all of it."""

    uid: str
    id: str
    kind: str
    tenant: str
    name: str
    created: datetime
    finished: datetime | None
    status: str
    reason: str
    tags: dict[str, str] = {}
    started: datetime | None = None
    message: str | None = None

    @property
    def position(self) -> tuple[datetime, str]:
        return self.created, self.uid


class Mark(msgspec.Struct, frozen=True, gc=False):
    """The entry `uid` is not to be shown any more, since `hidden`."""

    uid: str
    hidden: datetime


class Replaced(msgspec.Struct, frozen=True, gc=False):
    """A file whose rows are in newer files."""

    path: str


class Batch(msgspec.Struct, frozen=True, gc=False):
    """One file of the index, as its name tells."""

    tenant: str
    sort: str
    first: datetime
    last: datetime
    count: int
    path: str


def brief(message: str | None) -> str | None:
    """What of a message goes into a line: enough for a row of a table, and never so much that lists grow with it."""
    if message is None or len(message) <= _MESSAGE_CHARACTERS:
        return message
    return message[: _MESSAGE_CHARACTERS - 4] + " ..."


def unique_name(data: bytes) -> str:
    """A name that no other file has, and that tells what is in this one."""
    return hashlib.sha256(data).hexdigest()[:_SUMMED] + _SUM + uuid4().hex[_SUMMED + 1 :]


def is_whole(batch: Batch, data: bytes) -> bool:
    """Whether this is what its name says; of files that were written before names told it, as long as it says."""
    unique = batch.path[_UNIQUE]
    if unique[_SUMMED] == _SUM and hashlib.sha256(data).hexdigest()[:_SUMMED] != unique[:_SUMMED]:
        return False
    return data.count(b"\n") == batch.count


def stamp(time: datetime) -> str:
    if time.tzinfo is None:
        raise ValueError("a time in the index needs its zone")
    return time.astimezone(UTC).strftime(_STAMP)


def parsed(tenant: str, prefix: str, path: str) -> Batch | None:
    match = _NAME.fullmatch(path, len(prefix))
    if match is None:
        return None
    sort, last, first, count, _ = match.groups()
    return Batch(tenant, sort, _time(first), _time(last), int(count), path)


def _time(stamp: str) -> datetime:
    # strptime is twenty times slower, and a listing parses thousands.
    return datetime.fromisoformat(f"{stamp[:15]}.{stamp[15:21]}+00:00")
