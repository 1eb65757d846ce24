"""One pod: asks `decide` what to do, does it, and has the pod's `status` reported. Made by `pods`.

It ends when the pod is over here. Should it fail, another one is made, which finds everything on disk again.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from longshore.cluster.node import attempts, launcher, limits, refusal, status, storage
from longshore.cluster.node.attempts import Run
from longshore.cluster.node.decide import decide
from longshore.cluster.node.disk import refusals
from longshore.cluster.node.fields import Place
from longshore.cluster.node.knowledge import Knowledge, now, trouble
from longshore.cluster.node.machine import Machine
from longshore.cluster.node.model import NODE_PODS, Container, Pod
from longshore.cluster.node.probes import Probes
from longshore.cluster.node.refusal import Refused
from longshore.cluster.node.reporter import Reporter
from longshore.cluster.node.starting import NotStarted, Starting
from longshore.cluster.node.volumes import Volumes
from longshore.cluster.node.world import Abandon, Action, Eviction, Kill, Prepare, Start, Step, Stop, Stopping
from longshore.cluster.processes import Process
from longshore.errors import Conflict, LongshoreError, NotFound

_REFRESH_SECONDS = 60.0
_KILL_SECONDS = 5.0


class Worker:
    """`update` tells it of a new version of the pod, `vanish` that the pod is gone, `stop` that the node ends."""

    def __init__(self, machine: Machine, pod: Pod, place: Place) -> None:
        self._machine = machine
        self._pod = pod
        self._place = place
        self._folder = machine.pod_folder(pod.metadata.uid)
        self._known = Knowledge(pod, machine.powers)
        self._volumes = Volumes(machine.client, pod, place, self._folder / "volumes", machine.volumes)
        self._starting = Starting(machine, place, self._folder)
        self._reporter = Reporter(machine.client, pod)
        self._conditions = pod.status.conditions
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._probes: dict[str, Probes] = {}

    def update(self, pod: Pod) -> None:
        before, self._pod = self._pod, pod
        for container, refused in refusal.ephemeral(pod)[len(before.spec.ephemeral_containers) :]:
            self._machine.events.warning(pod, refusal.REASON, refused.message, container.name)
        self._known.changed.set()

    def vanish(self) -> None:
        self._known.change(vanished_at=now())

    def stop(self) -> None:
        self._known.change(node_stops_at=now())

    async def run(self) -> None:
        """Until the pod is over, reported, and, if it is being deleted, deleted."""
        async with asyncio.TaskGroup() as self._group:
            self._spawn("report", self._reporter.run())
            for container, run in self._known.recover(self._pod, self._folder):
                self._attend(container, run)
            if self._known.world.prepared:
                self._spawn("refresh", self._refresh())
            if limits.limits_storage(self._pod):
                self._spawn("evict", self._evict())
            try:
                await self._work()
                if not self._known.world.vanished_at:
                    await self._finish()
            finally:
                for task in self._tasks.values():
                    task.cancel()

    async def _work(self) -> None:
        while True:
            self._known.changed.clear()
            time = now()
            step = decide(self._pod, self._known.world, time)
            for action in step.actions:
                self._act(action)
            told = status.status(self._pod, self._known.world, step, self._place, self._conditions, time)
            self._conditions = status.conditions_of(told)
            self._reporter.report(told)
            if step.is_over:
                return
            await self._wait(step)

    async def _wait(self, step: Step) -> None:
        seconds = None if step.again is None else max(0.0, (step.again - now()).total_seconds())
        try:
            async with asyncio.timeout(seconds):
                await self._known.changed.wait()
        except TimeoutError:
            return

    async def _finish(self) -> None:
        if refused := self._known.world.refused:
            self._machine.events.warning(self._pod, refusal.REASON, refused.message)
        await self._reporter.settled()
        if self._pod.metadata.deletion_timestamp:
            await delete(self._machine, self._pod)

    def _act(self, action: Action) -> None:
        match action:
            case Prepare():
                self._known.change(preparing=True)
                self._spawn("prepare", self._prepare())
            case Start(name):
                self._known.set(name, busy=True)
                self._spawn(f"start {name}", self._start(next(c for c in self._pod.containers if c.name == name)))
            case Stop(name, deadline):
                if run := self._known.of(name).run:
                    self._known.set(name, stopping=Stopping(now(), deadline))
                    self._spawn(f"stop {name}", self._stop(name, run.process, deadline))
            case Kill(name):
                view = self._known.of(name)
                if view.run and view.stopping:
                    self._known.set(name, stopping=replace(view.stopping, killed=True))
                    self._spawn(f"kill {name}", self._kill(view.run.process))
            case Abandon(name):
                if task := self._tasks.get(f"start {name}" if name else "prepare"):
                    task.cancel()

    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = self._group.create_task(work, name=name)
        self._tasks[name] = task
        task.add_done_callback(lambda done: self._tasks.pop(name) if self._tasks.get(name) is done else None)

    async def _prepare(self) -> None:
        try:
            await self._starting.make_folder(self._pod)
            await self._write_volumes()
        except Refused as error:
            self._known.change(refused=error.refusal)
        except LongshoreError as error:
            self._machine.events.warning(self._pod, "FailedMount", error.message)
            before = self._known.world.trouble
            self._known.change(trouble=trouble(before, "ContainerCreating", error.message, first_delay=0.5))
        else:
            self._known.change(prepared=True, trouble=None)
            self._spawn("refresh", self._refresh(_REFRESH_SECONDS))
        finally:
            self._known.change(preparing=False)

    async def _refresh(self, delay: float = 0.0) -> None:
        while self._volumes.may_change:
            await asyncio.sleep(delay)
            delay = _REFRESH_SECONDS
            try:
                await self._write_volumes()
            except LongshoreError as error:  # what is there stays; the next round tries again
                self._machine.events.warning(self._pod, "FailedMount", error.message)

    async def _write_volumes(self) -> None:
        with refusals(self._folder / "volumes"):
            await self._volumes.write(self._pod, now())

    async def _evict(self) -> None:
        why = await storage.exceeded(self._folder, self._pod)
        self._machine.events.warning(self._pod, "Evicted", why)
        self._known.change(evicted=Eviction(why, now()))

    async def _start(self, container: Container) -> None:
        name = container.name
        try:
            number = await self._starting.prepare(container, self._pod, self._known.of(name).run)
        except NotStarted as failure:
            self._machine.events.warning(self._pod, failure.event, failure.message, name)
            self._known.failed(name, failure.reason, failure.message, failure.first_delay)
        except asyncio.CancelledError:
            self._known.set(name, busy=False)
            raise
        else:  # from here on it cannot be abandoned: there may be a process that nobody else knows of
            self._spawn(f"launch {name}", self._launch(container, number))

    async def _launch(self, container: Container, number: int) -> None:
        try:
            run = await self._starting.launch(container, number)
        except LongshoreError as error:
            self._known.failed(container.name, "RunContainerError", error.message, first_delay=10.0)
        else:
            self._known.started(container.name, run)
            self._attend(container, run)

    def _attend(self, container: Container, run: Run) -> None:
        name, folder = container.name, self._starting.attempt_folder(container, run.attempt.number)
        probes = Probes(
            container,
            folder,
            self._place.pod_ip,
            self._machine.launcher,
            told=lambda health: self._known.health(name, health),
            failed=lambda why: self._machine.events.warning(self._pod, "Unhealthy", why, name),
        )
        self._probes[name] = probes
        self._spawn(f"probe {name}", probes.run())
        self._spawn(f"watch {name}", self._watch(container, run))

    async def _watch(self, container: Container, run: Run) -> None:
        await launcher.ended(run.process)
        folder = self._starting.attempt_folder(container, run.attempt.number)
        if probing := self._tasks.get(f"probe {container.name}"):
            probing.cancel()
        ended = await asyncio.to_thread(attempts.read, folder)
        self._known.set(container.name, run=ended, is_ready=False)

    async def _stop(self, name: str, process: Process, deadline: datetime) -> None:
        why = self._known.of(name).unhealthy
        self._machine.events.normal(self._pod, "Killing", why or f"Stopping container {name}", name)
        await self._probes[name].pre_stop((deadline - now()).total_seconds())
        launcher.signal(process, launcher.STOP)

    async def _kill(self, process: Process) -> None:
        launcher.signal(process, launcher.KILL)
        await asyncio.sleep(_KILL_SECONDS)
        launcher.signal(process, signal.SIGKILL)  # the holder itself is stuck


async def delete(machine: Machine, pod: Pod) -> None:
    """Nothing of the pod runs any more: the object may go."""
    meta = pod.metadata
    try:
        await machine.client.delete(NODE_PODS, meta.name, meta.namespace, uid=meta.uid, grace_period_seconds=0)
    except (NotFound, Conflict):
        return
