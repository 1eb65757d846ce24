"""What somebody wants to follow: one job, all that a filter matches, or the rows of a list that he has before his eyes.

`live` resolves it, after asking whether he may; the hub then asks of each change whether it concerns him.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from longshore.errors import UserMistake
from longshore.kinds.jobs import model
from longshore.kinds.jobs.find import Found, find, find_foreign, full_record, require_tenant
from longshore.kinds.jobs.listing import Filter, page
from longshore.kinds.jobs.record import JobRecord
from longshore.kinds.jobs.stream.news import Subject, caught_up, topic_of
from longshore.kinds.kind import Services
from longshore.kinds.tenants.model import object_name
from longshore.kube.store import sortable
from longshore.web.auth import Caller
from longshore.web.stream.follow import Concern, Interest
from longshore.web.stream.ring import Mark

HINT = "see docs/stream.md for what can be followed"
Text = Annotated[str, Meta(max_length=300)]


class Select(Struct, frozen=True, forbid_unknown_fields=True):
    """What a client asks to follow: a `job` by its id, or what the rest narrows down, as in GET /v1/jobs.

    `window`: only the rows that the snapshot shows, and a hint when the list itself has become another.
    """

    job: Text | None = None
    tenant: Text | None = None
    kind: Text | None = None
    status: model.Status | None = None
    name: Text | None = None
    tags: Annotated[dict[Text, Text], Meta(max_length=20)] = {}
    limit: Annotated[int, Meta(ge=0, le=500)] = 50
    cursor: Annotated[str, Meta(max_length=1000)] | None = None
    window: bool = False


async def resolve(parts: Services, who: Caller, text: bytes, known: str = "") -> Interest:
    """Raises NotFound for what is not there or another's, UserMistake for what cannot be followed, Unavailable while
    this replica does not see all that was told to him (`known`) by another.
    """
    try:
        wanted = msgspec.json.decode(text, type=Select)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise UserMistake(f"this cannot be followed: {error}", hint=HINT, field="to") from None
    return await interest(parts, who, wanted, known)


async def interest(parts: Services, who: Caller, wanted: Select, known: str = "") -> Interest:
    """See `resolve`."""
    for store in (parts.stores.jobs, parts.stores.pods, parts.stores.tenants):
        await store.wait_synced()
    anew = not await caught_up(parts, known)
    if wanted.job is not None:
        if wanted != Select(job=wanted.job):
            raise UserMistake("a job is followed by its id alone", hint="leave the filters out", field="to")
        found = await _found(parts, who, wanted.job)
        return OneJob(parts, who, wanted.job, found.tenant, anew=anew)
    if wanted.status is not None and not wanted.window:
        hint = "follow the rows of a list with window=true, or leave the status out"
        raise UserMistake("a status changes, so that jobs cannot be followed by it", hint=hint, field="status")
    asked = object_name(wanted.tenant) if wanted.tenant else None
    scope = None if who.admin and asked is None else who.tenant_for(asked)
    if wanted.tenant and who.admin:
        await require_tenant(parts, wanted.tenant)
    return Jobs(parts, wanted, scope, anew=anew)


async def _found(parts: Services, who: Caller, id: str) -> Found:
    """Also of a Job that others made, by the id that lists show of it."""
    tenant, slash, rest = id.partition("/")
    return find_foreign(parts, who, tenant, rest.partition("/")[2]) if slash else await find(parts, who, id)


def _told(anew: bool) -> Mapping[str, Any]:
    """What a snapshot says of the history that it is of."""
    return {"anew": True} if anew else {}


class OneJob:
    """A job, for as long as there is one of that id. `anew`: what the caller has seen is of another history."""

    def __init__(self, parts: Services, who: Caller, id: str, tenant: str, *, anew: bool = False) -> None:
        self.resumable = not anew
        self._told = _told(anew)
        self.topic = topic_of(id=id)
        self.scope: str | None = tenant
        self._parts = parts
        self._who = who
        self._id = id

    def concern(self, _mark: Mark) -> Concern:
        return Concern.NEWS

    async def snapshot(self) -> Mapping[str, Any]:
        found = await _found(self._parts, self._who, self._id)
        return {"jobs": [await full_record(self._parts, found, patient=False)], **self._told}


class Jobs:
    """All that a filter matches, or with `window` the rows of one page of it."""

    def __init__(self, parts: Services, wanted: Select, tenant: str | None, *, anew: bool = False) -> None:
        self.topic = topic_of(tenant=tenant, kind=wanted.kind)
        self.scope = tenant
        self.resumable = not wanted.window and not anew
        self._told = _told(anew)
        self._parts = parts
        self._wanted = wanted
        self._rows: frozenset[str] | None = None  # the window's uids, once it is known
        self._newest = ""
        self._full = False

    def concern(self, mark: Mark) -> Concern:
        subject: Subject = mark.facts
        wanted = self._wanted
        if wanted.kind not in (None, subject.kind) or not subject.name.startswith(wanted.name or ""):
            return Concern.NOTHING
        if any(subject.tags.get(key) != value for key, value in wanted.tags.items()):
            return Concern.NOTHING
        if not wanted.window or self._rows is None or subject.uid in self._rows:
            return Concern.NEWS
        return Concern.LIST if not subject.progress and self._moves(subject) else Concern.NOTHING

    def _moves(self, subject: Subject) -> bool:
        """Whether the page may be another now, because of a job that is not on it."""
        if self._wanted.status is not None:
            return True
        return self._wanted.cursor is None and (not self._full or subject.created >= self._newest)

    async def snapshot(self) -> Mapping[str, Any]:
        wanted = self._wanted
        if not wanted.limit:
            self._rows = frozenset()
            return {"jobs": [], **self._told}
        status = wanted.status.value if wanted.status else None
        narrowed = Filter(self.scope, wanted.kind, status, wanted.name, tuple(wanted.tags.items()))
        found = await page(self._parts, narrowed, limit=wanted.limit, cursor=wanted.cursor)
        rows = found.items
        if wanted.window:
            live = [row for row in rows if isinstance(row, JobRecord)]
            self._rows = frozenset(row.uid for row in live)
            self._newest = max((sortable(row.created) for row in live), default="")
            self._full = len(rows) == wanted.limit
        return {"jobs": rows, "cursor": found.cursor, **found.remarks(), **self._told}
