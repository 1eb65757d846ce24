"""The Kubernetes API, typed by `kube.objects`: what controllers, commands and the local cluster call.

Writes are server-side apply, patches, creates and deletes; there is no update on purpose: what a Struct does not hold
is never lost. Lists and watches are for the reflector: requests are answered from its store. What takes more than one
request has a module of its own: `kube.logs`, `kube.remote_command`, `kube.discovery`, `kube.eviction`, `kube.tokens`.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import msgspec
from aiolimiter import AsyncLimiter

from longshore.kube.config import Config
from longshore.kube.objects import PODS, Patch, Resource
from longshore.kube.request import Request, query, segment
from longshore.kube.transport import Socket, Transport
from longshore.kube.wire import Page, decode, decode_page, encode, lines

__all__ = ["Client", "Page", "Patch", "Propagation"]

T = TypeVar("T")
Propagation = Literal["Background", "Foreground", "Orphan"]
APPLY = "application/apply-patch+yaml"  # JSON is YAML
DEADLINE = 30.0  # seconds for a request with all its retries
LIST_DEADLINE = 60.0
ATTEMPTS = 4


class Client:
    """One API server. An async context manager; safe to share between tasks of one event loop.

    Every method raises the errors of `longshore.errors`, whose `request_id` is the Audit-ID. A namespace that is not
    given is the body's, else the config's; for lists and watches it means all namespaces. Where a `subresource` is
    given, `resource.read_as(...)` says what comes back.

    `rate` limits the requests per second, for a caller of many that shall not be throttled by the server: after
    `burst` at once, which an idle client may send, further ones wait for their turn.
    """

    def __init__(
        self,
        config: Config,
        *,
        user_agent: str = "longshore",
        max_connections: int = 100,
        rate: float | None = None,
        burst: int = 10,
    ) -> None:
        self.config = config
        limiter = AsyncLimiter(burst, burst / rate) if rate else None
        self._transport = Transport(config, user_agent, max_connections, limiter)

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transport.__aexit__(kind, error, trace)

    async def get(
        self, resource: Resource[T], name: str, namespace: str | None = None, *, subresource: str | None = None
    ) -> T:
        return await self._object(resource, Request("GET", self._path(resource, namespace, name, subresource)))

    async def list_page(
        self,
        resource: Resource[T],
        namespace: str | None = None,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
        limit: int | None = 500,
        continue_: str | None = None,
        attempts: int = ATTEMPTS,
    ) -> Page[T]:
        """One page of a consistent list; None as `limit` asks for all in one. Raises Gone when `continue_` is old."""
        params = query(
            labelSelector=label_selector, fieldSelector=field_selector, limit=limit, **{"continue": continue_}
        )
        path = resource.path(namespace and segment(namespace))
        request = Request("GET", path, params)
        body = await self._transport.send(request, deadline=LIST_DEADLINE, attempts=attempts)
        with request.blamed():
            return decode_page(resource, body, request.what)

    async def create(
        self,
        resource: Resource[T],
        body: Mapping[str, Any],
        namespace: str | None = None,
        *,
        subresource: str | None = None,
        dry_run: bool = False,
    ) -> T:
        """Raises AlreadyExists when the name is taken. A subresource is that of the object which the body names."""
        metadata = body.get("metadata", {})
        name = metadata.get("name", "") if subresource else None
        path = self._path(resource, namespace or metadata.get("namespace"), name, subresource)
        return await self._object(resource, Request("POST", path, _dry(dry_run), encode(resource, body)))

    async def apply(
        self,
        resource: Resource[T],
        body: Mapping[str, Any],
        *,
        field_manager: str,
        force: bool = True,
        subresource: str | None = None,
        dry_run: bool = False,
    ) -> T:
        """Server-side apply; name and namespace are the body's. Raises Conflict when not forced and not the owner."""
        metadata = body.get("metadata", {})
        path = self._path(resource, metadata.get("namespace"), metadata.get("name", ""), subresource)
        params = {**_dry(dry_run), **query(fieldManager=field_manager, force=force)}
        return await self._object(resource, Request("PATCH", path, params, encode(resource, body), APPLY))

    async def patch(
        self,
        resource: Resource[T],
        name: str,
        patch: Any,
        namespace: str | None = None,
        *,
        type: Patch = Patch.MERGE,
        subresource: str | None = None,
        dry_run: bool = False,
    ) -> T:
        """Raises Conflict when the patch holds a resourceVersion or uid that is no longer so."""
        path = self._path(resource, namespace, name, subresource)
        body = msgspec.json.encode(patch)
        return await self._object(resource, Request("PATCH", path, _dry(dry_run), body, type.value))

    async def delete(
        self,
        resource: Resource[T],
        name: str,
        namespace: str | None = None,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
        propagation: Propagation = "Background",
        grace_period_seconds: int | None = None,
    ) -> None:
        """Raises NotFound, and Conflict when it is no longer the object with this uid or version.

        Without either it may be sent again after an answer was lost, and take the next object of this name.
        """
        preconditions = {"uid": uid, "resourceVersion": resource_version}
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": propagation,
            "gracePeriodSeconds": grace_period_seconds,
            "preconditions": {key: value for key, value in preconditions.items() if value} or None,
        }
        body = msgspec.json.encode({key: value for key, value in options.items() if value is not None})
        await self._send(Request("DELETE", self._path(resource, namespace, name), body=body))

    async def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> bytes:
        """Anything else: reviews, discovery, /readyz. `path` is sent as it is, so its parts must be quoted."""
        encoded = None if body is None else msgspec.json.encode(body)
        return await self._send(Request(method, path, params or {}, encoded, content_type, accept))

    async def logs(
        self,
        name: str,
        namespace: str,
        *,
        container: str | None = None,
        follow: bool = False,
        timestamps: bool = False,
        tail_lines: int | None = None,
        since_seconds: int | None = None,
        since_time: datetime | None = None,
        previous: bool = False,
        limit_bytes: int | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """What a container wrote, in chunks as they come; `kube.logs` goes on where the connection breaks.

        A silent container that is followed yields nothing, long. `since_time` is aware and cut to whole seconds.
        Source: API reference, Pod, "read log of the specified Pod".
        """
        params = query(
            container=container,
            follow=follow or None,
            timestamps=timestamps or None,
            tailLines=tail_lines,
            sinceSeconds=since_seconds,
            sinceTime=since_time,
            previous=previous or None,
            limitBytes=limit_bytes,
        )
        request = Request("GET", self._path(PODS, namespace, name, "log"), params)
        async with self._transport.stream(request, answer_within=None if follow else DEADLINE) as chunks:
            async for chunk in chunks:
                yield chunk

    def connect(
        self,
        name: str,
        namespace: str,
        subresource: str,
        params: Mapping[str, str | Sequence[str]],
        protocols: Sequence[str],
    ) -> AbstractAsyncContextManager[Socket]:
        """A WebSocket to a subresource of a pod. Only `kube.remote_command` calls this."""
        request = Request("GET", self._path(PODS, namespace, name, subresource), params)
        return self._transport.websocket(request, protocols, answer_within=DEADLINE)

    def watch_lines(
        self, resource: Resource[T], namespace: str | None = None, *, params: Mapping[str, str]
    ) -> AbstractAsyncContextManager[AsyncIterator[list[bytes]]]:
        """The raw events of a watch, as many at a time as arrived together. Only the reflector calls this."""
        request = Request("GET", resource.path(namespace and segment(namespace)), {**params, "watch": "true"})
        return self._watch(request)

    @asynccontextmanager
    async def _watch(self, request: Request) -> AsyncIterator[AsyncIterator[list[bytes]]]:
        async with self._transport.stream(request, answer_within=DEADLINE) as chunks:
            yield lines(chunks, request.what)

    async def _send(self, request: Request) -> bytes:
        return await self._transport.send(request, deadline=DEADLINE, attempts=ATTEMPTS)

    async def _object(self, resource: Resource[T], request: Request) -> T:
        body = await self._send(request)
        with request.blamed():
            return decode(resource.type, body, request.what)

    def _path(
        self, resource: Resource[T], namespace: str | None, name: str | None = None, subresource: str | None = None
    ) -> str:
        where = segment(namespace or self.config.namespace) if resource.namespaced else None
        return resource.path(where, None if name is None else segment(name), subresource)


def _dry(dry_run: bool) -> dict[str, str]:
    return {"dryRun": "All"} if dry_run else {}
