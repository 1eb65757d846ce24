import re
from pathlib import Path

import pytest

from longshore.cluster.controlplane import CONTROL_PLANE, PORT_NAMES, ControlPlane
from longshore.cluster.parts import Part, check_order
from longshore.cluster.state import Folder, Settings

PORTS = {name: 20_000 + number for number, name in enumerate(PORT_NAMES)}


def make(tmp_path: Path, *, fsync: bool = True, kubernetes: str = "1.37.1") -> dict[str, Part]:
    folder = Folder("a", tmp_path)
    folder.make()
    parts = ControlPlane("a", folder, PORTS).parts(
        Path("/bin/longshore-controlplane"), Settings(fsync=fsync, kubernetes=kubernetes)
    )
    check_order(parts)
    return {part.name: part for part in parts}


@pytest.fixture
def parts(tmp_path: Path) -> dict[str, Part]:
    return make(tmp_path)


def flag(part: Part, name: str) -> str:
    found = [word.partition("=")[2] for word in part.argv if word.startswith(f"--{name}=")]
    assert len(found) == 1, f"{part.name} has --{name} {len(found)} times"
    return found[0]


def test_each_part_is_the_one_binary_called_by_its_name(parts: dict[str, Part]) -> None:
    assert tuple(parts) == CONTROL_PLANE
    assert all(part.argv[:2] == ("/bin/longshore-controlplane", name) for name, part in parts.items())


def test_each_listens_on_loopback_alone(parts: dict[str, Part]) -> None:
    for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler"):
        assert flag(parts[name], "bind-address") == "127.0.0.1"
    for purpose in ("client", "peer"):
        assert flag(parts["etcd"], f"listen-{purpose}-urls").startswith("https://127.0.0.1:")


def test_each_waits_for_what_it_needs(parts: dict[str, Part]) -> None:
    assert parts["etcd"].after == ()
    assert parts["kube-apiserver"].after == ("etcd",)
    assert parts["kube-controller-manager"].after == parts["kube-scheduler"].after == ("kube-apiserver",)


def test_authorisation_is_on_and_nodes_are_restricted(parts: dict[str, Part]) -> None:
    api = parts["kube-apiserver"]
    assert flag(api, "authorization-mode") == "Node,RBAC"
    assert flag(api, "enable-admission-plugins") == "NodeRestriction"
    assert flag(api, "kubelet-certificate-authority").endswith("/pki/ca.crt")
    assert flag(parts["kube-controller-manager"], "use-service-account-credentials") == "true"


def test_etcd_and_the_front_proxy_trust_authorities_of_their_own(parts: dict[str, Part]) -> None:
    api = parts["kube-apiserver"]
    trusted = {flag(api, name) for name in ("client-ca-file", "etcd-cafile", "requestheader-client-ca-file")}
    assert len(trusted) == 3
    assert flag(parts["etcd"], "client-cert-auth") == flag(parts["etcd"], "peer-client-cert-auth") == "true"
    assert flag(parts["etcd"], "trusted-ca-file") == flag(api, "etcd-cafile")


def test_controllers_and_scheduler_are_not_slowed_down(parts: dict[str, Part]) -> None:
    for name in ("kube-controller-manager", "kube-scheduler"):
        assert flag(parts[name], "kube-api-qps") == "2000"
        assert flag(parts[name], "kube-api-burst") == "4000"
    assert flag(parts["kube-controller-manager"], "concurrent-job-syncs") == "20"


def test_every_file_that_is_named_exists_and_is_in_the_folder_of_the_cluster(
    tmp_path: Path, parts: dict[str, Part]
) -> None:
    words = [word for part in parts.values() for word in part.argv]
    files = [Path(found[1]) for word in words if (found := re.match(r"--[\w-]+(?:file|config|key|cert)=(/.*)", word))]
    assert len(files) > 20
    assert all(file.is_relative_to(tmp_path) and file.exists() for file in files)


def test_fsync_is_left_out_only_where_it_was_asked_for(tmp_path: Path) -> None:
    assert "--unsafe-no-fsync" not in make(tmp_path)["etcd"].argv
    assert "--unsafe-no-fsync" in make(tmp_path, fsync=False)["etcd"].argv


def test_the_same_again_gives_the_same_parts(tmp_path: Path) -> None:
    assert make(tmp_path) == make(tmp_path)


def test_before_1_36_the_api_server_hands_on_what_process_nodes_understand(tmp_path: Path) -> None:
    gate = "--feature-gates=TranslateStreamCloseWebsocketRequests=false"
    assert gate in make(tmp_path, kubernetes="1.35.0")["kube-apiserver"].argv
    assert gate not in make(tmp_path, kubernetes="1.36.0")["kube-apiserver"].argv
