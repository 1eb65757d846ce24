import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509

from longshore.cluster.identities import Identities
from longshore.cluster.state import Folder, NodeSettings, is_free
from longshore.kube.config import Config


def identities(tmp_path: Path, *, anything_runs: bool = False) -> Identities:
    return Identities("a", Folder("a", tmp_path), lambda: anything_runs)


def certificate(kubeconfig: Path) -> x509.Certificate:
    pki = kubeconfig.parents[1] / "pki"
    return x509.load_pem_x509_certificate((pki / f"{kubeconfig.stem}-client.crt").read_bytes())


def test_a_service_account_logs_in_as_its_tokens_would(tmp_path: Path) -> None:
    path = identities(tmp_path).service_account("longshore-serve", "longshore-system")
    subject = certificate(path).subject.rfc4514_string()
    assert "CN=system:serviceaccount:longshore-system:longshore-serve" in subject
    assert "O=system:serviceaccounts:longshore-system" in subject


def test_a_node_is_told_all_it_needs(tmp_path: Path) -> None:
    part = identities(tmp_path).node(NodeSettings("node0"))
    assert part.argv[1:4] == ("-P", "-m", "longshore.cluster.node")
    flags = dict(zip(part.argv[4::2], part.argv[5::2], strict=True))
    assert flags["--name"] == part.name == "node0"
    assert flags["--address"] == "127.0.0.1"
    assert Path(flags["--root"]).is_dir()
    for file in ("--kubeconfig", "--tls-cert", "--tls-key", "--client-ca"):
        assert Path(flags[file]).is_file()
    assert part.after == ("kube-apiserver",)
    assert part.ready is not None
    assert part.ready.url == f"https://127.0.0.1:{flags['--port']}/healthz"
    assert "CN=system:node:node0" in certificate(Path(flags["--kubeconfig"])).subject.rfc4514_string()


def test_the_same_is_answered_again(tmp_path: Path) -> None:
    first, again = identities(tmp_path), identities(tmp_path)
    assert first.node(NodeSettings("node0")) == again.node(NodeSettings("node0"))
    assert first.port("serve") == again.port("serve")
    assert first.port("serve") != first.port("other")


@pytest.mark.parametrize("anything_runs", [True, False])
def test_a_port_that_is_taken_stays_ours_only_while_something_of_ours_runs(tmp_path: Path, anything_runs: bool) -> None:
    kept = identities(tmp_path).port("serve")
    with socket.create_server(("127.0.0.1", kept)):
        asked = identities(tmp_path, anything_runs=anything_runs)
        assert (asked.port("serve") == kept) is anything_runs
        asked.port("new")
        assert (asked.port("serve") == kept) is anything_runs
    assert is_free(kept)


def test_who_asks_at_the_same_time_gets_the_same_authority_and_server(tmp_path: Path) -> None:
    def ask(number: int) -> tuple[str, bytes]:
        path = identities(tmp_path).service_account(f"account-{number}", "default")
        return Config.load(path).server, (path.parents[1] / "pki" / "ca.crt").read_bytes()

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask, range(16)))) == 1
