"""Submitting, listing, following and ending jobs of any kind; `sdk.client` hands it out."""

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Final

import aiohttp

from longshore import errors
from longshore.sdk.answers import Job, Page
from longshore.sdk.transport import Transport, json_body, segment

_FIRST_POLL: Final = 0.1
_SLOWEST_POLL: Final = 1.0
_GROWTH: Final = 1.5
_VAIN_TRIES: Final = 5
_OUTAGE: Final = 60.0


class Jobs:
    """`client.jobs`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def submit(
        self,
        image: str,
        command: Sequence[str] = (),
        *,
        args: Sequence[str] = (),
        name: str | None = None,
        env: Mapping[str, str] | None = None,
        cpu: str | float | None = None,
        memory: str | None = None,
        outputs: Sequence[str] = (),
        retries: int | None = None,
        time_limit: int | None = None,
        tags: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Job:
        """Submit a job; sent again with the same `idempotency_key` it is the same job, so trying again is always safe.

        `cpu` in cores, `memory` as Kubernetes writes it (512Mi), `outputs` are globs of files to keep, `time_limit` is
        in seconds.
        """
        resources = {"cpu": None if cpu is None else str(cpu), "memory": memory}
        wanted: dict[str, object] = {
            "name": name or (command[0].rsplit("/", 1)[-1] if command else image),
            "image": image,
            "command": list(command) or None,
            "args": list(args) or None,
            "env": env or None,
            "resources": {what: value for what, value in resources.items() if value is not None} or None,
            "outputs": list(outputs) or None,
            "retries": retries,
            "timeout": time_limit,
            "tags": tags or None,
        }
        body, headers = json_body(wanted)
        headers["Idempotency-Key"] = idempotency_key or uuid.uuid4().hex
        return await self._transport.call("POST", "/v1/jobs", Job, body=body, headers=headers)

    async def get(self, job: str, *, min_resource_version: str | None = None) -> Job:
        """The record of one job; `min_resource_version`: at least as new as that (the server waits up to 2 s)."""
        return await self._transport.call("GET", _path(job), Job, params={"min_resource_version": min_resource_version})

    async def list(
        self,
        *,
        kind: str | None = None,
        status: str | None = None,
        name: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> Page:
        """One page of jobs, live and archived, newest first."""
        params = {"kind": kind, "status": status, "name": name, "limit": limit, "cursor": cursor}
        return await self._transport.call("GET", "/v1/jobs", Page, params=params)

    async def stop(self, job: str) -> Job:
        """Ask a job to end; it is Stopped once its processes are gone."""
        return await self._transport.call("POST", f"{_path(job)}/stop", Job)

    async def delete(self, job: str) -> None:
        """Stop a job where needed, and hide it from the lists."""
        await self._transport.call("DELETE", _path(job), type(None))

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

    async def logs(
        self,
        job: str,
        *,
        follow: bool = False,
        tail: int | None = None,
        timestamps: bool = False,
        container: str | None = None,
    ) -> AsyncIterator[bytes]:
        """The log in chunks of bytes; with `follow` until the job has ended.

        A connection that breaks is taken up again after the bytes already given, except with `tail`, whose start moves.
        """
        params = {"follow": follow or None, "tail": tail, "timestamps": timestamps or None, "container": container}
        given = 0
        vain = 0
        patience = None
        while True:
            try:
                async for chunk in self._log_chunks(job, params, given, follow, patience):
                    given += len(chunk)
                    vain = 0
                    yield chunk
                return
            except (aiohttp.ClientPayloadError, aiohttp.ClientConnectionError) as broken:
                vain += 1
                patience = _OUTAGE
                if tail is not None or vain > _VAIN_TRIES:
                    raise errors.Unavailable("the connection broke while reading the log") from broken
                await asyncio.sleep(random.uniform(0, vain))  # noqa: S311 - jitter, not a secret

    async def _log_chunks(
        self, job: str, params: Mapping[str, object], skip: int, follow: bool, patience: float | None
    ) -> AsyncIterator[bytes]:
        path = f"{_path(job)}/logs"
        async with self._transport.open("GET", path, params=params, endless=follow, patience=patience) as response:
            async for chunk in response.content.iter_any():
                fresh, skip = chunk[skip:], max(0, skip - len(chunk))
                if fresh:
                    yield fresh


def _path(job: str) -> str:
    return f"/v1/jobs/{segment(job)}"
