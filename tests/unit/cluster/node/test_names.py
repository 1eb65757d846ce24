"""What a pod is called, and whom it asks for names."""

from typing import Any

import msgspec
import pytest

from longshore.cluster.node.fields import Place
from longshore.cluster.node.model import Pod
from longshore.cluster.node.names import hostname, hosts, resolv_conf
from longshore.errors import UserMistake

MACHINES = "# made by hand\nsearch lan\nnameserver 10.0.0.1\noptions timeout:1\n"


def pod(name: str = "p", **spec: Any) -> Pod:
    return msgspec.convert({"metadata": {"name": name, "namespace": "ns"}, "spec": spec}, Pod)


def test_the_hostname_is_the_pods_name_cut_to_what_a_kernel_takes() -> None:
    assert hostname(pod("a" * 62 + "-bc")) == "a" * 62
    assert hostname(pod(hostname="worker")) == "worker"


def test_the_full_name_is_the_hostname_where_it_is_asked_for_and_short_enough() -> None:
    assert hostname(pod(subdomain="ring")) == "p"
    assert hostname(pod(setHostnameAsFQDN=True)) == "p"
    assert hostname(pod(subdomain="ring", setHostnameAsFQDN=True)) == "p.ring.ns.svc.cluster.local"
    with pytest.raises(UserMistake, match="longer than 64"):
        hostname(pod("p" * 50, subdomain="ring", setHostnameAsFQDN=True))


def test_the_hosts_file_knows_the_pod_and_its_aliases() -> None:
    aliases = [{"ip": "10.0.0.1", "hostnames": ["a", "b"]}]
    lines = [line.split() for line in hosts(pod(hostAliases=aliases), Place("127.1.2.3")).splitlines()]
    assert ["127.1.2.3", "p"] in lines
    assert ["10.0.0.1", "a", "b"] in lines


def test_a_pod_that_asks_for_nothing_has_the_machines_name_servers() -> None:
    assert resolv_conf(pod(), MACHINES) is None


def test_what_a_pod_asks_for_comes_after_what_the_machine_says() -> None:
    config = {"nameservers": ["192.0.2.1"], "searches": ["example.org"], "options": [{"name": "rotate"}]}
    lines = ["search lan example.org", "nameserver 10.0.0.1", "nameserver 192.0.2.1", "options timeout:1 rotate"]
    assert (resolv_conf(pod(dnsConfig=config), MACHINES) or "").splitlines() == lines


def test_what_a_pod_asks_for_may_be_all() -> None:
    config = {"nameservers": ["192.0.2.1"], "options": [{"name": "ndots", "value": "2"}]}
    assert resolv_conf(pod(dnsConfig=config, dnsPolicy="None"), MACHINES) == "nameserver 192.0.2.1\noptions ndots:2\n"
