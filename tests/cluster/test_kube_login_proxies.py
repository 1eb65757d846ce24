"""The way to the real API server through a proxy, named by the kubeconfig or by the environment."""

import socket
from pathlib import Path
from typing import Any

import pytest
import yaml

from longshore.errors import LongshoreError, Unavailable, UserMistake
from longshore.kube import proxies
from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.kube.objects import CONFIG_MAPS

from .logins import user_of
from .proxy import Proxy
from .watched import config_map, watching

ADMIN = "longshore-admin"
SECRET = "pa55word"


@pytest.fixture
def document(kubeconfig: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(kubeconfig.read_text())
    return document


def through(document: dict[str, Any], proxy_url: str, folder: Path) -> Config:
    """The administrator's kubeconfig with a proxy-url."""
    document["clusters"][0]["cluster"]["proxy-url"] = proxy_url
    path = folder / "config"
    path.write_text(yaml.safe_dump(document))
    return Config.load(path)


async def test_requests_and_watches_go_through_the_kubeconfigs_proxy(
    document: dict[str, Any], tmp_path: Path, client: Client, kube_config: Config, namespace: str
) -> None:
    async with Proxy() as proxy:
        config = through(document, f"http://127.0.0.1:{proxy.port}", tmp_path)
        async with Client(config) as proxied, watching(proxied, namespace) as watched:
            await proxied.create(CONFIG_MAPS, config_map("a"), namespace)
            await client.create(CONFIG_MAPS, config_map("b"), namespace)
            assert set(await watched.is_true(client)) == {"a", "b"}
        assert {f"https://{target}" for target in proxy.tunnelled} == {kube_config.server}


async def test_a_proxy_may_want_a_password(document: dict[str, Any], tmp_path: Path) -> None:
    async with Proxy(login=f"me:{SECRET}") as proxy:
        config = through(document, f"http://me:{SECRET}@127.0.0.1:{proxy.port}", tmp_path)
        async with Client(config) as proxied:
            assert await user_of(proxied) == ADMIN
        assert proxy.turned_away == 0


async def test_the_environments_proxy_is_taken_unless_no_proxy_names_the_server(
    kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the server were elsewhere: this machine itself is never reached through the environment's proxy."""
    async with Proxy() as proxy:
        monkeypatch.setattr(proxies, "_on_this_machine", lambda host: False)
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NO_PROXY", "10.0.0.0/8,.internal")
        async with Client(Config.load(kubeconfig)) as proxied:
            assert await user_of(proxied) == ADMIN
        assert len(proxy.tunnelled) == 1
        monkeypatch.setenv("NO_PROXY", "10.0.0.0/8,127.0.0.0/8")
        async with Client(Config.load(kubeconfig)) as direct:
            assert await user_of(direct) == ADMIN
        assert len(proxy.tunnelled) == 1


async def failure(config: Config) -> LongshoreError:
    async with Client(config) as client:
        with pytest.raises(Unavailable) as caught:
            await user_of(client)
    assert SECRET not in f"{caught.value.message} {caught.value.hint} {caught.value!r} {config!r}"
    return caught.value


async def test_a_proxy_that_is_away_is_told_without_its_password(document: dict[str, Any], tmp_path: Path) -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))  # nobody else is given its port, and nobody listens
        url = f"http://me:{SECRET}@127.0.0.1:{deaf.getsockname()[1]}"
        told = await failure(through(document, url, tmp_path))
    assert "proxy" in told.message


@pytest.mark.parametrize(("login", "why"), [("me:other", "407"), (None, "403")])
async def test_a_proxy_that_refuses_is_told_without_its_password(
    login: str | None, why: str, document: dict[str, Any], tmp_path: Path
) -> None:
    async with Proxy(login=login, refuses=True) as proxy:
        url = f"http://me:{SECRET}@127.0.0.1:{proxy.port}"
        told = await failure(through(document, url, tmp_path))
        assert proxy.turned_away
    assert "proxy" in told.message
    assert why in told.message


def test_a_socks_proxy_is_refused_at_once(document: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UserMistake, match="is a socks5 proxy") as caught:
        through(document, f"socks5://me:{SECRET}@127.0.0.1:1080", tmp_path)
    assert SECRET not in f"{caught.value.message} {caught.value.hint}"
