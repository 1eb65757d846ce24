"""Asks containers how they are: startup, readiness and liveness probes; lifecycle hooks ask in the same way.

Source: Kubernetes docs "Configure Liveness, Readiness and Startup Probes". One difference: the first startup probes
come quickly (50 ms, doubling up to the period), because whatever waits for a container here waits for nothing else.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

import aiohttp
from msgspec import Struct

from longshore.cluster.node.launcher import Launcher
from longshore.cluster.node.model import Container, Handler, HttpGet, Probe
from longshore.errors import LongshoreError

_FIRST_DELAY = 0.05


class Health(Struct, frozen=True, gc=False):
    """What became known; `unhealthy` is the reason to end the container, "" as long as there is none.

    `grace`: the seconds that the probe that failed gives it for that, None for the pod's.
    """

    is_started: bool
    is_ready: bool
    unhealthy: str = ""
    grace: int | None = None


class Probes:
    """The probes of one attempt of one container. `told` is called at each change, `failed` with each failure."""

    def __init__(
        self,
        container: Container,
        folder: Path,
        pod_ip: str,
        launcher: Launcher,
        told: Callable[[Health], None],
        failed: Callable[[str], None],
    ) -> None:
        self._container = container
        self._folder = folder
        self._pod_ip = pod_ip
        self._launcher = launcher
        self._told = told
        self._failed = failed
        self._health = Health(is_started=False, is_ready=False)

    async def run(self) -> None:
        """Lives until the container has ended, then it is cancelled."""
        container = self._container
        if container.lifecycle.post_start and (why := await self._ask(container.lifecycle.post_start, 3600.0)):
            self._tell(unhealthy=f"postStart hook failed: {why}")
            return
        if container.startup_probe and not await self._started(container.startup_probe):
            return
        self._tell(is_started=True, is_ready=container.readiness_probe is None)
        async with asyncio.TaskGroup() as group:
            if container.readiness_probe:
                group.create_task(self._readiness(container.readiness_probe))
            if container.liveness_probe:
                group.create_task(self._liveness(container.liveness_probe))

    async def pre_stop(self, seconds: float) -> None:
        """Run the preStop hook, for at most so long; that it failed is told, and changes nothing."""
        hook = self._container.lifecycle.pre_stop
        if hook and (why := await self._ask(hook, seconds)):
            self._failed(f"preStop hook failed: {why}")

    async def _started(self, probe: Probe) -> bool:
        await asyncio.sleep(probe.initial_delay_seconds)
        delay, failures = min(_FIRST_DELAY, probe.period_seconds), 0
        while why := await self._ask(probe, probe.timeout_seconds):
            if delay >= probe.period_seconds:
                failures += 1
                self._failed(f"Startup probe failed: {why}")
            if failures >= probe.failure_threshold:
                self._tell(unhealthy=f"failed startup probe: {why}", grace=probe.termination_grace_period_seconds)
                return False
            await asyncio.sleep(delay)
            delay = min(delay * 2, probe.period_seconds)
        return True

    async def _readiness(self, probe: Probe) -> None:
        await asyncio.sleep(probe.initial_delay_seconds)
        successes = failures = 0
        while True:
            why = await self._ask(probe, probe.timeout_seconds)
            successes, failures = (0, failures + 1) if why else (successes + 1, 0)
            if why:
                self._failed(f"Readiness probe failed: {why}")
            if successes >= probe.success_threshold:
                self._tell(is_ready=True)
            elif failures >= probe.failure_threshold:
                self._tell(is_ready=False)
            await asyncio.sleep(probe.period_seconds)

    async def _liveness(self, probe: Probe) -> None:
        await asyncio.sleep(probe.initial_delay_seconds)
        failures = 0
        while failures < probe.failure_threshold:
            why = await self._ask(probe, probe.timeout_seconds)
            failures = failures + 1 if why else 0
            if why:
                self._failed(f"Liveness probe failed: {why}")
                if failures >= probe.failure_threshold:
                    self._tell(unhealthy=f"failed liveness probe: {why}", grace=probe.termination_grace_period_seconds)
                    return
            await asyncio.sleep(probe.period_seconds)

    def _tell(
        self,
        is_started: bool | None = None,
        is_ready: bool | None = None,
        unhealthy: str = "",
        grace: int | None = None,
    ) -> None:
        old = self._health
        new = Health(
            old.is_started if is_started is None else is_started,
            old.is_ready if is_ready is None else is_ready,
            unhealthy or old.unhealthy,
            grace,
        )
        if new != old:
            self._health = new
            self._told(new)

    async def _ask(self, handler: Handler, seconds: float) -> str:
        """Why it failed, "" when it did not."""
        try:
            if handler.exec:
                answer = await self._launcher.run(self._folder, list(handler.exec.command), seconds)
                return answer.output.strip() or f"exit code {answer.code}" if answer.code else ""
            async with asyncio.timeout(seconds):
                if handler.http_get:
                    return await self._get(handler.http_get)
                if handler.tcp_socket:
                    host = handler.tcp_socket.host or self._pod_ip
                    _, writer = await asyncio.open_connection(host, self._port(handler.tcp_socket.port))
                    writer.close()
                elif handler.sleep:
                    await asyncio.sleep(handler.sleep.seconds)
        except TimeoutError:
            return f"no answer within {seconds:g} s"
        except (LongshoreError, OSError, aiohttp.ClientError, ValueError) as error:  # a header may be no header
            return str(error) or type(error).__name__
        return ""

    async def _get(self, get: HttpGet) -> str:
        path = get.path if get.path.startswith("/") else f"/{get.path}"
        url = f"{get.scheme.lower()}://{get.host or self._pod_ip}:{self._port(get.port)}{path}"
        headers = {header.name: header.value for header in get.http_headers}
        unverified = ssl.create_default_context()
        unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE  # as the kubelet asks
        async with (
            aiohttp.ClientSession() as session,
            # A pod must not send the node elsewhere: a redirect is a success, as to another host it is for a kubelet.
            session.get(url, headers=headers, ssl=unverified, allow_redirects=False) as response,
        ):
            return "" if 200 <= response.status < 400 else f"HTTP status {response.status}"

    def _port(self, port: int | str) -> int:
        if isinstance(port, int):
            return port
        return next((p.container_port for p in self._container.ports if p.name == port), 0)
