"""One leader among equals, by a coordination.k8s.io Lease: runs the controllers of `control` in one replica at a time.

It bounds how long nobody leads, not that never two do: for a moment two may believe it. What they do is fenced by
resourceVersions where it matters (see decisions/0002).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import structlog

from longshore.errors import Conflict, LongshoreError, NotFound
from longshore.kube.client import Client
from longshore.kube.objects import LEASES, Lease

log = structlog.get_logger(__name__)

RELEASE_SECONDS = 3.0


def utc_now() -> datetime:
    return datetime.now(UTC)


class Leader:
    """Seconds: `lease` is how long a silent leader is waited for, `renew` how long the leader itself may fail to renew
    before it stops, `retry` the pause between tries. lease > renew > retry.

    Whether a lease has run out is judged by how long it has stood unchanged by our own clock, never by its timestamps.
    Source: client-go, tools/leaderelection.
    """

    def __init__(
        self,
        client: Client,
        namespace: str,
        name: str,
        identity: str,
        *,
        lease: float = 10.0,
        renew: float = 7.0,
        retry: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        assert lease > renew > retry > 0
        self._client = client
        self._namespace = namespace
        self._name = name
        self.identity = identity
        self._lease = lease
        self._renew = renew
        self._retry = retry
        self._clock = clock
        self._now = now
        self._seen: tuple[str, float] = ("", 0.0)

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Lead whenever the lease is ours, until cancelled or until `lead` ends by itself."""
        while True:
            version = await self._acquire()
            log.info("acquired the lease", name=self._name, identity=self.identity)
            if await self._hold(version, lead):
                return
            log.warning("lost the lease", name=self._name, identity=self.identity)

    async def _acquire(self) -> str:
        """Returns the resourceVersion of the lease once it is ours."""
        while True:
            try:
                version = await self._try()
            except LongshoreError as error:
                log.warning("cannot reach the lease", name=self._name, why=error.message)
                version = None
            if version is not None:
                return version
            await asyncio.sleep(self._retry)

    async def _try(self) -> str | None:
        try:
            found = await self._client.get(LEASES, self._name, self._namespace)
        except NotFound:
            return await self._create()
        if not self._free(found):
            return None
        transitions = (found.spec.lease_transitions or 0) + 1
        spec = {**self._spec(), "acquireTime": _micro(self._now()), "leaseTransitions": transitions}
        return await self._write(found.metadata.resource_version, spec)

    def _free(self, found: Lease) -> bool:
        version, since = self._seen
        if found.metadata.resource_version != version:
            self._seen = (found.metadata.resource_version, self._clock())
            since = self._clock()
        held = found.spec.holder_identity
        return not held or held == self.identity or self._clock() - since >= self._lease

    async def _create(self) -> str | None:
        body = {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": {**self._spec(), "acquireTime": _micro(self._now()), "leaseTransitions": 0},
        }
        try:
            return (await self._client.create(LEASES, body, self._namespace)).metadata.resource_version
        except Conflict:
            return None

    def _spec(self) -> dict[str, Any]:
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": max(1, round(self._lease)),
            "renewTime": _micro(self._now()),
        }

    async def _write(self, version: str, spec: dict[str, Any]) -> str | None:
        """None when someone else was quicker."""
        patch = {"metadata": {"resourceVersion": version}, "spec": spec}
        try:
            written = await self._client.patch(LEASES, self._name, patch, self._namespace)
        except Conflict:
            return None
        return written.metadata.resource_version

    async def _hold(self, version: str, lead: Callable[[], Awaitable[None]]) -> bool:
        """Lead while renewing; True when `lead` ended by itself, False when the lease was lost."""
        leading = asyncio.ensure_future(lead())
        renewing = asyncio.ensure_future(self._keep(version))
        try:
            await asyncio.wait((leading, renewing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended = leading.done()
            for task in (leading, renewing):
                task.cancel()
            await asyncio.gather(leading, renewing, return_exceptions=True)
            await self._release()
        if ended:
            leading.result()
        return ended

    async def _keep(self, version: str) -> None:
        """Renew; returns when that has failed for too long or somebody else holds it."""
        renewed = self._clock()
        while True:
            await asyncio.sleep(self._retry)
            try:
                async with asyncio.timeout(max(0.1, self._renew - (self._clock() - renewed))):
                    written = await self._write(version, self._spec())
            except (LongshoreError, TimeoutError) as error:
                if self._clock() - renewed >= self._renew:
                    log.warning("could not renew the lease in time", name=self._name, why=str(error))
                    return
                continue
            if written is None:
                # also what an answer that was lost on the way looks like: then the lease says that it is ours
                written = await self._still_ours()
                if written is None:
                    return
            version, renewed = written, self._clock()

    async def _still_ours(self) -> str | None:
        try:
            found = await self._client.get(LEASES, self._name, self._namespace)
        except LongshoreError:
            return None
        return found.metadata.resource_version if found.spec.holder_identity == self.identity else None

    async def _release(self) -> None:
        """Give the lease up, so that the next one need not wait for it to run out."""
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                version = await self._still_ours()
                if version is not None:
                    await self._write(version, {"holderIdentity": "", "renewTime": _micro(self._now())})
        except (LongshoreError, TimeoutError) as error:
            log.warning("could not release the lease", name=self._name, why=str(error))


def _micro(moment: datetime) -> str:
    """Kubernetes' MicroTime."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
