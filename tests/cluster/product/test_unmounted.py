"""Jobs on a node where nothing can be mounted: longshore's own containers, and the user's, find their paths."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.nodes import NODE, other_node

from longshore.cluster.cluster import LocalCluster
from longshore.kube.client import Client
from longshore.kube.objects import NODES, Patch

NewTenant = Callable[..., Awaitable[Any]]


@pytest.fixture
async def unmounted(cluster: LocalCluster, client: Client) -> AsyncIterator[str]:
    """The only node that takes pods meanwhile."""
    name = await other_node(cluster, client, "none")
    taints = (await client.get(NODES.read_as(dict[str, Any]), name))["spec"]["taints"]
    await client.patch(NODES, NODE, {"spec": {"unschedulable": True}})
    await client.patch(NODES, name, {"spec": {"taints": None}}, type=Patch.MERGE)
    yield name
    await client.patch(NODES, name, {"spec": {"taints": taints}}, type=Patch.MERGE)
    await client.patch(NODES, NODE, {"spec": {"unschedulable": False}})


async def test_a_job_runs_and_its_outputs_are_kept(
    unmounted: str, new_tenant: NewTenant, client: Client, tmp_path: Path
) -> None:
    tenant = await new_tenant()
    script = 'mkdir out; echo hello > out/a.txt; pwd > out/places; (cd "$HOME" && pwd) >> out/places'
    job = await tenant.client.jobs.submit("bash", ["bash", "-c", script], outputs=["out/**"])
    done = await tenant.client.jobs.wait(job.id, deadline=60)
    assert done.status == "Succeeded", done
    kept = {
        artifact.name: (await tenant.client.artifacts.save(job.id, artifact, tmp_path)).read_text()
        for artifact in await tenant.client.artifacts.list(job.id)
    }
    assert kept["out/a.txt"] == "hello\n"
    workspace, home = (Path(line) for line in kept["out/places"].split())
    assert workspace.name == "workspace"
    assert home == workspace.with_name("home")
