"""A namespace for one test, in which it makes pods and Jobs and asks how they are. The fixture `space` makes it."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from msgspec import Struct
from tests.cluster.nodes import TAINT

from longshore.errors import LongshoreError, NotFound
from longshore.kube import remote_command
from longshore.kube.client import Client
from longshore.kube.objects import (
    CONFIG_MAPS,
    EVENTS,
    JOBS,
    NAMESPACES,
    PODS,
    SECRETS,
    SERVICE_ACCOUNTS,
    Patch,
    Resource,
)

Raw = dict[str, Any]
RAW_PODS = PODS.read_as(Raw)
RAW_JOBS = JOBS.read_as(Raw)
CRON_JOBS = Resource("batch", "v1", "cronjobs", "CronJob", True, Raw)
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment", True, Raw)
SERVICES = Resource("", "v1", "services", "Service", True, Raw)
POLL_SECONDS = 0.05
DEADLINE = 60.0  # of what takes a moment: the machine may be busy, and stand still for seconds
NOTHING_MOUNTED = "containers see the machine's own files in this sandbox"

_TOLERATION = {"key": TAINT, "operator": "Exists"}

Kubectl = Callable[..., Awaitable[tuple[int, str, str]]]


def shell(script: str, name: str = "main", **fields: Any) -> Raw:
    """A container that runs a shell script."""
    return {"name": name, "image": "busybox", "command": ["sh", "-c", script], **fields}


def status_of(pod: Raw, container: str = "main") -> Raw:
    """The status of one container, {} before there is one."""
    status = pod.get("status", {})
    known = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
    return next((entry for entry in known if entry["name"] == container), {})


def terminated(pod: Raw, container: str = "main") -> Raw:
    found = status_of(pod, container)["state"]["terminated"]
    assert isinstance(found, dict)
    return found


def is_over(pod: Raw) -> bool:
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def is_ready(pod: Raw) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def is_running(pod: Raw, container: str = "main") -> bool:
    return "running" in status_of(pod, container).get("state", {})


def _has_own_files(container: Raw) -> bool:
    return "volumeMounts" in container or "/tmp" in str(container)


def has(path: str) -> Raw:
    """A startup probe: the container is not taken for started before it has made this file."""
    return {"exec": {"command": ["test", "-e", path]}, "periodSeconds": 1, "failureThreshold": 60, "timeoutSeconds": 30}


def waits_for(reason: str, container: str = "main") -> Callable[[Raw], bool]:
    return lambda pod: status_of(pod, container).get("state", {}).get("waiting", {}).get("reason") == reason


class Refused(Exception):
    """The process node refused the pod in the way that the test's marker says."""


class Refusal(Struct, frozen=True):
    """What a process node says of a pod that it cannot run."""

    field: str
    why: str


class Where(Struct, frozen=True):
    """The cluster that is asked: whether its nodes run pods as processes, and what all its pods need to be given.

    `without_mounts`: as processes that see the machine's own files.
    """

    on_process_node: bool = False
    without_mounts: bool = False
    node_selector: dict[str, str] = {}
    images: dict[str, str] = {}
    patience: float = 1.0

    def placed(self, spec: Raw) -> Raw:
        """The spec of a pod, to run there. A test of a container's own files is skipped where it has none."""
        kinds = {kind: spec[kind] for kind in ("initContainers", "containers") if kind in spec}
        named: Raw = {kind: [{**c, "image": self.image(c["image"])} for c in found] for kind, found in kinds.items()}
        if self.without_mounts and any(_has_own_files(c) for found in named.values() for c in found):
            pytest.skip(NOTHING_MOUNTED)
        selector = {**self.node_selector, **spec.get("nodeSelector", {})}
        tolerations = [_TOLERATION, *spec.get("tolerations", [])]
        return {**spec, **named, **({"nodeSelector": selector} if selector else {}), "tolerations": tolerations}

    def image(self, name: str) -> str:
        return self.images.get(name, name)


class Namespace:
    """`refusal`: with what every pod of this test must be refused; making one raises Refused then."""

    def __init__(self, client: Client, name: str, where: Where, refusal: Refusal | None = None) -> None:
        self.client = client
        self.name = name
        self.where = where
        self._refusal = refusal

    @property
    def patience(self) -> float:
        """What every limit of time is multiplied by."""
        return self.where.patience

    async def create(self, *containers: Raw, name: str = "pod", meta: Raw | None = None, **spec: Any) -> str:
        """A pod that is not restarted unless `spec` says so."""
        fields = {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 5,
            "containers": list(containers),
            **spec,
        }
        body = {"metadata": {"name": name, **(meta or {})}, "spec": self.where.placed(fields)}
        await self.client.create(RAW_PODS, body, self.name)
        if self._refusal:
            await self._refused(name, self._refusal)
        return name

    async def _refused(self, name: str, refusal: Refusal) -> None:
        pod = await self.until(is_over, name)
        told = f"{refusal.field}: {refusal.why}"
        assert pod["status"]["phase"] == "Failed"
        assert pod["status"]["reason"] == "NotOnProcessNode"
        assert pod["status"]["message"].startswith(told), pod["status"]["message"]
        assert told in await self.event("NotOnProcessNode")
        raise Refused(told)

    async def run(self, *containers: Raw, name: str = "pod", deadline: float = DEADLINE, **spec: Any) -> Raw:
        """The same, waited for until it is over."""
        await self.create(*containers, name=name, **spec)
        return await self.until(is_over, name, deadline)

    async def output(self, script: str, **spec: Any) -> list[str]:
        """The lines that a script says in a pod that must succeed."""
        container = shell(script, **spec.pop("container", {}))
        pod = await self.run(container, **spec)
        said = await self.log()
        assert pod["status"]["phase"] == "Succeeded", (pod["status"], said)
        return said.splitlines()

    async def until(self, holds: Callable[[Raw], bool], name: str = "pod", deadline: float = DEADLINE) -> Raw:
        """The pod once `holds`; what it was instead is in the failure."""
        return await self._until(RAW_PODS, name, holds, deadline)

    async def _until(self, resource: Resource[Raw], name: str, holds: Callable[[Raw], bool], deadline: float) -> Raw:
        found: Raw = {}
        try:
            async with self.within(deadline):
                while True:
                    found = await self.client.get(resource, name, self.name)
                    if holds(found):
                        return found
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise AssertionError(f"not in {deadline} s: {found.get('status')}") from None

    def within(self, deadline: float) -> asyncio.Timeout:
        """A deadline, stretched by the patience that was asked for."""
        return asyncio.timeout(deadline * self.patience)

    async def expire(self, name: str = "pod") -> Raw:
        """End a pod that runs, by a deadline that has passed; it stays to be asked how it ended."""
        await self.client.patch(RAW_PODS, name, {"spec": {"activeDeadlineSeconds": 1}}, self.name)
        return await self.until(is_over, name)

    async def gone(self, name: str = "pod", deadline: float = DEADLINE) -> None:
        async with self.within(deadline):
            while True:
                try:
                    await self.client.get(RAW_PODS, name, self.name)
                except NotFound:
                    return
                await asyncio.sleep(POLL_SECONDS)

    async def delete(self, name: str = "pod", grace: int | None = None) -> None:
        await self.client.delete(RAW_PODS, name, self.name, grace_period_seconds=grace)

    async def log(self, name: str = "pod", container: str | None = None, **options: Any) -> str:
        chunks = [chunk async for chunk in self.client.logs(name, self.name, container=container, **options)]
        return b"".join(chunks).decode()

    async def do(self, *command: str, name: str = "pod") -> None:
        """Run a command in a container. It may end that by what it does, and with it itself: what comes is awaited."""
        with suppress(LongshoreError):
            async with self.within(DEADLINE):
                await remote_command.run(self.client, name, self.name, list(command))

    async def says(self, text: str, name: str = "pod", container: str | None = None, deadline: float = DEADLINE) -> str:
        """Wait until the log of a running container holds `text`."""
        said = ""
        try:
            async with self.within(deadline):
                while text not in said:
                    try:
                        said = await self.log(name, container)
                    except LongshoreError:  # it has not started yet
                        said = ""
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise AssertionError(f"{text!r} is not in {said!r}") from None
        return said

    async def event(self, reason: str, text: str = "", deadline: float = DEADLINE) -> str:
        """The message of the first event with this reason and text."""
        async with self.within(deadline):
            while True:
                for event in (await self.client.list_page(EVENTS, self.name)).items:
                    if event.reason == reason and text in event.message:
                        return event.message
                await asyncio.sleep(POLL_SECONDS)

    async def make(self, resource: Resource[Raw], body: Raw) -> Raw:
        return await self.client.create(resource, body, self.name)

    async def config_map(self, name: str, **data: str) -> None:
        await self.client.create(CONFIG_MAPS, {"metadata": {"name": name}, "data": data}, self.name)

    async def secret(self, name: str, **data: str) -> None:
        await self.client.create(SECRETS, {"metadata": {"name": name}, "stringData": data}, self.name)

    async def job(self, *containers: Raw, name: str = "job", pod: Raw | None = None, **spec: Any) -> str:
        fields = {"restartPolicy": "Never", "containers": list(containers), **(pod or {})}
        template = {"spec": self.where.placed(fields)}
        body = {"metadata": {"name": name}, "spec": {"backoffLimit": 0, "template": template, **spec}}
        await self.client.create(RAW_JOBS, body, self.name)
        return name

    async def job_until(self, holds: Callable[[Raw], bool], name: str = "job", deadline: float = DEADLINE) -> Raw:
        return await self._until(RAW_JOBS, name, holds, deadline)

    async def pods_of(self, job: str) -> list[Raw]:
        page = await self.client.list_page(RAW_PODS, self.name, label_selector=f"batch.kubernetes.io/job-name={job}")
        return page.items

    async def open(self) -> None:
        """Make it, and wait until pods may be created in it."""
        labels = {"pod-security.kubernetes.io/enforce": "privileged"}
        await self.client.create(NAMESPACES, {"metadata": {"name": self.name, "labels": labels}})
        async with self.within(DEADLINE):
            while True:
                try:
                    await self.client.get(SERVICE_ACCOUNTS, "default", self.name)
                    await self.client.get(CONFIG_MAPS, "kube-root-ca.crt", self.name)
                    return
                except NotFound:
                    await asyncio.sleep(POLL_SECONDS)

    async def close(self) -> None:
        """Delete it with all that is in it."""
        for pod in (await self.client.list_page(RAW_PODS, self.name)).items:
            name = pod["metadata"]["name"]
            with suppress(NotFound):  # its ReplicaSet, say, was quicker
                await self.client.delete(RAW_PODS, name, self.name, grace_period_seconds=1)
                if pod["metadata"].get("finalizers"):
                    body = {"metadata": {"finalizers": None}}
                    await self.client.patch(RAW_PODS, name, body, self.name, type=Patch.MERGE)
        await self.client.delete(NAMESPACES, self.name)
