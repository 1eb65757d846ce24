"""Whether this replica has seen what somebody was told elsewhere, or never will: an etcd was set back to a backup.

A version that does not come may only be late; that it never comes is known to the API server alone, whose own is below
it then (decisions/0007). So it is asked once the wait was in vain, once for all who wait. Streams and reads use it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from longshore.errors import Gone, LongshoreError, Unavailable
from longshore.kube.client import Client
from longshore.kube.objects import Resource


class Versions(Protocol):
    """What is kept of one resource."""

    @property
    def resource(self) -> Resource[Any]: ...

    async def wait_for(self, version: int | str, deadline: float = 2.0) -> None: ...


class History:
    """That of one cluster; `clock` counts seconds."""

    def __init__(self, client: Client, clock: Callable[[], float]) -> None:
        self._client = client
        self._clock = clock
        self._newest: dict[str, tuple[float, int]] = {}  # when it was begun to be asked for, and the server's version
        self._asking = asyncio.Lock()

    async def reaches(self, store: Versions, version: int | str) -> bool:
        """Return when the store is at this version; False where the cluster's history is another one than that of the
        version. Raises Unavailable when this replica is behind."""
        came = self._clock()
        try:
            await store.wait_for(version)
        except Unavailable as behind:
            if await self._server(store.resource, came, behind) >= int(version):
                raise
            return False
        return True

    async def wait_for(self, store: Versions, version: int) -> None:
        """As `reaches`, for one who asks by the version alone: raises Gone."""
        if not await self.reaches(store, version):
            raise Gone(
                f"the cluster is not at version {version}: a backup of it may have been put back",
                hint="ask without min_resource_version, and forget what you know of before",
            )

    async def _server(self, resource: Resource[Any], since: float, behind: Unavailable) -> int:
        """The API server's version, as of a moment after `since`."""
        async with self._asking:
            asked, version = self._newest.get(resource.plural, (-1.0, 0))
            if asked < since:
                asked = self._clock()
                try:
                    version = int((await self._client.list_page(resource, limit=1)).resource_version)
                except LongshoreError as error:
                    raise behind from error
                self._newest[resource.plural] = asked, version
            return version
