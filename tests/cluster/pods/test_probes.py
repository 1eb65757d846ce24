"""Readiness, liveness and startup probes, and readiness gates."""

import pytest
from tests.cluster.space import RAW_PODS, Kubectl, Namespace, Raw, has, is_ready, is_running, shell, status_of

from longshore.kube.objects import Patch

FOREVER = "while :; do sleep 0.05; done"


def server(port: int, **fields: object) -> Raw:
    """Serves one file over HTTP at the pod's address."""
    script = f'mkdir /tmp/www; cd /tmp/www; touch file; exec python3 -m http.server {port} --bind "$POD_IP"'
    env = [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]
    ports = [{"name": "web", "containerPort": port}]
    return {"name": "main", "image": "python", "command": ["sh", "-c", script], "env": env, "ports": ports, **fields}


async def test_readiness_by_exec_follows_the_container(space: Namespace) -> None:
    probe = {"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 1, "failureThreshold": 1}
    await space.create(shell(FOREVER, readinessProbe=probe))
    await space.until(lambda pod: status_of(pod).get("started", False) and not is_ready(pod))
    await space.do("touch", "/tmp/ready")
    await space.until(is_ready)
    await space.do("rm", "/tmp/ready")
    await space.until(lambda pod: not is_ready(pod))


async def test_readiness_by_http_asks_the_pods_address(space: Namespace) -> None:
    probe = {"httpGet": {"path": "/file", "port": "web"}, "periodSeconds": 1}
    await space.create(server(18471, readinessProbe=probe))
    await space.until(is_ready)


async def test_readiness_by_http_fails_with_an_error_of_the_server(space: Namespace) -> None:
    probe = {"httpGet": {"path": "/missing", "port": "web"}, "periodSeconds": 1}
    await space.create(server(18472, readinessProbe=probe))
    await space.event("Unhealthy", "404")
    assert not is_ready(await space.until(is_running))


async def test_readiness_by_tcp_succeeds_where_somebody_listens(space: Namespace) -> None:
    await space.create(server(18473, readinessProbe={"tcpSocket": {"port": "web"}, "periodSeconds": 1}))
    await space.until(is_ready)


async def test_readiness_by_tcp_fails_where_nobody_listens(space: Namespace) -> None:
    await space.create(shell(FOREVER, readinessProbe={"tcpSocket": {"port": 9}, "periodSeconds": 1}))
    assert "Readiness probe failed" in await space.event("Unhealthy")


@pytest.mark.process_node(field="spec.containers[0].readinessProbe.grpc", refused="gRPC is not spoken")
async def test_readiness_by_grpc_fails_where_nobody_listens(space: Namespace) -> None:
    await space.create(shell(FOREVER, readinessProbe={"grpc": {"port": 9}, "periodSeconds": 1}))
    assert "Readiness probe failed" in await space.event("Unhealthy")


async def test_readiness_may_need_several_successes(space: Namespace, kubectl: Kubectl) -> None:
    asked = {"command": ["sh", "-c", "echo x >> /tmp/asked"]}
    await space.create(shell(FOREVER, readinessProbe={"exec": asked, "periodSeconds": 1, "successThreshold": 3}))
    await space.until(is_ready)
    _, out, _ = await kubectl("exec", "pod", "--", "wc", "-l", "/tmp/asked")
    assert int(out.split()[0]) >= 3


async def test_a_failed_liveness_probe_starts_the_container_again(space: Namespace) -> None:
    probe = {"exec": {"command": ["test", "!", "-e", "/tmp/sick"]}, "periodSeconds": 1, "failureThreshold": 1}
    script = f"sleep 1; touch /tmp/sick; {FOREVER}"
    await space.create(shell(script, livenessProbe=probe), restartPolicy="Always", terminationGracePeriodSeconds=1)
    pod = await space.until(lambda pod: status_of(pod).get("restartCount", 0) >= 1)
    assert pod["status"]["phase"] == "Running"


async def test_a_liveness_probe_may_have_a_grace_of_its_own(space: Namespace) -> None:
    probe = {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 1}
    script = f"trap '' TERM; touch /tmp/up; {FOREVER}"
    container = shell(script, livenessProbe={**probe, "terminationGracePeriodSeconds": 1}, startupProbe=has("/tmp/up"))
    await space.create(container, restartPolicy="Always", terminationGracePeriodSeconds=600)
    pod = await space.until(lambda pod: status_of(pod).get("restartCount", 0) >= 1)
    assert status_of(pod)["lastState"]["terminated"]["exitCode"] == 137


async def test_a_startup_probe_that_never_succeeds_ends_the_container(space: Namespace) -> None:
    probe = {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 2}
    pod = await space.run(shell(FOREVER, startupProbe=probe), terminationGracePeriodSeconds=1)
    assert pod["status"]["phase"] == "Failed"
    assert "startup probe" in (await space.event("Unhealthy")).lower()


async def test_liveness_is_not_asked_before_the_startup_probe_has_succeeded(space: Namespace) -> None:
    alive = {**has("/tmp/up"), "failureThreshold": 1}
    await space.create(shell(f"sleep 2.5; touch /tmp/up; {FOREVER}", livenessProbe=alive, startupProbe=has("/tmp/up")))
    pod = await space.until(is_ready)
    assert status_of(pod)["restartCount"] == 0


async def test_a_command_that_takes_too_long_is_a_failed_probe(space: Namespace) -> None:
    probe = {"exec": {"command": ["sleep", "30"]}, "timeoutSeconds": 1, "periodSeconds": 1}
    await space.create(shell(FOREVER, readinessProbe=probe))
    assert "Readiness probe" in await space.event("Unhealthy")


async def test_a_readiness_gate_holds_a_pod_until_somebody_opens_it(space: Namespace) -> None:
    await space.create(shell(FOREVER), readinessGates=[{"conditionType": "example.com/open"}])
    assert not is_ready(await space.until(lambda pod: status_of(pod).get("ready", False)))
    opened = {"conditions": [{"type": "example.com/open", "status": "True"}]}
    await space.client.patch(
        RAW_PODS, "pod", {"status": opened}, space.name, type=Patch.STRATEGIC, subresource="status"
    )
    await space.until(is_ready)
