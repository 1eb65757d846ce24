"""kubeconfigs as people have them, and the pod's own account."""

import base64
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from longshore.errors import UserMistake
from longshore.kube import config
from longshore.kube.config import Config


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("KUBE") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


def write(
    path: Path, *, cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None, **more: Any
) -> Path:
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [{"name": "c", "cluster": {"server": "http://10.0.0.1:8080", **(cluster or {})}}],
        "users": [{"name": "u", "user": user or {}}],
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "blue"}}],
        **more,
    }
    path.write_text(yaml.safe_dump(document))
    return path


def test_a_file_gives_server_namespace_and_token(tmp_path: Path) -> None:
    loaded = Config.load(write(tmp_path / "config", user={"token": "s3cret"}))
    assert (loaded.server, loaded.namespace, loaded.token()) == ("http://10.0.0.1:8080", "blue", "s3cret")


def test_nothing_secret_is_in_its_repr(tmp_path: Path) -> None:
    path = write(tmp_path / "config", user={"token": "s3cret"}, cluster={"proxy-url": "http://me:s3cret@proxy"})
    assert "s3cret" not in repr(Config.load(path))


def test_another_context_may_be_named(tmp_path: Path) -> None:
    contexts = [{"name": "there", "context": {"cluster": "c", "user": "u"}}]
    path = write(tmp_path / "config", contexts=contexts)
    assert Config.load(path, "there").namespace == "default"
    with pytest.raises(UserMistake, match="no context 'here'") as caught:
        Config.load(path)
    assert caught.value.hint == "it has: there"


def test_of_several_files_the_first_that_names_something_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = write(tmp_path / "first", contexts=[], users=None)
    second = write(tmp_path / "second", cluster={"server": "http://other"}, user={"token": "from second"})
    monkeypatch.setenv("KUBECONFIG", f"{first}{os.pathsep}{tmp_path / 'missing'}{os.pathsep}{second}")
    loaded = Config.load()
    assert (loaded.server, loaded.token()) == ("http://10.0.0.1:8080", "from second")


def test_the_home_folders_file_is_the_default(tmp_path: Path) -> None:
    (tmp_path / ".kube").mkdir()
    write(tmp_path / ".kube" / "config")
    assert Config.load().server == "http://10.0.0.1:8080"


def test_a_token_file_is_relative_to_the_kubeconfig_and_read_again(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("old\n")
    loaded = Config.load(write(tmp_path / "config", user={"tokenFile": "token"}))
    assert loaded.token() == "old"
    (tmp_path / "token").write_text("new\n")
    assert loaded.token() == "new"


def test_a_tls_server_name_and_a_proxy_are_taken(tmp_path: Path) -> None:
    cluster = {"server": "https://10.0.0.1", "tls-server-name": "kubernetes", "proxy-url": "http://proxy:3128"}
    loaded = Config.load(write(tmp_path / "config", cluster=cluster))
    assert (loaded.server_hostname, loaded.proxy) == ("kubernetes", "http://proxy:3128")
    assert loaded.ssl is not None
    assert loaded.ssl.check_hostname


def test_verification_is_left_out_only_when_asked(tmp_path: Path) -> None:
    cluster = {"server": "https://10.0.0.1", "insecure-skip-tls-verify": True}
    loaded = Config.load(write(tmp_path / "config", cluster=cluster))
    assert loaded.ssl is not None
    assert not loaded.ssl.check_hostname


def test_the_environments_proxy_is_used_but_not_for_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    monkeypatch.setenv("no_proxy", "internal.example")
    assert Config.load(write(tmp_path / "a")).proxy == "http://proxy:3128"
    for host in ("127.0.0.1", "localhost", "[::1]", "api.internal.example"):
        assert Config.load(write(tmp_path / "b", cluster={"server": f"http://{host}:1"})).proxy is None


@pytest.mark.parametrize(
    ("cluster", "user", "match"),
    [
        ({"server": ""}, {}, "not a plain http"),
        ({"server": "ftp://x"}, {}, "not a plain http"),
        ({"server": "https://me:s3cret@x"}, {}, "not a plain http"),
        ({"server": "https://x", "certificate-authority": "missing.crt"}, {}, "cannot be read"),
        ({"server": "https://x", "certificate-authority-data": "%%"}, {}, "not base64"),
        (
            {"server": "https://x", "certificate-authority-data": base64.b64encode(b"x").decode()},
            {},
            "must be PEM|used",
        ),
        ({}, {"auth-provider": {"name": "gcp"}}, "auth-provider is gone"),
    ],
)
def test_what_cannot_be_used_is_said(tmp_path: Path, cluster: dict[str, Any], user: dict[str, Any], match: str) -> None:
    with pytest.raises(UserMistake, match=match) as caught:
        Config.load(write(tmp_path / "config", cluster=cluster, user=user))
    assert "s3cret" not in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize("text", ["{", "[]", "clusters: 7", "just words"])
def test_a_file_that_is_no_kubeconfig_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "config").write_text(text)
    with pytest.raises(UserMistake, match="is not a kubeconfig"):
        Config.load(tmp_path / "config")


def test_without_any_kubeconfig_the_way_to_one_is_said() -> None:
    with pytest.raises(UserMistake, match="no kubeconfig was found"):
        Config.load()


def test_in_a_pod_the_account_that_is_mounted_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, authority: bytes
) -> None:
    monkeypatch.setattr(config, "SERVICE_ACCOUNT", tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    (tmp_path / "namespace").write_text("blue")
    (tmp_path / "token").write_text("mine")
    (tmp_path / "ca.crt").write_bytes(authority)
    loaded = Config.load()
    assert (loaded.server, loaded.namespace, loaded.token()) == ("https://[fd00::1]:443", "blue", "mine")
    assert loaded.ssl is not None
    assert len(loaded.ssl.get_ca_certs()) == 1


def test_a_pod_without_an_account_is_told_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(config, "SERVICE_ACCOUNT", tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    with pytest.raises(UserMistake, match="does not run in a pod"):
        Config.load()
