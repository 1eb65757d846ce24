import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from longshore.cluster import kubeconfig
from longshore.cluster.certs import Authority
from longshore.errors import UserMistake
from longshore.kube.config import Config


@pytest.fixture
def written(tmp_path: Path) -> Path:
    authority = Authority(tmp_path / "pki", "ca")
    path = tmp_path / "kubeconfig"
    login = authority.client("admin", "admin")
    kubeconfig.write(path, name="longshore-a", server="https://127.0.0.1:1", ca=authority.pair.cert, login=login)
    return path


def names(config: dict[str, Any], kind: str) -> list[str]:
    return [entry["name"] for entry in config[kind]]


def test_our_own_client_reads_it_without_any_other_file(written: Path, tmp_path: Path) -> None:
    for path in (tmp_path / "pki").iterdir():
        path.unlink()
    config = Config.load(written)
    assert config.server == "https://127.0.0.1:1"
    assert config.ssl is not None
    assert stat.S_IMODE(written.stat().st_mode) == 0o600


def test_merging_keeps_what_is_there_and_selects_ours(written: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    theirs = {"name": "work", "cluster": {"server": "https://work"}}
    stale = {"name": "longshore-a", "cluster": {"server": "https://127.0.0.1:9"}}
    own.write_text(yaml.safe_dump({"clusters": [theirs, stale], "current-context": "work", "preferences": {"a": 1}}))
    assert kubeconfig.merge(written, own) == "longshore-a"
    merged = yaml.safe_load(own.read_text())
    assert names(merged, "clusters") == ["work", "longshore-a"]
    assert merged["clusters"][1]["cluster"]["server"] == "https://127.0.0.1:1"
    assert names(merged, "users") == names(merged, "contexts") == ["longshore-a"]
    assert merged["current-context"] == "longshore-a"
    assert merged["preferences"] == {"a": 1}


def test_merging_into_nothing_makes_a_file_for_its_owner_alone(written: Path, tmp_path: Path) -> None:
    own = tmp_path / "home" / ".kube" / "config"
    kubeconfig.merge(written, own)
    assert Config.load(own).server == "https://127.0.0.1:1"
    assert stat.S_IMODE(own.stat().st_mode) == 0o600


def test_merging_follows_a_link_instead_of_replacing_it(written: Path, tmp_path: Path) -> None:
    target, link = tmp_path / "dotfiles", tmp_path / "link"
    target.write_text("{}")
    link.symlink_to(target)
    kubeconfig.merge(written, link)
    assert link.is_symlink()
    assert Config.load(target).server == "https://127.0.0.1:1"


def test_clusters_that_are_merged_at_once_are_all_there(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "pki", "ca")
    login, own = authority.client("admin", "admin"), tmp_path / "home" / "config"

    def merge(name: str) -> str:
        path = tmp_path / name
        kubeconfig.write(path, name=name, server="https://127.0.0.1:1", ca=authority.pair.cert, login=login)
        return kubeconfig.merge(path, own)

    with ThreadPoolExecutor(8) as pool:
        merged = list(pool.map(merge, [f"one-{number}" for number in range(16)]))
    assert sorted(names(yaml.safe_load(own.read_text()), "contexts")) == sorted(merged)


@pytest.mark.parametrize("content", ["[]", "a: [", "text"])
def test_what_is_not_a_kubeconfig_is_left_alone(written: Path, tmp_path: Path, content: str) -> None:
    own = tmp_path / "own"
    own.write_text(content)
    with pytest.raises(UserMistake, match="nothing was changed"):
        kubeconfig.merge(written, own)
    assert own.read_text() == content


def test_the_users_own_is_the_first_that_kubectl_would_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", f"{os.pathsep}/one{os.pathsep}/two")
    assert kubeconfig.users_own() == Path("/one")
    monkeypatch.setenv("KUBECONFIG", "")
    monkeypatch.setenv("HOME", "/home/someone")
    assert kubeconfig.users_own() == Path("/home/someone/.kube/config")


def test_what_was_merged_is_taken_out_again_and_nothing_else(written: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    before = {"contexts": [{"name": "work"}], "clusters": [], "users": [{"name": "me"}], "current-context": "work"}
    own.write_text(yaml.safe_dump(before))
    context = kubeconfig.merge(written, own)
    assert kubeconfig.unmerge(written, own) == context
    assert yaml.safe_load(own.read_text()) == {**before, "current-context": ""}
    assert kubeconfig.unmerge(written, own) == ""


def test_a_namesake_of_another_cluster_is_left_alone(written: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    context = kubeconfig.merge(written, own)
    another = own.read_text().replace("client-key-data", "another-key")
    own.write_text(another)
    assert kubeconfig.unmerge(written, own) == ""
    assert own.read_text() == another
    assert context in another
