"""What a list of jobs is narrowed to; `jobs.list` and `jobs.each` take these by keyword."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypedDict


class JobFilters(TypedDict, total=False):
    """Each narrows; what is left out or None narrows nothing.

    kind: job, simulation, ... status: in capitals or not. name: what it begins with. called: what the id begins with,
    or the whole name. tags: each must be there.
    created_after, created_before: accepted not before, or before, this time. archived: False for only what is still in
    the cluster. sort: "-created" is the default, newest first; "created" is oldest first.
    """

    kind: str | None
    status: str | None
    name: str | None
    called: str | None
    tags: Mapping[str, str] | None
    created_after: datetime | str | None
    created_before: datetime | str | None
    archived: bool | None
    sort: str | None


def query(filters: JobFilters) -> dict[str, object]:
    """As parameters of the URL."""
    said: dict[str, object] = dict(filters)
    tags = filters.get("tags")
    said.pop("tags", None)
    if tags:
        said["tag"] = [f"{name}={value}" for name, value in tags.items()]
    return {name: _text(value) for name, value in said.items()}


def _text(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone().isoformat()
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
