"""longshore itself on a control plane that is thrown away: `serve` and `control` as `up` starts them, simulated nodes.

kwok plays the nodes; what runs there prints one line, so that each job has a log to keep. Nobody fsyncs.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import msgspec

from longshore.cli.local import LocalApi
from longshore.cli.up import compose
from longshore.cluster.addons import catalog
from longshore.cluster.addons.kwok import Kwok, node
from longshore.cluster.cluster import LocalCluster
from longshore.cluster.parts import Part
from longshore.cluster.progress import silent
from longshore.errors import NotFound
from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.kube.objects import NODES, SERVICE_ACCOUNTS
from longshore.sdk.client import LongshoreClient

ROLES = ("serve", "control")
READY_SECONDS = 120.0
# one job of those that run on simulated nodes, and a tenant for whom hundreds of them are few
SMALL_JOB = msgspec.json.encode(
    {
        "name": "bench",
        "image": "busybox:1.37",
        "command": ["true"],
        "resources": {"cpu": "100m", "memory": "64Mi"},
    }
)
ROOMY = {"cpu": 100, "memory_gi": 500, "concurrent_jobs": 50, "queued_jobs": 10_000, "objects": 10_000}
LINE = "2026-01-01T00:00:00.000000000Z stdout F simulated\n"
# beside kwok's own stages: a pod of an Argo workflow ends as one of a Job does
MORE = """apiVersion: kwok.x-k8s.io/v1alpha1
kind: ClusterLogs
metadata:
  name: all
spec:
  logs:
  - {{logsFile: {file}, follow: false}}
---
apiVersion: kwok.x-k8s.io/v1alpha1
kind: Stage
metadata:
  name: pod-of-workflow-complete
spec:
  resourceRef: {{apiGroup: v1, kind: Pod}}
  selector:
    matchExpressions:
    - {{key: '.metadata.deletionTimestamp', operator: DoesNotExist}}
    - {{key: '.status.phase', operator: In, values: [Running]}}
    - {{key: '.metadata.ownerReferences.[].kind', operator: In, values: [Workflow]}}
  next:
    statusTemplate: |
      {{{{ $now := Now }}}}
      {{{{ $started := .status.startTime }}}}
      containerStatuses:
      {{{{ range .spec.containers }}}}
      - image: {{{{ .image | Quote }}}}
        name: {{{{ .name | Quote }}}}
        ready: false
        started: false
        restartCount: 0
        state:
          terminated:
            exitCode: 0
            finishedAt: {{{{ $now | Quote }}}}
            reason: Completed
            startedAt: {{{{ $started | Quote }}}}
      {{{{ end }}}}
      phase: Succeeded
"""


@dataclass(frozen=True)
class Product:
    """A control plane, by its administrator. longshore is there between `start` and `stop`."""

    cluster: LocalCluster
    admin: Client
    kubernetes: str

    async def start(self) -> LocalApi:
        return await compose(self.cluster, silent)

    async def stop(self) -> None:
        await self.cluster.up(without=ROLES)


@asynccontextmanager
async def product(*, simulated: int = 0) -> AsyncIterator[Product]:
    """Without nodes, or with so many simulated ones of 110 pods each."""
    with tempfile.TemporaryDirectory() as folder:
        cluster = LocalCluster("bench", state_root=Path(folder), fsync=False)
        cluster.folder.change_settings(nodes=())
        try:
            await cluster.up()
            async with Client(Config.load(cluster.kubeconfig_path)) as admin:
                version: str = msgspec.json.decode(await admin.call("GET", "/version"))["gitVersion"]
                if simulated:
                    await _simulate(cluster, admin, version, simulated)
                yield Product(cluster, admin, version)
        finally:
            await cluster.reset()


async def _simulate(cluster: LocalCluster, admin: Client, version: str, count: int) -> None:
    addon = Kwok()
    for resource, body in addon.objects:
        await admin.apply(resource, dict(body), field_manager="bench")
    binaries = await catalog.provide([addon.name], silent)
    await cluster.up(extra_parts=[_talking(addon.part(binaries[addon.name], cluster.addon_site(addon.name)), cluster)])
    capacity = {"cpu": "1000", "memory": "1000Gi", "ephemeral-storage": "1Ti", "pods": "110"}
    for number in range(count):
        body = node(f"simulated{number}", version, capacity)
        del body["spec"]["taints"]  # there are no others
        await admin.create(NODES, body)


def _talking(kwok: Part, cluster: LocalCluster) -> Part:
    """kwok whose containers have said one line."""
    line, config = cluster.folder.root / "line.log", cluster.folder.root / "kwok.yaml"
    line.write_text(LINE)
    config.write_text(MORE.format(file=line))
    return msgspec.structs.replace(kwok, argv=(*kwok.argv, f"--config={config}"))


async def new_tenants(api: LocalApi, names: Sequence[str], **limits: float) -> dict[str, str]:
    """A key for each, once all are ready."""
    async with LongshoreClient(api.url, api.admin_token) as client:
        for name in names:
            await client.tenants.create(name, limits=limits)
        async with asyncio.timeout(READY_SECONDS):
            while not all([(await client.tenants.get(name)).ready for name in names]):  # noqa: ASYNC110 - of others
                await asyncio.sleep(0.2)
        return {name: (await client.keys.create(name, name="bench")).key for name in names}


async def default_account(admin: Client, namespace: str) -> None:
    """Pods need it, and it comes a moment after the namespace."""
    async with asyncio.timeout(READY_SECONDS):
        while True:
            try:
                await admin.get(SERVICE_ACCOUNTS, "default", namespace)
                return
            except NotFound:
                await asyncio.sleep(0.05)


async def submit(session: aiohttp.ClientSession, url: str, key: str, body: bytes, number: str = "") -> None:
    """One job by the API, retried by nobody; `number` tells it from the others of the run. RuntimeError unless 202."""
    headers = {"X-API-Key": key, "Content-Type": "application/json"}
    if number:
        headers["Idempotency-Key"] = number
    async with session.post(f"{url}/v1/jobs", data=body, headers=headers) as answer:
        said = await answer.read()
        if answer.status != 202:
            raise RuntimeError(f"POST /v1/jobs was answered {answer.status}: {said.decode()[:300]}")
