"""Readiness, liveness and startup probes."""

from tests.cluster.space import Namespace, is_ready, shell, status_of

FOREVER = "while :; do sleep 0.05; done"


async def test_readiness_by_exec_follows_the_container(space: Namespace) -> None:
    probe = {"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 1, "failureThreshold": 1}
    script = f"sleep 1; touch /tmp/ready; sleep 3; rm /tmp/ready; {FOREVER}"
    await space.create(shell(script, readinessProbe=probe))
    await space.until(lambda pod: status_of(pod).get("started", False) and not is_ready(pod))
    await space.until(is_ready)
    await space.until(lambda pod: not is_ready(pod))


async def test_readiness_by_http_asks_the_pods_address(space: Namespace) -> None:
    probe = {"httpGet": {"path": "/", "port": "web"}, "periodSeconds": 1}
    server = {
        "name": "main",
        "image": "python",
        "command": ["sh", "-c", 'cd /tmp && exec python3 -m http.server 18471 --bind "$POD_IP"'],
        "env": [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
        "ports": [{"name": "web", "containerPort": 18471}],
        "readinessProbe": probe,
    }
    await space.create(server)
    await space.until(is_ready)


async def test_readiness_by_tcp_fails_where_nobody_listens(space: Namespace) -> None:
    await space.create(shell(FOREVER, readinessProbe={"tcpSocket": {"port": 9}, "periodSeconds": 1}))
    assert "Readiness probe failed" in await space.event("Unhealthy")


async def test_a_failed_liveness_probe_starts_the_container_again(space: Namespace) -> None:
    probe = {"exec": {"command": ["test", "!", "-e", "/tmp/sick"]}, "periodSeconds": 1, "failureThreshold": 1}
    script = f"sleep 1; touch /tmp/sick; {FOREVER}"
    await space.create(shell(script, livenessProbe=probe), restartPolicy="Always", terminationGracePeriodSeconds=1)
    pod = await space.until(lambda pod: status_of(pod).get("restartCount", 0) >= 1)
    assert pod["status"]["phase"] == "Running"


async def test_a_startup_probe_that_never_succeeds_ends_the_container(space: Namespace) -> None:
    probe = {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 2}
    pod = await space.run(shell(FOREVER, startupProbe=probe), terminationGracePeriodSeconds=1)
    assert pod["status"]["phase"] == "Failed"
    assert "startup probe" in (await space.event("Unhealthy")).lower()
