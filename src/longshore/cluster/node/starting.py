"""From the decision to start a container to its process: image, environment, folder, launch. Called by `worker`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from longshore.cluster.node import attempts, env, names, sandbox
from longshore.cluster.node.attempts import Attempt, Owner, Run
from longshore.cluster.node.decide import STEADY
from longshore.cluster.node.disk import DiskRefused, refusals
from longshore.cluster.node.fields import Place
from longshore.cluster.node.images import catalog
from longshore.cluster.node.images.install import Environment
from longshore.cluster.node.machine import Machine
from longshore.cluster.node.model import Container, Pod
from longshore.cluster.node.shim.holder import Spec
from longshore.cluster.node.status import IMAGE_PULL
from longshore.cluster.node.volumes import read_sources
from longshore.cluster.state import remove_tree
from longshore.errors import LongshoreError


class NotStarted(LongshoreError):
    """Why a container cannot start yet: a waiting reason, the reason of the event, and when to try again first."""

    def __init__(self, reason: str, message: str, *, event: str = "Failed", first_delay: float = 10.0) -> None:
        super().__init__(message)
        self.reason = reason
        self.event = event
        self.first_delay = first_delay


class Starting:
    """Starts the containers of one pod, whose folder is `folder`."""

    def __init__(self, machine: Machine, place: Place, folder: Path) -> None:
        self._machine = machine
        self._place = place
        self._folder = folder

    def attempt_folder(self, container: Container, number: int) -> Path:
        return attempts.container_folder(self._folder, container.name) / str(number)

    async def make_folder(self, pod: Pod) -> None:
        """What all containers of the pod share, volumes aside."""
        meta = pod.metadata
        owner = Owner(meta.namespace, meta.name, meta.uid, self._place.pod_ip)
        with refusals(self._folder):
            (self._folder / "volumes").mkdir(parents=True, exist_ok=True)
            (self._folder / "pod.json").write_bytes(msgspec.json.encode(owner))
            (self._folder / "hosts").write_text(names.hosts(pod, self._place))
            if resolv_conf := names.resolv_conf(pod, _read(Path(names.RESOLV_CONF))):
                (self._folder / "resolv.conf").write_text(resolv_conf)

    async def prepare(self, container: Container, pod: Pod, before: Run | None) -> int:
        """Make all that an attempt needs and return its number; raises NotStarted."""
        image = await self._image(container, pod)
        attempt = _next(container, image, before)
        folder = self.attempt_folder(container, attempt.number)
        try:
            sources = await read_sources(self._machine.client, pod.metadata.namespace, env.names(container))
            with refusals(folder):
                await asyncio.to_thread(_make, folder)
                spec = sandbox.spec(container, pod, self._place, sources, image, self._machine, folder)
                await asyncio.to_thread(_describe, folder, attempt, spec)
        except DiskRefused as error:
            raise NotStarted("CreateContainerError", error.message, first_delay=1.0) from error
        except LongshoreError as error:
            raise NotStarted("CreateContainerConfigError", error.message, first_delay=1.0) from error
        return attempt.number

    async def launch(self, container: Container, number: int) -> Run:
        folder = self.attempt_folder(container, number)
        await self._machine.launcher.start(folder)
        run = await asyncio.to_thread(attempts.read, folder)
        if run is None:
            raise LongshoreError("the container's holder left no trace")
        return msgspec.structs.replace(run, end=None)  # `worker` learns of its end as of any other's

    async def _image(self, container: Container, pod: Pod) -> Environment:
        images, events = self._machine.images, self._machine.events
        if not catalog.is_reference(container.image):
            why = f"{container.image!r} is not the name of an image: letters are small, what follows : is a tag"
            raise NotStarted("InvalidImageName", why)
        try:
            image = images.find(container.image)
            if present := images.present(image):
                return present
            if container.image_pull_policy == "Never":
                raise NotStarted("ErrImageNeverPull", f'Container image "{container.image}" is not present')
            events.normal(pod, "Pulling", f'Pulling image "{container.image}"', container.name)
            environment = await images.install(image)
        except NotStarted:
            raise
        except LongshoreError as error:
            hint = f" {error.hint}" if error.hint else ""
            reason = "ErrImageNeverPull" if container.image_pull_policy == "Never" else IMAGE_PULL
            raise NotStarted(reason, error.message + hint) from error
        events.normal(pod, "Pulled", f'Successfully pulled image "{container.image}"', container.name)
        return environment


def _next(container: Container, image: Environment, before: Run | None) -> Attempt:
    crashes = 0
    if before and before.end:
        crashes = 1 if before.end.at - before.started_at >= STEADY else before.attempt.crashes + 1
    return Attempt(
        number=before.attempt.number + 1 if before else 1,
        image_id=image.id,
        crashes=crashes,
        message_from_log=container.termination_message_policy == "FallbackToLogsOnError",
    )


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _make(folder: Path) -> None:
    """An empty folder for the attempt; of those before it the last one stays, for its log."""
    remove_tree(folder)
    for old in folder.parent.glob("[0-9]*"):
        if int(old.name) < int(folder.name) - 1:
            remove_tree(old)
    (folder / "tmp").mkdir(parents=True)
    (folder / "tmp").chmod(0o1777)
    for name in ("message", "log"):
        (folder / name).touch(0o600)


def _describe(folder: Path, attempt: Attempt, spec: Spec) -> None:
    (folder / "spec.json").write_bytes(msgspec.json.encode(spec))
    (folder / "attempt.json").write_bytes(msgspec.json.encode(attempt))
