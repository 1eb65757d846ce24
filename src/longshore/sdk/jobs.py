"""Submitting, listing, following and ending jobs of any kind; `sdk.client` hands it out."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, Unpack

from longshore.sdk.answers import Event, Events, Job, Page, Plan, Why
from longshore.sdk.fields import JobFields, document
from longshore.sdk.filters import JobFilters, query
from longshore.sdk.logs import OUTAGE as _OUTAGE
from longshore.sdk.logs import LogQuery, LogReader
from longshore.sdk.stream import Change, Wanted, watch
from longshore.sdk.transport import Transport, json_body, segment

_FIRST_POLL: Final = 0.1
_SLOWEST_POLL: Final = 1.0
_GROWTH: Final = 1.5
_ROWS_AT_ONCE: Final = 200


class Jobs:
    """`client.jobs`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def submit(
        self,
        image: str,
        command: Sequence[str] = (),
        *,
        idempotency_key: str | None = None,
        **fields: Unpack[JobFields],
    ) -> Job:
        """Submit a job; `JobFields` has every field.

        Sent again with the same `idempotency_key` it is the same job, so trying again is always safe; without one a key
        is made up, which holds for the retries of this call. Raises Conflict for a key that was used with another
        request, UserMistake for a field, TooManyRequests where a limit is reached for longer than `patience`.
        """
        return await self.submit_document(document(image, command, fields), idempotency_key=idempotency_key)

    async def submit_document(self, wanted: Mapping[str, object], *, idempotency_key: str | None = None) -> Job:
        """Submit a job as the API's own JSON has it, such as one read from a file."""
        body, headers = json_body(wanted)
        headers |= _key(idempotency_key or wanted.get("idempotency_key"))
        return await self._transport.call("POST", "/v1/jobs", Job, body=body, headers=headers)

    async def plan(self, image: str, command: Sequence[str] = (), **fields: Unpack[JobFields]) -> Plan:
        """What `submit` would do: whether it is accepted, what it would wait for, where it fits. Changes nothing."""
        return await self.plan_document(document(image, command, fields))

    async def plan_document(self, wanted: Mapping[str, object]) -> Plan:
        """`plan` of the API's own JSON."""
        body, headers = json_body(wanted)
        return await self._transport.call(
            "POST", "/v1/jobs", Plan, params={"dry_run": True}, body=body, headers=headers
        )

    async def get(self, job: str, *, min_resource_version: str | None = None) -> Job:
        """The record of one job; `min_resource_version`: at least as new as that (the server waits up to 2 s)."""
        return await self._transport.call("GET", _path(job), Job, params={"min_resource_version": min_resource_version})

    async def list(self, *, limit: int | None = None, cursor: str | None = None, **filters: Unpack[JobFilters]) -> Page:
        """One page of jobs, live and archived, newest first; `JobFilters` narrow it."""
        params = {**query(filters), "limit": limit, "cursor": cursor}
        return await self._transport.call("GET", "/v1/jobs", Page, params=params)

    async def each(self, *, limit: int = _ROWS_AT_ONCE, **filters: Unpack[JobFilters]) -> AsyncIterator[Job]:
        """Every job that the filters let through, page after page as they are read; `limit`: rows asked for at once."""
        cursor: str | None = None
        while True:
            page = await self.list(limit=limit, cursor=cursor, **filters)
            for job in page.items:
                yield job
            if page.cursor is None:
                return
            cursor = page.cursor

    async def why(self, job: str) -> Why | None:
        """Why a job does not run yet, or what it waited for; None where there is nothing to tell."""
        return (await self.get(job)).why

    async def events(self, job: str) -> Sequence[Event]:
        """What happened to a job, in order: from its conditions, its pods and Kubernetes' own events."""
        return (await self._transport.call("GET", f"{_path(job)}/events", Events)).items

    async def stop(self, job: str) -> Job:
        """Ask a job to end; it is Stopped once its processes are gone."""
        return await self._transport.call("POST", f"{_path(job)}/stop", Job)

    async def rerun(self, job: str, *, idempotency_key: str | None = None) -> Job:
        """A new job of the same request, also of one that is archived; safe to send again, as `submit` is."""
        return await self._transport.call("POST", f"{_path(job)}/rerun", Job, headers=_key(idempotency_key))

    async def delete(self, job: str, *, purge: bool = False) -> None:
        """Hide a job from the lists at once; what runs is stopped. `purge`: record, log and files go too."""
        await self._transport.call("DELETE", _path(job), type(None), params={"purge": purge or None})

    async def wait(self, job: str, *, deadline: float | None = None, seen: Callable[[Job], None] | None = None) -> Job:
        """The record once it is final. `deadline` in seconds, else TimeoutError; `seen` is called with each reading.

        An API that has answered once may be away for a minute: it is restarted, the job is not.
        """
        async with asyncio.timeout(deadline):
            pause = _FIRST_POLL
            record = await self.get(job)
            while True:
                if seen:
                    seen(record)
                if record.final:
                    return record
                await asyncio.sleep(pause)
                pause = min(pause * _GROWTH, _SLOWEST_POLL)
                record = await self._transport.call("GET", _path(job), Job, patience=_OUTAGE)

    def watch(
        self,
        job: str | None = None,
        *,
        kind: str | None = None,
        status: str | None = None,
        name: str | None = None,
        tags: Mapping[str, str] | None = None,
        limit: int = 50,
        cursor: str | None = None,
        window: bool = False,
        outage: float = _OUTAGE,
    ) -> AsyncIterator[Change]:
        """Changes as they happen: first a snapshot, then each; of one `job` until it is final, else until you stop.

        `window`: only the rows of that page of the list, and a new snapshot when it has become another. A connection
        that breaks is taken up again without a gap; where there can be none, it polls. `outage`: seconds that the API
        may be away before Unavailable is raised.
        """
        wanted = Wanted(job, self._transport.tenant, kind, status, name, dict(tags or {}), limit, cursor, window)
        return watch(self._transport, wanted, outage=outage)

    def logs(
        self,
        job: str,
        *,
        follow: bool = False,
        since: str | datetime | None = None,
        until: str | datetime | None = None,
        tail: int | None = None,
        search: str | None = None,
        context: int | None = None,
        timestamps: bool = False,
        previous: bool = False,
        container: str | None = None,
        offset: int | None = None,
        regex: bool = False,
        late: bool = False,
        index: int | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """The log in chunks of bytes; with `follow` until the job has ended.

        `since`, `until`: a time, or how long ago ("10m"); `tail`: so many of the last lines; `search`: only lines with
        this text, or with `regex` a match of it (RE2), and `context` lines around each; `previous`: of the attempt
        before; `late`: only what came when the log was closed already; `index`:
        only of this index of an indexed job. A connection that breaks is taken up again after
        the bytes already given; Unavailable where that cannot be.
        """
        query = LogQuery(
            follow, since, until, tail, search, context, timestamps, previous, container, offset, regex, late, index
        )
        return LogReader(self._transport, job, query).chunks()


def _path(job: str) -> str:
    return f"/v1/jobs/{segment(job)}"


def _key(said: object) -> dict[str, str]:
    """The headers of this key; one that is made up here is new, and need not be looked for in the archive."""
    if isinstance(said, str) and said:
        return {"Idempotency-Key": said}
    return {"Idempotency-Key": uuid.uuid4().hex, "Longshore-Key-Made": datetime.now(UTC).isoformat()}
