"""Argo Workflows' controller on the same control plane and the same simulated nodes: how fast workflows of one pod end.

Built from its module at the version that go.mod pins. As administrator, and without its executor: kwok plays the
container that would report results too, so the controller is spared the objects that these reports are. "default" is
how it ships: 20 requests a second, and another look at a workflow after 10 s. "tuned" has its requests all but
unlimited, twice the workers, and looks again after 0.1 s.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct

from bench.harness.product import Product, default_account
from longshore.cluster import binary
from longshore.cluster.addons.addon import pinned
from longshore.errors import AlreadyExists, NotFound
from longshore.kube.objects import CONFIG_MAPS, CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES, Object, Resource
from longshore.kube.reflector import Reflector
from longshore.kube.store import Store

PROGRAM = pinned(Path(__file__).with_name("go.mod"))
VERSION = PROGRAM.version
NAMESPACE = "argo"
CONFIG = "workflow-controller-configmap"
FLAGS: dict[str, tuple[str, ...]] = {
    "default": (),
    "tuned": ("--qps=5000", "--burst=5000", "--workflow-workers=64", "--pod-cleanup-workers=16"),
}
AGAIN: dict[str, dict[str, str]] = {"default": {}, "tuned": {"DEFAULT_REQUEUE_TIME": "100ms"}}
PATIENCE = 180.0
CALLERS = 16
SERVED_SECONDS = 60.0
# plural, kind; the last is cluster-scoped
KINDS = (
    ("workflows", "Workflow", True),
    ("cronworkflows", "CronWorkflow", True),
    ("workflowtemplates", "WorkflowTemplate", True),
    ("workflowtasksets", "WorkflowTaskSet", True),
    ("workflowtaskresults", "WorkflowTaskResult", True),
    ("workflowartifactgctasks", "WorkflowArtifactGCTask", True),
    ("workfloweventbindings", "WorkflowEventBinding", True),
    ("clusterworkflowtemplates", "ClusterWorkflowTemplate", False),
)


class _Status(Struct, frozen=True, rename="camel"):
    phase: str = ""


class Workflow(Object, frozen=True):
    status: _Status = _Status()


WORKFLOWS: Resource[Workflow] = Resource("argoproj.io", "v1alpha1", "workflows", "Workflow", True, Workflow)


async def lives(bed: Product, count: int, how: str) -> dict[str, Any]:
    """From the first request until so many workflows have succeeded."""
    program = await binary.provide(program=PROGRAM)
    await _prepare(bed)
    store = Store(WORKFLOWS)
    async with _running(program, bed, FLAGS[how], AGAIN[how]):
        reflecting = asyncio.ensure_future(Reflector(bed.admin, store, namespace=NAMESPACE).run())
        try:
            await store.wait_synced(SERVED_SECONDS)
            await _run(bed, store, f"warm-{how}", 1)  # it has its caches in, and leads
            began = time.monotonic()
            await _run(bed, store, how, count)
            seconds = time.monotonic() - began
        finally:
            reflecting.cancel()
    return {"workflows": count, "seconds": round(seconds, 3), "rate": count / seconds, "flags": FLAGS[how]}


async def _run(bed: Product, store: Store[Workflow], prefix: str, count: int) -> None:
    names = iter(range(count))

    async def caller() -> None:
        for number in names:
            await bed.admin.create(WORKFLOWS, _workflow(f"{prefix}-{number}"), NAMESPACE)

    async with asyncio.timeout(PATIENCE), store.subscribe(bound=1_000_000) as changes:
        creating = asyncio.gather(*(caller() for _ in range(CALLERS)))
        left = {f"{prefix}-{number}" for number in range(count)}
        while left:
            for delta in await changes.next():
                if delta.new is not None and delta.new.status.phase in ("Succeeded", "Failed", "Error"):
                    if delta.new.status.phase != "Succeeded":
                        raise RuntimeError(f"the workflow {delta.new.metadata.name} is {delta.new.status.phase}")
                    left.discard(delta.new.metadata.name)
        await creating


def _workflow(name: str) -> dict[str, Any]:
    resources = {"requests": {"cpu": "100m", "memory": "64Mi"}}
    container = {"image": "busybox:1.37", "command": ["true"], "resources": resources}
    return {
        "apiVersion": WORKFLOWS.api_version,
        "kind": "Workflow",
        "metadata": {"name": name},
        "spec": {"entrypoint": "main", "templates": [{"name": "main", "container": container}]},
    }


@asynccontextmanager
async def _running(program: Path, bed: Product, flags: tuple[str, ...], more: dict[str, str]) -> AsyncIterator[None]:
    kubeconfig = bed.cluster.kubeconfig_path
    argv = [str(program), f"--kubeconfig={kubeconfig}", f"--namespace={NAMESPACE}", "--namespaced"]
    argv += ["--executor-image=argoexec", f"--configmap={CONFIG}", "--loglevel=error", *flags]
    environment = {"LEADER_ELECTION_DISABLE": "true", "HOME": str(bed.cluster.folder.root), **more}
    with (bed.cluster.folder.root / "argo.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(*argv, env=environment, stdout=log, stderr=log)
        try:
            yield
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def _prepare(bed: Product) -> None:
    for plural, kind, namespaced in KINDS:
        await bed.admin.apply(CUSTOM_RESOURCE_DEFINITIONS, _definition(plural, kind, namespaced), field_manager="bench")
    try:
        await bed.admin.create(NAMESPACES, {"metadata": {"name": NAMESPACE}})
    except AlreadyExists:
        return
    await default_account(bed.admin, NAMESPACE)
    config = {"metadata": {"name": CONFIG}, "data": {"metricsConfig": "enabled: false\n"}}
    await bed.admin.create(CONFIG_MAPS, config, NAMESPACE)
    async with asyncio.timeout(SERVED_SECONDS):
        while True:
            try:
                await bed.admin.list_page(WORKFLOWS, namespace=NAMESPACE, limit=1)
                return
            except NotFound:
                await asyncio.sleep(0.1)


def _definition(plural: str, kind: str, namespaced: bool) -> dict[str, Any]:
    """As the minimal CRDs that Argo ships: nothing is checked."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1alpha1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": CUSTOM_RESOURCE_DEFINITIONS.api_version,
        "kind": CUSTOM_RESOURCE_DEFINITIONS.kind,
        "metadata": {"name": f"{plural}.argoproj.io"},
        "spec": {
            "group": "argoproj.io",
            "names": {"kind": kind, "plural": plural},
            "scope": "Namespaced" if namespaced else "Cluster",
            "versions": [version],
        },
    }
