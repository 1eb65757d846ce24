"""Our client inside a pod, logged in by what every pod is given."""

import pytest
from tests.cluster.space import Namespace

from longshore.kube.objects import ROLE_BINDINGS

SCRIPT = """
import asyncio
from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.kube.objects import CONFIG_MAPS
from longshore.kube.reflector import Reflector
from longshore.kube.store import Store

async def main():
    async with Client(Config.load()) as client:
        store = Store(CONFIG_MAPS)
        reflecting = asyncio.create_task(Reflector(client, store, namespace=client.config.namespace).run())
        await store.wait_synced(60)
        made = await client.create(CONFIG_MAPS, {"metadata": {"name": "from-the-pod"}})
        await store.wait_for(made.metadata.resource_version, 60)
        print(store.get("from-the-pod", client.config.namespace).metadata.name)
        reflecting.cancel()

asyncio.run(main())
"""


@pytest.mark.needs_mounts
async def test_a_pod_reads_and_writes_with_its_own_account(space: Namespace) -> None:
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    subject = {"kind": "ServiceAccount", "name": "default", "namespace": space.name}
    await space.client.create(
        ROLE_BINDINGS, {"metadata": {"name": "all"}, "roleRef": role, "subjects": [subject]}, space.name
    )
    container = {"name": "main", "image": "longshore/runner", "command": ["python3", "-c", SCRIPT]}
    pod = await space.run(container, deadline=60)
    said = await space.log()
    assert pod["status"]["phase"] == "Succeeded", said
    assert said == "from-the-pod\n"
