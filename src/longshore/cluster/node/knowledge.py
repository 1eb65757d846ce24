"""What one pod's worker knows, step by step: each change makes a new `World` and wakes the worker."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from longshore.cluster.node import attempts
from longshore.cluster.node.attempts import Run
from longshore.cluster.node.model import Container, Pod
from longshore.cluster.node.powers import Powers
from longshore.cluster.node.probes import Health
from longshore.cluster.node.refusal import refusal
from longshore.cluster.node.world import Trouble, View, World, backoff


def now() -> datetime:
    return datetime.now(UTC)


class Knowledge:
    """`world` is the present state; `changed` is set at every change."""

    def __init__(self, pod: Pod, powers: Powers) -> None:
        self.changed = asyncio.Event()
        self.world = World(
            started_at=pod.status.start_time or now(),
            containers={},
            refused=refusal(pod, powers),
        )

    def change(self, **changes: Any) -> None:
        self.world = replace(self.world, **changes)
        self.changed.set()

    def of(self, name: str) -> View:
        return self.world.containers.get(name, View())

    def set(self, name: str, **changes: Any) -> None:
        """Change what is known of one container."""
        self.change(containers={**self.world.containers, name: replace(self.of(name), **changes)})

    def started(self, name: str, run: Run) -> None:
        """A new attempt begins: what was known of the one before is past."""
        before = self.of(name).run
        self.change(containers={**self.world.containers, name: View(run=run, previous=before)})

    def health(self, name: str, health: Health) -> None:
        seen = {"is_started": health.is_started, "is_ready": health.is_ready, "unhealthy": health.unhealthy}
        self.set(name, **seen, grace=health.grace)

    def failed(self, name: str, reason: str, message: str, first_delay: float) -> None:
        """A container could not be started; it is tried again after a back-off."""
        self.set(name, trouble=trouble(self.of(name).trouble, reason, message, first_delay), busy=False)

    def recover(self, pod: Pod, folder: Path) -> list[tuple[Container, Run]]:
        """Learn what an earlier worker, or an earlier node process, left; return what still runs."""
        running = []
        for container in pod.containers:
            found = attempts.runs(attempts.container_folder(folder, container.name))
            reported = pod.reported(container)
            if not found and reported and (lost := attempts.lost(reported)):
                found = [lost]
            if found:
                self.set(container.name, run=found[-1], previous=found[-2] if len(found) > 1 else None)
                running += [(container, found[-1])] if found[-1].end is None else []
        self.change(prepared=bool(self.world.containers))
        return running


def trouble(before: Trouble | None, reason: str, message: str, first_delay: float) -> Trouble:
    """The next failure after `before`; the same reason again waits longer."""
    tries = before.tries + 1 if before and before.reason == reason else 1
    return Trouble(reason, message, now(), tries, now() + backoff(tries, first_delay))
