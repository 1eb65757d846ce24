"""Writes one pod's status to the API: the newest one, changes gathered for a moment, tried until it is there."""

from __future__ import annotations

import asyncio
import random

import structlog

from longshore.cluster.node.model import NODE_PODS, Pod
from longshore.cluster.node.status import Status, is_terminal
from longshore.errors import Conflict, LongshoreError, NotFound
from longshore.kube.client import Client
from longshore.kube.objects import Patch

_GATHER_SECONDS = 0.03
_RETRY_SECONDS = 10.0  # at most
log = structlog.get_logger()


class Reporter:
    """`run` lives as long as the pod's worker."""

    def __init__(self, client: Client, pod: Pod) -> None:
        self._client = client
        self._pod = pod
        self._wanted: Status | None = None
        self._written: Status | None = None
        self._changed = asyncio.Event()
        self._settled = asyncio.Event()

    def report(self, status: Status) -> None:
        """Have this written next, unless it is what was written last."""
        if status == (self._wanted or self._written):
            return
        self._wanted = status
        self._settled.clear()
        self._changed.set()

    async def settled(self) -> None:
        """Wait until the last report is written, or the pod is gone."""
        if self._wanted is not None:
            await self._settled.wait()

    async def run(self) -> None:
        while True:
            await self._changed.wait()
            if self._wanted is not None and not is_terminal(self._wanted):
                await asyncio.sleep(_GATHER_SECONDS)
            self._changed.clear()
            await self._write()

    async def _write(self) -> None:
        failures = 0
        while (status := self._wanted) is not None:
            try:
                await self._patch(status)
            except (NotFound, Conflict):  # it is gone, or another pod has its name
                pass
            except LongshoreError as error:
                failures += 1
                pod = f"{self._pod.metadata.namespace}/{self._pod.metadata.name}"
                log.warning("pod status not written", pod=pod, error=error.message, failures=failures)
                await asyncio.sleep(random.uniform(0, min(_RETRY_SECONDS, 0.1 * 2 ** min(failures, 10))))  # noqa: S311
                continue
            if self._wanted is status:
                self._written, self._wanted = status, None
        self._settled.set()

    async def _patch(self, status: Status) -> None:
        meta = self._pod.metadata
        body = {"metadata": {"uid": meta.uid}, "status": status}
        await self._client.patch(NODE_PODS, meta.name, body, meta.namespace, type=Patch.STRATEGIC, subresource="status")
