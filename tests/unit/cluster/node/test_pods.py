"""The addresses of pods."""

import json
from pathlib import Path

from longshore.cluster.node.pods import Addresses


def test_each_pod_has_an_address_until_it_is_released(tmp_path: Path) -> None:
    addresses = Addresses(tmp_path, "127.0.0.1")
    one, two = addresses.of("one"), addresses.of("two")
    assert one != two
    assert addresses.of("one") == one
    addresses.release("one")
    assert addresses.of("three") == one


def test_a_pod_of_an_earlier_node_keeps_its_address(tmp_path: Path) -> None:
    folder = tmp_path / "pods" / "u"
    folder.mkdir(parents=True)
    owner = {"namespace": "ns", "name": "p", "uid": "u", "pod_ip": "127.99.1.7"}
    (folder / "pod.json").write_text(json.dumps(owner))
    assert Addresses(tmp_path, "127.0.0.1").of("u") == "127.99.1.7"


def test_two_nodes_of_one_machine_use_other_networks(tmp_path: Path) -> None:
    assert Addresses(tmp_path / "a", "").of("x") != Addresses(tmp_path / "b", "").of("x")
