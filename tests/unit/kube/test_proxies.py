"""Which proxy is taken, with the environments that people have."""

import os

import pytest

from longshore.errors import UserMistake
from longshore.kube.proxies import choose

PROXY = "http://proxy:3128"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy"])
def test_the_environments_proxy_leads_to_servers_elsewhere(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, PROXY)
    assert choose("https://10.0.0.1:6443", None) == PROXY
    assert choose("http://10.0.0.1:8080", None) is None


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "[::1]"])
def test_it_never_leads_to_this_machine_itself(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    assert choose(f"https://{host}:6443", None) is None
    assert choose(f"https://{host}:6443", PROXY) == PROXY


@pytest.mark.parametrize(
    ("exempt", "server"),
    [
        ("*", "https://api.example"),
        ("api.example", "https://api.example"),
        ("example", "https://api.example:6443"),
        (".example", "https://api.example"),
        ("*.example", "https://api.example"),
        ("other, API.example ,", "https://api.EXAMPLE"),
        ("api.example:6443", "https://api.example:6443"),
        ("10.96.0.1", "https://10.96.0.1"),
        ("10.96.0.1:443", "https://10.96.0.1"),
        ("10.0.0.0/8", "https://10.96.0.1"),
        ("fd00::/8", "https://[fd00::1]:6443"),
        ("fd00::1", "https://[fd00::1]:6443"),
        ("[fd00::1]:6443", "https://[fd00::1]:6443"),
    ],
)
def test_no_proxy_exempts(exempt: str, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", exempt)
    assert choose(server, None) is None


@pytest.mark.parametrize(
    ("exempt", "server"),
    [
        (".example", "https://example"),
        ("ample", "https://api.example"),
        ("api.example:443", "https://api.example:6443"),
        ("10.0.0.0/16", "https://10.96.0.1"),
        ("10.0.0.0/99", "https://10.96.0.1"),
        ("10.0.0.0/8", "https://api.example"),
        ("96.0.1", "https://10.96.0.1"),
        ("fd00::2", "https://[fd00::1]:6443"),
    ],
)
def test_no_proxy_exempts_nothing_else(exempt: str, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", exempt)
    assert choose(server, None) == PROXY


def test_the_kubeconfigs_proxy_comes_first_and_knows_no_exemption(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://other")
    monkeypatch.setenv("NO_PROXY", "*")
    assert choose("https://api.example", PROXY) == PROXY


def test_a_scheme_may_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "proxy:3128")
    assert choose("https://api.example", None) == PROXY


@pytest.mark.parametrize(
    ("proxy", "match"),
    [
        ("socks5://me:s3cret@proxy", "proxy-url is a socks5 proxy"),
        ("http://me:s3cret@", "proxy-url is not the address of a proxy"),
        ("http://me:s3cret@proxy:port", "proxy-url is not the address of a proxy"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_told_without_its_password(proxy: str, match: str) -> None:
    with pytest.raises(UserMistake, match=match) as caught:
        choose("https://api.example", proxy)
    assert "http://HOST:PORT" in str(caught.value.hint)
    assert "s3cret" not in f"{caught.value.message} {caught.value.hint}"
