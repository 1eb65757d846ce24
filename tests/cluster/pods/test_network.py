"""How a pod is reached."""

import pytest
from tests.cluster.space import SERVICES, Namespace, Raw, is_over, is_ready

ASK = """
import os, time, urllib.request
while True:
    try:
        print(urllib.request.urlopen(os.environ["URL"], timeout=2).read().decode(), end="")
        break
    except OSError:
        time.sleep(0.2)
"""


def server(port: int, **port_fields: object) -> Raw:
    script = f"mkdir /tmp/www; cd /tmp/www; echo here > file; exec python3 -m http.server {port}"
    probe = {"httpGet": {"path": "/file", "port": port}, "periodSeconds": 1}
    ports = [{"containerPort": port, **port_fields}]
    return {
        "name": "main",
        "image": "python",
        "command": ["sh", "-c", script],
        "ports": ports,
        "readinessProbe": probe,
    }


async def fetched(space: Namespace, url: str) -> str:
    """What another pod gets there."""
    env = [{"name": "URL", "value": url}]
    asking: Raw = {"name": "main", "image": "python", "command": ["python3", "-c", ASK], "env": env}
    await space.run(asking, name="client")
    return await space.log("client")


async def test_pods_reach_each_other_by_address(space: Namespace) -> None:
    await space.create(server(18475))
    pod = await space.until(is_ready)
    assert await fetched(space, f"http://{pod['status']['podIP']}:18475/file") == "here\n"


async def test_a_pod_on_the_hosts_network_has_the_hosts_address(space: Namespace) -> None:
    await space.output("true", hostNetwork=True)
    pod = await space.until(is_over)
    assert pod["status"]["podIP"] == pod["status"]["hostIP"]


@pytest.mark.process_node(
    field="spec.containers[0].ports[].hostPort", refused="pods use the host's network, ports cannot be mapped"
)
async def test_a_port_of_the_host_can_lead_to_one_of_the_pod(space: Namespace) -> None:
    await space.create(server(8000, hostPort=18476))
    pod = await space.until(is_ready)
    assert await fetched(space, f"http://{pod['status']['hostIP']}:18476/file") == "here\n"


@pytest.mark.process_node(differs="Services lead nowhere: the addresses of pods, 127/8, cannot be endpoints")
async def test_a_service_leads_to_its_pods(space: Namespace) -> None:
    service = {"metadata": {"name": "shop"}, "spec": {"ports": [{"port": 18477}], "selector": {"app": "shop"}}}
    made = await space.make(SERVICES, service)
    await space.create(server(18477), meta={"labels": {"app": "shop"}})
    await space.until(is_ready)
    if space.where.on_process_node:
        await space.event("FailedToUpdateEndpointSlices")
    else:
        assert await fetched(space, f"http://{made['spec']['clusterIP']}:18477/file") == "here\n"


@pytest.mark.process_node(differs="Services lead nowhere, so their addresses are not told")
async def test_services_are_told_by_variables(space: Namespace) -> None:
    service = {"metadata": {"name": "shop"}, "spec": {"ports": [{"port": 80}], "selector": {"app": "shop"}}}
    await space.make(SERVICES, service)
    (host,) = await space.output('echo "${SHOP_SERVICE_HOST-none}"')
    assert (host == "none") is space.where.on_process_node
