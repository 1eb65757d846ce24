"""What a finished work item was, kept for good: `records/{tenant}/{id}.json`, written once.

The archiver writes here before it lets an object go; the API reads here when the object is gone.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

import msgspec

from longshore.archive.batch import Entry, brief
from longshore.archive.objects import Objects
from longshore.archive.paths import segment
from longshore.errors import AlreadyExists, Conflict, NotFound


class Recorded(msgspec.Struct, frozen=True):
    """What every record says at its top, whatever its kind: enough to list it."""

    uid: str
    created: datetime
    id: str = ""
    kind: str = ""
    name: str = ""
    finished: datetime | None = None
    status: str = ""
    reason: str = ""
    tags: dict[str, str] = {}
    started: datetime | None = None
    message: str | None = None

    def entry(self, tenant: str) -> Entry:
        """Its line in the lists; `tenant` is the folder that the record is in."""
        return Entry(
            self.uid,
            self.id,
            self.kind,
            tenant,
            self.name,
            self.created,
            self.finished,
            self.status,
            self.reason,
            self.tags,
            self.started,
            brief(self.message),
        )


class Records:
    """Immutable records by tenant and id. What is in them is the kinds' business."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    async def put(self, tenant: str, id: str, record: bytes) -> None:
        """Write once and read back; the same again is fine, Conflict when another content is (or comes) there."""
        if await self.put_first(tenant, id, record) != record:
            raise Conflict(
                f"another record of {id} is archived already",
                hint="the archived one stays; compare both before removing either",
            )

    async def put_first(self, tenant: str, id: str, record: bytes) -> bytes:
        """Write unless there is one already; what is there now, read back from the store."""
        path = record_path(tenant, id)
        with suppress(AlreadyExists):
            await self._objects.put(path, record, if_absent=True)
        return await self._objects.get(path)

    async def get(self, tenant: str, id: str) -> bytes | None:
        """The record, None when there is none."""
        try:
            return await self._objects.get(record_path(tenant, id))
        except NotFound:
            return None

    async def delete(self, tenant: str, id: str) -> None:
        """Remove; absent is fine."""
        await self._objects.delete(record_path(tenant, id))


def record_path(tenant: str, id: str) -> str:
    """Where the record is; the index looks here too, to say no without a search."""
    return f"records/{segment(tenant)}/{segment(id)}.json"
