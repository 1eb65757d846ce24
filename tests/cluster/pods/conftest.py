"""How pods behave, asked through the API alone: these tests run against any cluster whose kubeconfig is given."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from longshore.cluster import binary
from longshore.errors import LongshoreError, NotFound
from longshore.kube.client import Client
from longshore.kube.objects import CONFIG_MAPS, EVENTS, JOBS, NAMESPACES, PODS, SECRETS, SERVICE_ACCOUNTS, Patch

Raw = dict[str, Any]
RAW_PODS = PODS.read_as(Raw)
RAW_JOBS = JOBS.read_as(Raw)
POLL_SECONDS = 0.05


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


def waits_for(reason: str, container: str = "main") -> Callable[[Raw], bool]:
    return lambda pod: status_of(pod, container).get("state", {}).get("waiting", {}).get("reason") == reason


class Namespace:
    """A namespace of its own for one test."""

    def __init__(self, client: Client, name: str) -> None:
        self.client = client
        self.name = name

    async def create(self, *containers: Raw, name: str = "pod", meta: Raw | None = None, **spec: Any) -> str:
        """A pod that is not restarted unless `spec` says so."""
        body = {
            "metadata": {"name": name, **(meta or {})},
            "spec": {
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 5,
                "containers": list(containers),
                **spec,
            },
        }
        await self.client.create(RAW_PODS, body, self.name)
        return name

    async def run(self, *containers: Raw, name: str = "pod", deadline: float = 30.0, **spec: Any) -> Raw:
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

    async def until(self, holds: Callable[[Raw], bool], name: str = "pod", deadline: float = 30.0) -> Raw:
        """The pod once `holds`; what it was instead is in the failure."""
        pod: Raw = {}
        try:
            async with asyncio.timeout(deadline):
                while True:
                    pod = await self.client.get(RAW_PODS, name, self.name)
                    if holds(pod):
                        return pod
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise AssertionError(f"not in {deadline} s: {pod.get('status')}") from None

    async def gone(self, name: str = "pod", deadline: float = 30.0) -> None:
        async with asyncio.timeout(deadline):
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

    async def says(self, text: str, name: str = "pod", container: str | None = None, deadline: float = 30.0) -> str:
        """Wait until the log of a running container holds `text`."""
        said = ""
        try:
            async with asyncio.timeout(deadline):
                while text not in said:
                    try:
                        said = await self.log(name, container)
                    except LongshoreError:  # it has not started yet
                        said = ""
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise AssertionError(f"{text!r} is not in {said!r}") from None
        return said

    async def event(self, reason: str, deadline: float = 10.0) -> str:
        """The message of the first event with this reason."""
        async with asyncio.timeout(deadline):
            while True:
                for event in (await self.client.list_page(EVENTS, self.name)).items:
                    if event.reason == reason:
                        return event.message
                await asyncio.sleep(POLL_SECONDS)

    async def config_map(self, name: str, **data: str) -> None:
        await self.client.create(CONFIG_MAPS, {"metadata": {"name": name}, "data": data}, self.name)

    async def secret(self, name: str, **data: str) -> None:
        await self.client.create(SECRETS, {"metadata": {"name": name}, "stringData": data}, self.name)

    async def job(self, *containers: Raw, name: str = "job", pod: Raw | None = None, **spec: Any) -> str:
        template = {"spec": {"restartPolicy": "Never", "containers": list(containers), **(pod or {})}}
        body = {"metadata": {"name": name}, "spec": {"backoffLimit": 0, "template": template, **spec}}
        await self.client.create(RAW_JOBS, body, self.name)
        return name

    async def job_until(self, holds: Callable[[Raw], bool], name: str = "job", deadline: float = 60.0) -> Raw:
        job: Raw = {}
        try:
            async with asyncio.timeout(deadline):
                while True:
                    job = await self.client.get(RAW_JOBS, name, self.name)
                    if holds(job):
                        return job
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise AssertionError(f"not in {deadline} s: {job.get('status')}") from None

    async def pods_of(self, job: str) -> list[Raw]:
        page = await self.client.list_page(RAW_PODS, self.name, label_selector=f"batch.kubernetes.io/job-name={job}")
        return page.items


@pytest.fixture
async def space(client: Client) -> AsyncIterator[Namespace]:
    """A namespace, deleted afterwards, in which pods may be created at once."""
    name = f"pods-{uuid.uuid4().hex[:8]}"
    await client.create(NAMESPACES, {"metadata": {"name": name}})
    async with asyncio.timeout(30):
        while True:
            try:
                await client.get(SERVICE_ACCOUNTS, "default", name)
                await client.get(CONFIG_MAPS, "kube-root-ca.crt", name)
                break
            except NotFound:
                await asyncio.sleep(POLL_SECONDS)
    yield Namespace(client, name)
    for pod in (await client.list_page(RAW_PODS, name)).items:
        body = {"metadata": {"finalizers": None}}
        await client.delete(RAW_PODS, pod["metadata"]["name"], name, grace_period_seconds=1)
        if pod["metadata"].get("finalizers"):
            await client.patch(RAW_PODS, pod["metadata"]["name"], body, name, type=Patch.MERGE)
    await client.delete(NAMESPACES, name)


Kubectl = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
async def kubectl(kubeconfig: Path, space: Namespace) -> Kubectl:
    """Run kubectl in the test's namespace: exit code, stdout, stderr."""
    program = await binary.provide()

    async def run(*words: str, stdin: str = "", deadline: float = 30.0) -> tuple[int, str, str]:
        command = [str(program), "kubectl", "--kubeconfig", str(kubeconfig), "-n", space.name, *words]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
        async with asyncio.timeout(deadline):
            out, err = await process.communicate(stdin.encode())
        return process.returncode or 0, out.decode(), err.decode()

    return run
