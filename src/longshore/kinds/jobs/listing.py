"""One list over what is live and what is archived, of every kind, in one order; `routes` and streams cut pages from it.

The hot objects are read first: what leaves them meanwhile is in the archive's index already.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from math import ceil, floor
from typing import Any

import msgspec

from longshore.archive.batch import Batch
from longshore.archive.index import Entry, Wanted
from longshore.errors import Unavailable, UserMistake
from longshore.kinds.jobs import model
from longshore.kinds.jobs.cursor import ARCHIVE, START, Cursor
from longshore.kinds.jobs.find import live_record, pods_of, tenant_id
from longshore.kinds.jobs.places import CREATED, listed
from longshore.kinds.jobs.record import JobRecord
from longshore.kinds.jobs.state import settled, state_of
from longshore.kinds.jobs.view import summary_of
from longshore.kinds.kind import Services
from longshore.kube.objects import Job
from longshore.kube.store import Listing, Position, created, sortable


@dataclass(frozen=True)
class Filter:
    """What a list is narrowed to; None narrows nothing. `name` is a prefix of the job's name; `called` one of
    its id, or the whole name; times are inclusive
    after and exclusive before; every one of `tags` must be there; `archived`: only what is in the archive and no
    more in the cluster, or only what is in the cluster."""

    tenant: str | None = None
    kind: str | None = None
    status: str | None = None
    name: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    created_after: datetime | None = None
    created_before: datetime | None = None
    archived: bool | None = None
    called: str | None = None


SORTS = ("-created", "created", "-name", "name")


@dataclass(frozen=True)
class Away:
    """The archive does not answer, so that what it alone has is not in the list."""

    since: datetime
    hint: str
    available: bool = False


@dataclass(frozen=True)
class Damaged:
    """Files of the archive's list that cannot be read, so that up to so many entries are missing about here."""

    files: int
    entries: int
    hint: str = "'longshore archive verify --repair' lists these jobs again; each still answers at its own URL"


@dataclass(frozen=True)
class Page:
    """Some jobs in order, and the cursor of the next ones; `archive` only where that was asked in vain, `damaged` where
    it could not tell all."""

    items: list[Any]
    cursor: str | None
    archive: Away | None = None
    damaged: Damaged | None = None

    def remarks(self) -> dict[str, Any]:
        """What a reader must know of what is missing here; mostly nothing."""
        said = {"archive": self.archive, "damaged": self.damaged}
        return {name: remark for name, remark in said.items() if remark is not None}


async def page(parts: Services, wanted: Filter, *, limit: int, cursor: str | None, sort: str = "-created") -> Page:
    """One page in this order, by default of live and archived jobs together, newest first; and the next one's cursor.

    While the archive is away, the live ones come first, and their last page leads to the archived ones. Raises
    UserMistake for an order that the archive has not, unless only live ones are asked for; Unavailable where it is the
    archive's turn and that is away.
    """
    if sort not in SORTS:
        raise UserMistake(f"there is no order {sort[:50]!r}", hint=f"use one of: {', '.join(SORTS)}", field="sort")
    at = Cursor.decode(cursor) if cursor else None
    descending = sort.startswith("-")
    if wanted.archived is False:
        return _hot_page(parts, wanted, limit, at.position if at else None, sort)
    if sort.removeprefix("-") != CREATED:
        raise UserMistake(
            f"what is archived is listed by its creation only, not by {sort}",
            hint="add archived=false to sort what is still in the cluster, or use created or -created",
            field="sort",
        )
    if at is not None and at.missed is not None:
        return _apart(parts, wanted, limit, at, descending)
    try:
        return await _page(parts, wanted, limit, at, descending)
    except Unavailable:
        only_there = wanted.archived or (at is not None and at.order == ARCHIVE)
        if only_there or parts.presence.away_since is None:  # or it is there, and this alone takes too long
            raise
        began = (at.key, at.uid) if at else START
        return _apart(parts, wanted, limit, Cursor(CREATED, *began, missed=began), descending)


def _hot_page(parts: Services, wanted: Filter, limit: int, after: Position | None, sort: str) -> Page:
    """What is in the cluster, in any order that its store keeps."""
    live = _Live(parts, wanted)
    found = live.page(limit, after, order=sort.removeprefix("-"), descending=sort.startswith("-"))
    return Page([live.record(job) for job in found.items], found.next.encode() if found.next else None)


def _apart(parts: Services, wanted: Filter, limit: int, at: Cursor, descending: bool) -> Page:
    """What is in the cluster, of a list whose archive was away when it came to `missed`; then that is gone on with."""
    live = _Live(parts, wanted)
    found = live.page(limit, _bounded(wanted, at.position, descending), descending=descending)
    missed = at.missed or START
    following = Cursor(ARCHIVE, *missed)
    if found.next is not None:
        following = Cursor(CREATED, found.next.key, found.next.uid, missed)
    since = parts.presence.away_since
    return Page(
        [live.record(job) for job in found.items],
        following.encode(),
        Away(since, parts.presence.hint) if since else None,
    )


async def _page(parts: Services, wanted: Filter, limit: int, at: Cursor | None, descending: bool) -> Page:
    after = _bounded(wanted, at.position if at else None, descending)
    live = _Live(parts, wanted)
    cold_only = bool(wanted.archived) or (at is not None and at.order == ARCHIVE)
    hot = Listing([], None, 0) if cold_only else live.page(limit, after, descending=descending)
    search = Wanted(
        limit + 1,
        (after.time, after.uid) if after else None,
        descending=descending,
        since=wanted.created_after,
        until=wanted.created_before,
        keep=_cold_filter(parts, wanted, {job.metadata.uid for job in hot.items}),
        words=_words(wanted),
    )
    cold = await parts.presence.ask(lambda: parts.archive.index.scan(wanted.tenant, search))
    rows: list[tuple[tuple[str, str], Any]]
    rows = [((created(job), job.metadata.uid), live.record(job)) for job in hot.items]
    rows += [((sortable(e.created), e.uid), summary_of(e, tenant_id(parts, e.tenant))) for e in cold.entries]
    rows.sort(key=lambda row: row[0], reverse=descending)
    damaged = _damaged(cold.damaged)
    order = ARCHIVE if cold_only and not wanted.archived else CREATED
    if cold.reached is not None:  # what comes after that is not known yet, so nothing of it is shown yet
        edge = sortable(cold.reached[0]), cold.reached[1]
        rows = [row for row in rows if (row[0] >= edge if descending else row[0] <= edge)]
        if len(rows) < limit or (len(rows) == limit and hot.next is None):
            return Page([row for _, row in rows], Cursor(order, *edge).encode(), damaged=damaged)
    more = len(rows) > limit or hot.next is not None
    rows = rows[:limit]
    return Page([row for _, row in rows], Cursor(order, *rows[-1][0]).encode() if more else None, damaged=damaged)


def _damaged(files: Sequence[Batch]) -> Damaged | None:
    """Marks of what is hidden list nothing, but without them something may be listed too many."""
    return Damaged(len(files), sum(file.count for file in files if file.sort.startswith("e"))) if files else None


def _words(wanted: Filter) -> list[bytes]:
    """What is in the JSON of every index entry that this filter takes: files without it need not be taken apart."""
    said = {"kind": wanted.kind, "status": wanted.status}
    words = [b'"%s":%s' % (field.encode(), msgspec.json.encode(value)) for field, value in said.items() if value]
    if wanted.name:
        words.append(b'"name":' + msgspec.json.encode(wanted.name)[:-1])
    if wanted.called:  # id or name: both are texts that begin so
        words.append(b":" + msgspec.json.encode(wanted.called)[:-1])
    return words + [msgspec.json.encode(dict([tag]))[1:-1] for tag in wanted.tags]


def _bounded(wanted: Filter, after: Position | None, descending: bool) -> Position | None:
    """Where to begin: after the cursor, and after what is too new, or too old where the oldest come first. Positions
    know whole seconds, as `created` does."""
    if descending:
        if wanted.created_before is None:
            return after
        bound = Position(CREATED, f"{ceil(wanted.created_before.timestamp()):011}", "")
        return bound if after is None else min(after, bound, key=lambda each: (each.key, each.uid))
    if wanted.created_after is None:
        return after
    bound = Position(CREATED, f"{floor(wanted.created_after.timestamp()):011}", "")
    return bound if after is None else max(after, bound, key=lambda each: (each.key, each.uid))


class _Live:
    """The jobs of a list that are still in the cluster."""

    def __init__(self, parts: Services, wanted: Filter) -> None:
        self._parts = parts
        self._wanted = wanted

    def page(
        self, limit: int, after: Position | None, order: str = CREATED, *, descending: bool = True
    ) -> Listing[Job]:
        return self._parts.stores.jobs.page(
            order, self._wanted.tenant, limit=limit, after=after, descending=descending, where=self._is_wanted
        )

    def record(self, job: Job) -> JobRecord:
        return live_record(self._parts, job)

    def _is_wanted(self, job: Job) -> bool:
        """What costs least is asked first: a rare status is looked for among all jobs of the list."""
        wanted = self._wanted
        made = job.metadata.creation_timestamp or model.EPOCH
        return (
            (wanted.kind is None or model.kind_of(job) == wanted.kind)
            and (wanted.created_after is None or made >= wanted.created_after)
            and (wanted.created_before is None or made < wanted.created_before)
            and (wanted.status is None or self._status(job) == wanted.status)
            and self._is_named(job)
            and self._is_somebodys(job)
        )

    def _is_named(self, job: Job) -> bool:
        wanted = self._wanted
        if wanted.name is None and not wanted.tags and wanted.called is None:
            return True
        request = model.request_of(job)
        return (
            (wanted.name is None or request.name.startswith(wanted.name))
            and _tagged(wanted, request.tags)
            and _called(wanted, job.metadata.name if model.tenant_of(job) else "", request.name)
        )

    def _is_somebodys(self, job: Job) -> bool:
        """Of the list of all tenants: neither deleted, nor of a namespace that only looks like a tenant's."""
        tenant = listed(job)
        return tenant is not None and (bool(model.tenant_of(job)) or self._parts.stores.tenants.get(tenant) is not None)

    def _status(self, job: Job) -> str:
        return (settled(job) or state_of(job, pods_of(self._parts, job)).status).value


def _tagged(wanted: Filter, tags: Mapping[str, str]) -> bool:
    return all(tags.get(key) == value for key, value in wanted.tags)


def _called(wanted: Filter, id: str, name: str) -> bool:
    return wanted.called is None or id.startswith(wanted.called) or name == wanted.called


def _cold_filter(parts: Services, wanted: Filter, shown: Set[str]) -> Callable[[Entry], bool]:
    """What is still in the cluster is shown from there; `shown` holds the uids of what was when the page began.

    What left the cluster since then and is not among these comes after them, or was not wanted as it was.
    """

    def keep(entry: Entry) -> bool:
        return (
            (wanted.kind is None or entry.kind == wanted.kind)
            and (wanted.status is None or entry.status == wanted.status)
            and (wanted.name is None or entry.name.startswith(wanted.name))
            and (wanted.created_after is None or entry.created >= wanted.created_after)
            and (wanted.created_before is None or entry.created < wanted.created_before)
            and _tagged(wanted, entry.tags)
            and _called(wanted, entry.id, entry.name)
            and entry.uid not in shown
            and not any(job.metadata.uid == entry.uid for job in parts.stores.jobs.by("id", entry.id))
        )

    return keep
