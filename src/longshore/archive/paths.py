"""Names as parts of a path in the store: what may be one, and how it is spelled so that every store takes it."""

from __future__ import annotations

import re
import unicodedata

from longshore.errors import UserMistake

LONGEST_NAME = 512  # bytes as stored; S3 keys end at 1024 and hold a tenant, an id and a hash too
LONGEST_PART = 255  # bytes; what a file system takes, kept everywhere so that an archive can move
_SEGMENT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,238}[A-Za-z0-9])?")


def segment(name: str) -> str:
    """`name` when it is one plain part of a path: a tenant, an id or a stream."""
    if not _SEGMENT.fullmatch(name):
        raise UserMistake(f"{name[:80]!r} is not a name", hint="letters, digits, '-', '_' and '.', at most 240")
    return name


def safe_name(name: str) -> str:
    """`name` when it is a relative POSIX path that stays where it is put; UserMistake otherwise."""
    try:
        stored = stored_name(name).encode()
    except UnicodeEncodeError as error:
        raise _refused(name, "it is not valid Unicode") from error
    parts = name.split("/")
    if name.startswith("/"):
        raise _refused(name, "it is absolute")
    if "" in parts or "." in parts or ".." in parts:
        raise _refused(name, "it has an empty part, '.' or '..'")
    if "\\" in name or any(unicodedata.category(each) in {"Cc", "Zl", "Zp"} for each in name):
        raise _refused(name, "it has a backslash or a control character")
    if len(stored) > LONGEST_NAME or any(len(part) > LONGEST_PART for part in stored.split(b"/")):
        raise _refused(name, f"it is longer than {LONGEST_NAME} bytes, or a part of it than {LONGEST_PART}")
    return name


def stored_name(name: str) -> str:
    """How a safe name is spelled in the store: a local store keeps names that end in `#` and digits for itself."""
    return name.replace("%", "%25").replace("#", "%23")


def given_name(stored: str) -> str:
    """The name that `stored_name` spelled."""
    return stored.replace("%23", "#").replace("%25", "%")


def _refused(name: str, why: str) -> UserMistake:
    return UserMistake(
        f"{name[:80]!r} cannot be a file's name: {why}", hint="use a relative path such as results/trips.xml"
    )
