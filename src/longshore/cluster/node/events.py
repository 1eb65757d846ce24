"""Events about pods, for `kubectl describe`: best effort, in the background; repeated ones are counted, not added."""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

import structlog
from msgspec import Struct

from longshore.cluster.node.model import Pod
from longshore.errors import LongshoreError
from longshore.kube.client import Client
from longshore.kube.objects import EVENTS

_WAITING = 1000
_REMEMBERED = 500
log = structlog.get_logger()


class Said(Struct, frozen=True, gc=False):
    """One thing that happened to a pod; `container` "" when it is about the pod as a whole."""

    namespace: str
    pod: str
    uid: str
    container: str
    type: Literal["Normal", "Warning"]
    reason: str
    message: str


class Events:
    """Writes what it is told, in order. `run` lives as long as the node."""

    def __init__(self, client: Client, node: str, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._client = client
        self._node = node
        self._now = now
        self._queue: asyncio.Queue[Said] = asyncio.Queue(_WAITING)
        self._counts: OrderedDict[Said, tuple[str, int]] = OrderedDict()

    def normal(self, pod: Pod, reason: str, message: str, container: str = "") -> None:
        self._say(pod, "Normal", reason, message, container)

    def warning(self, pod: Pod, reason: str, message: str, container: str = "") -> None:
        self._say(pod, "Warning", reason, message, container)

    def _say(self, pod: Pod, type_: Literal["Normal", "Warning"], reason: str, message: str, container: str) -> None:
        meta = pod.metadata
        try:
            self._queue.put_nowait(Said(meta.namespace, meta.name, meta.uid, container, type_, reason, message[:1024]))
        except asyncio.QueueFull:
            log.warning("event dropped", pod=meta.name, reason=reason)

    async def run(self) -> None:
        while True:
            said = await self._queue.get()
            try:
                await self._write(said)
            except LongshoreError as error:  # the pod's status tells the same
                log.warning("event not written", pod=said.pod, reason=said.reason, error=error.message)

    async def _write(self, said: Said) -> None:
        now = self._now().strftime("%Y-%m-%dT%H:%M:%SZ")
        if said in self._counts:
            name, count = self._counts[said]
            self._remember(said, name, count + 1)
            await self._client.patch(EVENTS, name, {"count": count + 1, "lastTimestamp": now}, said.namespace)
            return
        name = f"{said.pod}.{secrets.token_hex(8)}"
        self._remember(said, name, 1)
        field_path = {"fieldPath": f"spec.containers{{{said.container}}}"} if said.container else {}
        reference = {"apiVersion": "v1", "kind": "Pod", "namespace": said.namespace, "name": said.pod, "uid": said.uid}
        body = {
            "metadata": {"name": name, "namespace": said.namespace},
            "involvedObject": {**reference, **field_path},
            "type": said.type,
            "reason": said.reason,
            "message": said.message,
            "source": {"component": "longshore-node", "host": self._node},
            "reportingComponent": "longshore-node",
            "reportingInstance": self._node,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        await self._client.create(EVENTS, body, said.namespace)

    def _remember(self, said: Said, name: str, count: int) -> None:
        self._counts[said] = (name, count)
        self._counts.move_to_end(said)
        if len(self._counts) > _REMEMBERED:
            self._counts.popitem(last=False)
