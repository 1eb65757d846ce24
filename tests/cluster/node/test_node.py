"""The Node object itself."""

from datetime import UTC, datetime

from tests.cluster.nodes import NODE
from tests.cluster.space import Raw

from longshore.kube.client import Client
from longshore.kube.objects import LEASES, NODES


async def test_the_node_is_ready_and_says_what_it_is(client: Client) -> None:
    node: Raw = await client.get(NODES.read_as(Raw), NODE)
    conditions = {c["type"]: c for c in node["status"]["conditions"]}
    assert conditions["Ready"]["status"] == "True"
    assert conditions["Isolated"]["status"] == "False"
    assert "runAsUser is mapped" in conditions["Isolated"]["message"]
    assert node["metadata"]["labels"]["longshore.dev/isolation"] == "none"
    assert node["status"]["capacity"]["pods"] == "250"
    assert [a["type"] for a in node["status"]["addresses"]] == ["InternalIP"]
    assert "ExtendWebSocketsToKubelet" in node["status"]["declaredFeatures"]


async def test_the_node_keeps_its_lease(client: Client) -> None:
    lease = await client.get(LEASES, NODE, "kube-node-lease")
    assert lease.spec.renew_time is not None
    assert (datetime.now(UTC) - lease.spec.renew_time).total_seconds() < 40
