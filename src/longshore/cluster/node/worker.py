"""One pod: keeps what is known of it, asks `decide` what to do, does it, and has `status` reported. Made by `pods`.

It ends when the pod is over here. Should it fail, another one is made, which finds everything on disk again.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any

import structlog
from msgspec.structs import replace

from longshore.cluster.node import attempts, launcher, status
from longshore.cluster.node.attempts import Run
from longshore.cluster.node.decide import decide
from longshore.cluster.node.fields import Place
from longshore.cluster.node.machine import Machine
from longshore.cluster.node.model import NODE_PODS, Container, Pod
from longshore.cluster.node.probes import Health, Probes
from longshore.cluster.node.refusal import REASON, refusal
from longshore.cluster.node.reporter import Reporter
from longshore.cluster.node.starting import NotStarted, Starting
from longshore.cluster.node.volumes import Volumes
from longshore.cluster.node.world import (
    Abandon,
    Action,
    Kill,
    Prepare,
    Start,
    Step,
    Stop,
    Stopping,
    Trouble,
    View,
    World,
    backoff,
)
from longshore.cluster.processes import Process
from longshore.errors import Conflict, LongshoreError, NotFound

_REFRESH_SECONDS = 60.0
_KILL_SECONDS = 5.0
log = structlog.get_logger()


def now() -> datetime:
    return datetime.now(UTC)


class Worker:
    """`update` tells it of a new version of the pod, `vanish` that the pod is gone, `stop` that the node ends."""

    def __init__(self, machine: Machine, pod: Pod, place: Place) -> None:
        self._machine = machine
        self._pod = pod
        self._place = place
        self._folder = machine.pod_folder(pod.metadata.uid)
        self._world = World(
            started_at=pod.status.start_time or now().replace(microsecond=0),
            containers={},
            refused=refusal(pod, places_volumes=machine.powers.mounts),
        )
        self._volumes = Volumes(machine.client, pod, place, self._folder / "volumes")
        self._starting = Starting(machine, place, self._folder)
        self._reporter = Reporter(machine.client, pod)
        self._conditions = pod.status.conditions
        self._wake = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._probes: dict[str, Probes] = {}

    def update(self, pod: Pod) -> None:
        self._pod = pod
        self._wake.set()

    def vanish(self) -> None:
        self._change(vanished_at=now())

    def stop(self) -> None:
        self._change(node_stops_at=now())

    async def run(self) -> None:
        """Until the pod is over, reported, and, if it is being deleted, deleted."""
        async with asyncio.TaskGroup() as self._group:
            self._spawn("report", self._reporter.run())
            self._recover()
            try:
                await self._work()
                if not self._world.vanished_at:
                    await self._finish()
            finally:
                for task in self._tasks.values():
                    task.cancel()

    async def _work(self) -> None:
        while True:
            self._wake.clear()
            time = now()
            step = decide(self._pod, self._world, time)
            for action in step.actions:
                self._act(action)
            known = status.status(self._pod, self._world, step, self._place, self._conditions, time)
            self._conditions = status.conditions_of(known)
            self._reporter.report(known)
            if step.is_over:
                return
            await self._wait(step)

    async def _wait(self, step: Step) -> None:
        seconds = None if step.again is None else max(0.0, (step.again - now()).total_seconds())
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _finish(self) -> None:
        if self._world.refused:
            self._machine.events.warning(self._pod, REASON, self._world.refused.message)
        await self._reporter.settled()
        if self._pod.metadata.deletion_timestamp:
            await delete(self._machine, self._pod)

    def _act(self, action: Action) -> None:
        match action:
            case Prepare():
                self._change(preparing=True)
                self._spawn("prepare", self._prepare())
            case Start(name):
                self._set(name, busy=True)
                self._spawn(f"start {name}", self._start(self._container(name)))
            case Stop(name, deadline):
                if run := self._world.containers[name].run:
                    self._set(name, stopping=Stopping(now(), deadline))
                    self._spawn(f"stop {name}", self._stop(name, run.process, deadline))
            case Kill(name):
                view = self._world.containers[name]
                if view.run and view.stopping:
                    self._set(name, stopping=replace(view.stopping, killed=True))
                    self._spawn(f"kill {name}", self._kill(view.run.process))
            case Abandon(name):
                if task := self._tasks.get(f"start {name}" if name else "prepare"):
                    task.cancel()

    # What is known

    def _recover(self) -> None:
        """Take over what an earlier worker, or an earlier node process, left."""
        for container in self._pod.containers:
            found = attempts.runs(attempts.container_folder(self._folder, container.name))
            reported = self._pod.reported(container)
            if not found and reported and (lost := attempts.lost(reported)):
                found = [lost]
            if not found:
                continue
            previous = found[-2] if len(found) > 1 else None
            self._set(container.name, run=found[-1], previous=previous)
            if found[-1].end is None:
                self._attend(container, found[-1])
        if self._world.containers:
            self._change(prepared=True)
            self._spawn("refresh", self._refresh())

    def _change(self, **changes: Any) -> None:
        self._world = replace(self._world, **changes)
        self._wake.set()

    def _set(self, name: str, **changes: Any) -> None:
        view = replace(self._world.containers.get(name, View()), **changes)
        self._change(containers={**self._world.containers, name: view})

    def _container(self, name: str) -> Container:
        return next(container for container in self._pod.containers if container.name == name)

    def _trouble(self, before: Trouble | None, reason: str, message: str, first: float) -> Trouble:
        tries = before.tries + 1 if before and before.reason == reason else 1
        return Trouble(reason, message, now(), tries, now() + backoff(tries, first))

    # What is done

    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = self._group.create_task(work, name=name)
        self._tasks[name] = task
        task.add_done_callback(lambda done: self._tasks.pop(name) if self._tasks.get(name) is done else None)

    async def _prepare(self) -> None:
        try:
            await self._starting.make_folder(self._pod)
            await self._volumes.write(self._pod, now())
        except LongshoreError as error:
            self._machine.events.warning(self._pod, "FailedMount", error.message)
            trouble = self._trouble(self._world.trouble, "ContainerCreating", error.message, 0.5)
            self._change(trouble=trouble)
        else:
            self._change(prepared=True, trouble=None)
            self._spawn("refresh", self._refresh(_REFRESH_SECONDS))
        finally:
            self._change(preparing=False)

    async def _refresh(self, delay: float = 0.0) -> None:
        while self._volumes.may_change:
            await asyncio.sleep(delay)
            delay = _REFRESH_SECONDS
            try:
                await self._volumes.write(self._pod, now())
            except LongshoreError as error:  # what is there stays; the next round tries again
                self._machine.events.warning(self._pod, "FailedMount", error.message)

    async def _start(self, container: Container) -> None:
        view = self._world.of(container)
        try:
            prepared = await self._starting.prepare(container, self._pod, view.run)
        except NotStarted as failure:
            self._machine.events.warning(self._pod, failure.event, failure.message, container.name)
            trouble = self._trouble(view.trouble, failure.reason, failure.message, failure.first_delay)
            self._set(container.name, trouble=trouble, busy=False)
        except asyncio.CancelledError:
            self._set(container.name, busy=False)
            raise
        else:  # from here on it cannot be abandoned: there may be a process that nobody else knows of
            self._spawn(f"launch {container.name}", self._launch(container, prepared))

    async def _launch(self, container: Container, number: int) -> None:
        try:
            run = await self._starting.launch(container, number)
        except LongshoreError as error:
            trouble = self._trouble(self._world.of(container).trouble, "RunContainerError", error.message, 10.0)
            self._set(container.name, trouble=trouble)
        else:
            self._set(container.name, **_fresh(self._world.of(container), run))
            self._attend(container, run)
        finally:
            self._set(container.name, busy=False)

    def _attend(self, container: Container, run: Run) -> None:
        folder = self._starting.attempt_folder(container, run.attempt.number)
        warn = self._machine.events.warning
        probes = Probes(
            container,
            folder,
            self._place.pod_ip,
            self._machine.launcher,
            told=lambda health: self._set(container.name, **_known(health)),
            failed=lambda why: warn(self._pod, "Unhealthy", why, container.name),
        )
        self._probes[container.name] = probes
        self._spawn(f"probe {container.name}", probes.run())
        self._spawn(f"watch {container.name}", self._watch(container, run))

    async def _watch(self, container: Container, run: Run) -> None:
        await launcher.ended(run.process)
        folder = self._starting.attempt_folder(container, run.attempt.number)
        if probing := self._tasks.get(f"probe {container.name}"):
            probing.cancel()
        self._set(container.name, run=await asyncio.to_thread(attempts.read, folder), is_ready=False)

    async def _stop(self, name: str, process: Process, deadline: datetime) -> None:
        why = self._world.containers[name].unhealthy
        self._machine.events.normal(self._pod, "Killing", why or f"Stopping container {name}", name)
        await self._probes[name].pre_stop((deadline - now()).total_seconds())
        launcher.signal(process, launcher.STOP)

    async def _kill(self, process: Process) -> None:
        launcher.signal(process, launcher.KILL)
        await asyncio.sleep(_KILL_SECONDS)
        launcher.signal(process, signal.SIGKILL)  # the holder itself is stuck


def _fresh(view: View, run: Run) -> dict[str, object]:
    return {
        "run": run,
        "previous": view.run,
        "trouble": None,
        "is_started": False,
        "is_ready": False,
        "unhealthy": "",
        "stopping": None,
    }


def _known(health: Health) -> dict[str, object]:
    return {"is_started": health.is_started, "is_ready": health.is_ready, "unhealthy": health.unhealthy}


async def delete(machine: Machine, pod: Pod) -> None:
    """Nothing of the pod runs any more: the object may go."""
    meta = pod.metadata
    try:
        await machine.client.delete(NODE_PODS, meta.name, meta.namespace, uid=meta.uid, grace_period_seconds=0)
    except (NotFound, Conflict):
        return
