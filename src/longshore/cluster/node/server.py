"""The node's HTTPS API: the part of the kubelet's that `kubectl logs` and `kubectl exec` need."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import msgspec
from aiohttp import web

from longshore.cluster.node import attempts, logs, refusal, remote_command
from longshore.cluster.node.auth import Gate
from longshore.cluster.node.logs import Options
from longshore.cluster.node.machine import Machine
from longshore.cluster.node.model import Pod
from longshore.errors import Forbidden, LongshoreError, NotFound, TooManyRequests, Unauthenticated, UserMistake
from longshore.kube.store import Store

_STATUS = {Unauthenticated: 401, Forbidden: 403, NotFound: 404, UserMistake: 400, TooManyRequests: 429}
_CLOSE_SECONDS = 1.0
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """`is_ready` is asked by /healthz, the only path that needs no credential."""

    def __init__(self, machine: Machine, pods: Store[Pod], is_ready: Callable[[], bool]) -> None:
        self._machine = machine
        self._pods = pods
        self._is_ready = is_ready
        self._gate = Gate(machine.client, machine.name)

    async def start(self, port: int, cert: Path, key: Path, client_ca: Path) -> web.AppRunner:
        """Listen; the caller cleans the returned runner up."""
        app = web.Application(middlewares=[_answer_errors])
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/pods", self._guarded("proxy", self._list))
        app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._guarded("proxy", self._logs))
        joined: dict[str, Handler] = {"exec/{namespace}/{pod}/{container}": self._exec}
        joined |= {"attach/{namespace}/{pod}/{container}": _attach, "portForward/{namespace}/{pod}": _port_forward}
        for path, handler in joined.items():
            for method in ("GET", "POST"):
                app.router.add_route(method, f"/{path}", self._guarded("proxy", handler, verb="create"))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(client_ca))
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_cert_chain(cert, key)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=_CLOSE_SECONDS)
        await runner.setup()
        await web.TCPSite(runner, self._machine.address, port, ssl_context=context).start()
        return runner

    def _guarded(self, subresource: str, handler: Handler, verb: str = "get") -> Handler:
        async def guarded(request: web.Request) -> web.StreamResponse:
            certificate = request.transport.get_extra_info("peercert") if request.transport else None
            caller = await self._gate.caller(certificate, request.headers.get("Authorization", ""))
            await self._gate.check(caller, verb, subresource)
            return await handler(request)

        return guarded

    async def _healthz(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok") if self._is_ready() else web.Response(status=503, text="not registered yet")

    async def _list(self, _request: web.Request) -> web.Response:
        body = {"kind": "PodList", "apiVersion": "v1", "items": self._pods.list()}
        return web.Response(body=msgspec.json.encode(body), content_type="application/json")

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        folder = self._find(request)
        options = _options(request, datetime.now().astimezone())
        attempt = _attempt(folder, previous=options.previous)
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        response.enable_chunked_encoding()
        with suppress(ConnectionResetError):  # the reader has seen enough
            await response.prepare(request)
            async for chunk in logs.read(attempt / "log", options, lambda: _is_complete(attempt, request)):
                await response.write(chunk)
            await response.write_eof()
        return response

    async def _exec(self, request: web.Request) -> web.StreamResponse:
        return await remote_command.serve(request, _attempt(self._find(request), previous=False))

    def _find(self, request: web.Request) -> Path:
        """The folder of a container's attempts."""
        names = request.match_info
        pod = self._pods.get(names["pod"], names["namespace"])
        if pod is None:
            raise NotFound(f'pod "{names["pod"]}" is not on this node')
        if pod.status.reason == refusal.REASON:
            raise UserMistake(pod.status.message)
        for container, refused in refusal.ephemeral(pod):
            if container.name == names["container"]:
                raise UserMistake(refused.message)
        if all(container.name != names["container"] for container in pod.containers):
            raise UserMistake(f"container {names['container']} is not valid for pod {names['pod']}")
        return attempts.container_folder(self._machine.pod_folder(pod.metadata.uid), names["container"])


async def _attach(_request: web.Request) -> web.StreamResponse:
    """Without a colon: an API server before 1.36 takes what reads as YAML for a Status, and drops it."""
    raise UserMistake("attach is not possible on a process node; use kubectl logs -f, or kubectl exec")


async def _port_forward(request: web.Request) -> web.StreamResponse:
    raise UserMistake(
        f"port-forward is not possible on a process node, nor needed; the ports of {request.match_info['pod']} are "
        "this machine's, at the pod's address (status.podIP) or, for servers that listen everywhere, at 127.0.0.1"
    )


def _attempt(folder: Path, *, previous: bool) -> Path:
    found = attempts.runs(folder)
    if previous:
        found = found[:-1]
    if not found:
        why = "has no previous terminated container" if previous else "is waiting to start"
        raise UserMistake(f'container "{folder.name}" {why}')
    return folder / str(found[-1].attempt.number)


def _is_complete(attempt: Path, request: web.Request) -> bool:
    """Whether nothing will be added, or nobody waits for it any more."""
    return request.transport is None or attempts.has_ended(attempt)


def _options(request: web.Request, now: datetime) -> Options:
    """As in PodLogOptions. Raises UserMistake."""
    query = request.query
    try:
        since = None
        if "sinceSeconds" in query:
            since = logs.nanoseconds(now) - int(query["sinceSeconds"]) * 1_000_000_000
        elif "sinceTime" in query:
            since = logs.nanoseconds(datetime.fromisoformat(query["sinceTime"]))
        return Options(
            follow=query.get("follow") == "true",
            timestamps=query.get("timestamps") == "true",
            previous=query.get("previous") == "true",
            tail=int(query["tailLines"]) if "tailLines" in query else None,
            since=since,
            limit_bytes=int(query["limitBytes"]) if "limitBytes" in query else None,
        )
    except ValueError as error:
        raise UserMistake(f"bad log options: {error}") from None


@web.middleware
async def _answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except LongshoreError as error:
        status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 500)
        return web.Response(status=status, text=error.message)
