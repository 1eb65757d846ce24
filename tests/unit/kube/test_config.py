"""kubeconfigs as people have them, and the pod's own account."""

import base64
import json
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
        ({"server": ""}, {}, "has no server"),
        ({"server": "ftp://x"}, {}, "not a plain http"),
        ({"server": "https://me:s3cret@x"}, {}, "not a plain http"),
        ({"server": "https://x", "certificate-authority": "missing.crt"}, {}, "cannot be read"),
        ({"server": "https://x", "certificate-authority-data": "%%"}, {}, "not base64"),
        (
            {"server": "https://x", "certificate-authority-data": base64.b64encode(b"x").decode()},
            {},
            "certificates for the API server cannot be used",
        ),
        ({"server": "https://x", "proxy-url": "socks5://me:s3cret@x"}, {}, "is a socks5 proxy"),
        ({"server": "https://x"}, {"client-certificate-data": "eA=="}, "without its key"),
        ({}, {"username": "me", "password": "s3cret"}, "no passwords"),
        ({}, {"as-groups": ["system:masters"]}, "impersonates nobody"),
        ({}, {"token": "s3cret\ns3cret"}, "no token can hold"),
        ({}, {"auth-provider": {"name": "gcp"}}, "auth-provider is gone"),
    ],
)
def test_what_cannot_be_used_is_said(tmp_path: Path, cluster: dict[str, Any], user: dict[str, Any], match: str) -> None:
    with pytest.raises(UserMistake, match=match) as caught:
        Config.load(write(tmp_path / "config", cluster=cluster, user=user))
    assert "s3cret" not in f"{caught.value.message} {caught.value.hint}"


def test_a_token_is_taken_without_the_space_around_it(tmp_path: Path) -> None:
    assert Config.load(write(tmp_path / "config", user={"token": "s3cret\n"})).token() == "s3cret"


def test_a_token_stands_in_until_its_file_is_there(tmp_path: Path) -> None:
    loaded = Config.load(write(tmp_path / "config", user={"token": "first", "tokenFile": "token"}))
    assert loaded.token() == "first"
    (tmp_path / "token").write_text("second")
    assert loaded.token() == "second"


def test_whom_to_act_as_goes_with_each_request(tmp_path: Path) -> None:
    user = {"as": "ada", "as-uid": "7", "as-groups": ["a", "b"], "as-user-extra": {"acme.com/team": ["x", "y"]}}
    assert Config.load(write(tmp_path / "config", user=user)).headers == (
        ("Impersonate-User", "ada"),
        ("Impersonate-Uid", "7"),
        ("Impersonate-Group", "a"),
        ("Impersonate-Group", "b"),
        ("Impersonate-Extra-acme.com%2Fteam", "x"),
        ("Impersonate-Extra-acme.com%2Fteam", "y"),
    )


def test_a_plugin_is_told_all_about_the_cluster(tmp_path: Path, authority: bytes) -> None:
    (tmp_path / "ca.crt").write_bytes(authority)
    cluster = {
        "server": "https://10.0.0.1",
        "tls-server-name": "kubernetes",
        "certificate-authority": "ca.crt",
        "proxy-url": "http://proxy:3128",
        "disable-compression": True,
        "extensions": [
            {"name": "other", "extension": 1},
            {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "x", "list": [1, None]}},
        ],
    }
    credential = '{"apiVersion": "client.authentication.k8s.io/v1", "status": {"token": "t"}}'
    script(tmp_path / "plugin", f"echo \"$KUBERNETES_EXEC_INFO\" > {tmp_path}/info; echo '{credential}'")
    user = {"exec": {"command": "./plugin", "provideClusterInfo": True, "env": None, "args": None}}
    assert Config.load(write(tmp_path / "config", cluster=cluster, user=user)).token() == "t"
    assert json.loads((tmp_path / "info").read_text())["spec"]["cluster"] == {
        "server": "https://10.0.0.1",
        "tls-server-name": "kubernetes",
        "certificate-authority-data": base64.b64encode(authority).decode(),
        "proxy-url": "http://proxy:3128",
        "disable-compression": True,
        "config": {"audience": "x", "list": [1, None]},
    }


def test_a_plugin_is_not_asked_where_there_is_a_token_already(tmp_path: Path) -> None:
    user = {"token": "mine", "exec": {"command": "./plugin"}}
    assert Config.load(write(tmp_path / "config", user=user)).token() == "mine"


def test_loading_asks_no_plugin(tmp_path: Path) -> None:
    script(tmp_path / "plugin", f"touch {tmp_path}/asked")
    user = {"exec": {"command": "./plugin"}}
    Config.load(write(tmp_path / "config", cluster={"server": "https://10.0.0.1"}, user=user))
    assert not (tmp_path / "asked").exists()


def test_certificates_that_change_on_disk_are_used(tmp_path: Path, authority: bytes, authority_key: bytes) -> None:
    for name, content in (("ca.crt", authority), ("client.crt", authority), ("client.key", authority_key)):
        (tmp_path / name).write_bytes(content)
    cluster = {"server": "https://10.0.0.1", "certificate-authority": "ca.crt"}
    user = {"client-certificate": "client.crt", "client-key": "client.key"}
    loaded = Config.load(write(tmp_path / "config", cluster=cluster, user=user))
    assert loaded.renewed_ssl() is loaded.ssl
    (tmp_path / "client.crt").write_bytes(authority + b"\n")
    assert loaded.renewed_ssl() is not loaded.ssl


def script(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


@pytest.mark.parametrize("text", ["{", "[]", "clusters: 7", "just words"])
def test_a_file_that_is_no_kubeconfig_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "config").write_text(text)
    with pytest.raises(UserMistake, match="is not a kubeconfig"):
        Config.load(tmp_path / "config")


def test_without_any_kubeconfig_the_way_to_one_is_said() -> None:
    with pytest.raises(UserMistake, match="no kubeconfig was found"):
        Config.load()


def test_a_kubeconfig_that_is_not_where_it_is_said_to_be_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "~/nowhere")
    with pytest.raises(UserMistake, match="there is no kubeconfig at"):
        Config.load()


def test_the_home_folder_may_be_written_as_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "config")
    assert Config.load("~/config").namespace == "blue"
    monkeypatch.setenv("KUBECONFIG", "~/config")
    assert Config.load().namespace == "blue"


def test_an_empty_file_has_no_context(tmp_path: Path) -> None:
    (tmp_path / "config").touch()
    with pytest.raises(UserMistake, match="no `current-context`"):
        Config.load(tmp_path / "config")


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
