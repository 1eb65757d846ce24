"""What a pod is called, by itself and in its own files."""

import pytest
from tests.cluster.space import Namespace, is_over


@pytest.mark.needs_mounts
async def test_the_hostname_is_the_pods_name(space: Namespace) -> None:
    assert await space.output("hostname; echo $HOSTNAME") == ["pod", "pod"]


@pytest.mark.needs_mounts
@pytest.mark.every_sandbox
async def test_a_hostname_of_its_own_and_aliases_are_in_the_hosts_file(space: Namespace) -> None:
    alias = {"hostAliases": [{"ip": "10.1.2.3", "hostnames": ["db.example"]}]}
    lines = await space.output("hostname; cat /etc/hosts", hostname="worker-7", **alias)
    assert lines[0] == "worker-7"
    assert any(line.split() == ["10.1.2.3", "db.example"] for line in lines)


@pytest.mark.needs_mounts
async def test_a_subdomain_gives_a_full_name_in_the_hosts_file(space: Namespace) -> None:
    lines = await space.output("hostname; cat /etc/hosts", hostname="worker", subdomain="ring")
    pod = await space.until(is_over)
    assert lines[0] == "worker"
    (names,) = [line.split()[1:] for line in lines if line.startswith(pod["status"]["podIP"])]
    assert names[0].startswith(f"worker.ring.{space.name}.svc.")
    assert names[1] == "worker"


@pytest.mark.needs_mounts
async def test_the_full_name_can_be_the_hostname(space: Namespace) -> None:
    (name,) = await space.output("hostname", subdomain="ring", setHostnameAsFQDN=True)
    assert name.startswith(f"pod.ring.{space.name}.svc.")


@pytest.mark.needs_mounts
async def test_a_pod_can_choose_its_name_servers(space: Namespace) -> None:
    config = {"nameservers": ["192.0.2.1"], "searches": ["example.org"], "options": [{"name": "ndots", "value": "2"}]}
    lines = await space.output("cat /etc/resolv.conf", dnsPolicy="None", dnsConfig=config)
    assert [line.split() for line in lines] == [
        ["search", "example.org"],
        ["nameserver", "192.0.2.1"],
        ["options", "ndots:2"],
    ]
