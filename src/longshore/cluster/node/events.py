"""Events about pods and claims, for `kubectl describe`: best effort, in the background; repeated ones are counted."""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal, TypeVar

import structlog
from msgspec import Struct

from longshore.cluster.node.model import NODE_PODS, Pod
from longshore.errors import LongshoreError
from longshore.kube.client import Client
from longshore.kube.objects import EVENTS, Object, Resource

_WAITING = 1000
_REMEMBERED = 500
_CLUSTER_WIDE = "default"  # the namespace of events about what is in none
EventType = Literal["Normal", "Warning"]
T = TypeVar("T", bound=Object)
log = structlog.get_logger()


class Said(Struct, frozen=True, gc=False):
    """One thing that happened to an object; `container` is "" unless it is about one of a pod's."""

    kind: str
    namespace: str
    name: str
    uid: str
    container: str
    type: EventType
    reason: str
    message: str


class Events:
    """Writes what it is told, in order. `run` lives as long as the node; `component` is who says it."""

    def __init__(
        self,
        client: Client,
        node: str,
        component: str = "longshore-node",
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = client
        self._node = node
        self._component = component
        self._now = now
        self._queue: asyncio.Queue[Said] = asyncio.Queue(_WAITING)
        self._counts: OrderedDict[Said, tuple[str, int]] = OrderedDict()

    def normal(self, pod: Pod, reason: str, message: str, container: str = "") -> None:
        self.about(NODE_PODS, pod, "Normal", reason, message, container)

    def warning(self, pod: Pod, reason: str, message: str, container: str = "") -> None:
        self.about(NODE_PODS, pod, "Warning", reason, message, container)

    def about(
        self, resource: Resource[T], obj: T, type_: EventType, reason: str, message: str, container: str = ""
    ) -> None:
        """Something happened to any object."""
        meta = obj.metadata
        said = Said(resource.kind, meta.namespace, meta.name, meta.uid, container, type_, reason, message[:1024])
        try:
            self._queue.put_nowait(said)
        except asyncio.QueueFull:
            log.warning("event dropped", kind=said.kind, name=said.name, reason=reason)

    async def run(self) -> None:
        while True:
            said = await self._queue.get()
            try:
                await self._write(said)
            except LongshoreError as error:  # the object's status tells the same
                self._counts.pop(said, None)  # told anew the next time
                log.warning(
                    "event not written", kind=said.kind, name=said.name, reason=said.reason, error=error.message
                )

    async def _write(self, said: Said) -> None:
        now = self._now().strftime("%Y-%m-%dT%H:%M:%SZ")
        namespace = said.namespace or _CLUSTER_WIDE
        if said in self._counts:
            name, count = self._counts[said]
            self._remember(said, name, count + 1)
            await self._client.patch(EVENTS, name, {"count": count + 1, "lastTimestamp": now}, namespace)
            return
        name = f"{said.name}.{secrets.token_hex(8)}"
        self._remember(said, name, 1)
        field_path = {"fieldPath": f"spec.containers{{{said.container}}}"} if said.container else {}
        reference = {"kind": said.kind, "namespace": said.namespace, "name": said.name, "uid": said.uid}
        body = {
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": {"apiVersion": "v1", **reference, **field_path},
            "type": said.type,
            "reason": said.reason,
            "message": said.message,
            "source": {"component": self._component, "host": self._node},
            "reportingComponent": self._component,
            "reportingInstance": self._node,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        await self._client.create(EVENTS, body, namespace)

    def _remember(self, said: Said, name: str, count: int) -> None:
        self._counts[said] = (name, count)
        self._counts.move_to_end(said)
        if len(self._counts) > _REMEMBERED:
            self._counts.popitem(last=False)
