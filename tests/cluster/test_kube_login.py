"""Logging in at the real API server: tokens that rotate, certificates, authorities, the account of a pod, other names.

Proxies and credential plugins have files of their own.
"""

import asyncio
import json
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from longshore.cluster.certs import Authority, Pair
from longshore.cluster.cluster import LocalCluster
from longshore.errors import Forbidden, Unauthenticated, Unavailable
from longshore.kube import config as config_module
from longshore.kube import login
from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.kube.objects import CONFIG_MAPS
from longshore.kube.watch import Pace

from .logins import Account, Authorities, briefly, data, user_of, write
from .relay import Relay
from .watched import config_map, until, watching

BRIEF = Pace(timeout=(1, 1), short=0.5, backoff=0.01)  # streams that log in again every second


@pytest.fixture
async def account(client: Client, namespace: str) -> Account:
    account = Account(client, namespace)
    await account.create()
    return account


@pytest.fixture
def authorities(cluster: LocalCluster, tmp_path: Path) -> Authorities:
    folder = tmp_path / "authorities"
    folder.mkdir()
    return Authorities(cluster, folder)


@pytest.fixture
def here(cluster: LocalCluster, kube_config: Config) -> dict[str, Any]:
    """The cluster of a kubeconfig."""
    return {"server": kube_config.server, "certificate-authority": str(cluster.folder.pki / "ca.crt")}


async def test_a_token_that_is_revoked_is_replaced_by_the_one_in_the_file(
    tmp_path: Path,
    client: Client,
    namespace: str,
    account: Account,
    here: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The file is not looked at before the API server refuses the old token: the worst moment to learn of it."""
    monkeypatch.setattr(login, "TOKEN_AGE", 3600.0)
    path, first = tmp_path / "token", await account.token()
    path.write_text(first.value)
    config = Config.load(write(tmp_path / "config", here, {"tokenFile": "token"}))
    async with Client(config) as rotating, watching(rotating, namespace, pace=BRIEF) as watched:
        assert await user_of(rotating) == account.user
        path.write_text((await account.token()).value)
        await first.revoke()
        made = await rotating.create(CONFIG_MAPS, config_map("after"), namespace)
        await watched.is_true(client)
        assert watched.fold["after"] == made
        streams = watched.store.stats.streams
        await until(lambda: watched.store.stats.streams > streams + 1)
        assert watched.store.stats.failures == 0


async def test_a_token_that_is_replaced_in_time_is_never_refused(
    tmp_path: Path, account: Account, here: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login, "TOKEN_AGE", 0.2)
    path, first = tmp_path / "token", await account.token()
    path.write_text(first.value)
    refused: list[None] = []
    config = Config.load(write(tmp_path / "config", here, {"tokenFile": "token"}))
    async with Client(replace(config, refused=lambda: refused.append(None))) as rotating:
        await user_of(rotating)
        path.write_text((await account.token()).value)
        await first.revoke()
        assert await user_of(rotating) == account.user
    assert refused == []


async def test_a_client_certificate_may_be_in_files_or_in_the_kubeconfig(
    tmp_path: Path, authorities: Authorities, here: dict[str, Any]
) -> None:
    pair = authorities.certificate("ada")
    by_file = {"client-certificate": str(pair.cert), "client-key": str(pair.key)}
    by_data = {"client-certificate-data": data(pair.cert), "client-key-data": data(pair.key)}
    for user in (by_file, by_data, {**by_file, **by_data}):
        async with Client(Config.load(write(tmp_path / "config", here, user))) as ada:
            assert await user_of(ada) == "ada"


async def test_a_certificate_that_is_replaced_on_disk_is_the_next_login(
    tmp_path: Path, authorities: Authorities, here: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections that were made with the old one are not used any longer."""
    monkeypatch.setattr(login, "TOKEN_AGE", 0.0)
    for name, path in zip(("cert", "key"), authorities.certificate("ada"), strict=True):
        (tmp_path / name).write_bytes(path.read_bytes())
    user = {"client-certificate": "cert", "client-key": "key"}
    async with Client(Config.load(write(tmp_path / "config", here, user))) as client:
        assert await user_of(client) == "ada"
        pair = authorities.certificate("grace")
        (tmp_path / "cert").write_bytes(pair.cert.read_bytes())
        assert await user_of(client) == "ada"  # until the key is there, too
        (tmp_path / "key").write_bytes(pair.key.read_bytes())
        assert await user_of(client) == "grace"


async def test_a_certificate_that_expires_is_replaced_by_the_one_on_disk(
    tmp_path: Path, authorities: Authorities, here: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The API server says 401 on connections that it took before."""
    monkeypatch.setattr(login, "TOKEN_AGE", 3600.0)
    user = {"client-certificate": "cert", "client-key": "key"}

    def give(pair: Pair) -> None:
        for name, path in zip(("cert", "key"), pair, strict=True):
            (tmp_path / name).write_bytes(path.read_bytes())

    async def logged_in(lives: timedelta) -> tuple[Client, Client]:
        give(authorities.certificate("ada", lives))
        config = Config.load(write(tmp_path / "config", here, user))
        client = await clients.enter_async_context(Client(config))
        expiring = await clients.enter_async_context(Client(replace(config, renewed_ssl=lambda: None)))
        assert await user_of(client) == await user_of(expiring) == "ada"
        return client, expiring

    async with AsyncExitStack() as clients:
        client, expiring = await briefly(logged_in)
        give(authorities.certificate("grace"))
        await expired(expiring)
        assert await user_of(client) == "grace"


async def expired(client: Client) -> None:
    """Return when the API server does not take this client's login any longer."""
    async with asyncio.timeout(90):
        while True:
            try:
                await user_of(client)
            except Unauthenticated:
                return
            await asyncio.sleep(0.1)


@pytest.fixture
def bundle(cluster: LocalCluster, tmp_path: Path) -> Path:
    """Several authorities in one file, with the words around them that tools write; ours is not the first."""
    path, pki = tmp_path / "bundle.crt", cluster.folder.pki
    names = ("etcd-ca", "front-proxy-ca", "ca")
    path.write_text("\n".join(f"# Şirket kökü: {name}\n{(pki / f'{name}.crt').read_text()}\n" for name in names))
    return path


async def test_a_bundle_of_authorities_may_be_a_file_or_in_the_kubeconfig(
    tmp_path: Path, bundle: Path, account: Account, kube_config: Config
) -> None:
    user = {"token": (await account.token()).value}
    for field in ({"certificate-authority": "bundle.crt"}, {"certificate-authority-data": data(bundle)}):
        config = Config.load(write(tmp_path / "config", {"server": kube_config.server, **field}, user))
        async with Client(config) as client:
            assert await user_of(client) == account.user


async def test_a_wrong_authority_is_told_and_no_token_is_sent(
    tmp_path: Path, account: Account, kube_config: Config
) -> None:
    wrong = {"server": kube_config.server, "certificate-authority-data": data(Authority(tmp_path, "wrong").pair.cert)}
    token = (await account.token()).value
    async with Client(Config.load(write(tmp_path / "config", wrong, {"token": token}))) as client:
        with pytest.raises(Unavailable, match="its certificate is not trusted") as caught:
            await user_of(client)
        assert token not in str(caught.value)
    trusting = {**wrong, "insecure-skip-tls-verify": True}
    async with Client(Config.load(write(tmp_path / "config", trusting, {"token": token}))) as client:
        assert await user_of(client) == account.user


async def test_a_server_may_be_known_by_another_name_than_it_is_reached_by(
    cluster: LocalCluster, tmp_path: Path, account: Account, here: dict[str, Any]
) -> None:
    user = {"token": (await account.token()).value}
    async with Relay(cluster.port("kube-apiserver"), host="127.0.0.2") as relay:
        elsewhere = {**here, "server": relay.url}
        async with Client(Config.load(write(tmp_path / "config", elsewhere, user))) as client:
            with pytest.raises(Unavailable, match=r"not trusted.*127\.0\.0\.2"):
                await user_of(client)
        named = {**elsewhere, "tls-server-name": "kubernetes.default.svc"}
        async with Client(Config.load(write(tmp_path / "config", named, user))) as client:
            assert await user_of(client) == account.user


async def test_the_account_of_a_pod_logs_in_and_its_token_rotates(
    cluster: LocalCluster, tmp_path: Path, namespace: str, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config_module, "SERVICE_ACCOUNT", tmp_path)
    monkeypatch.setattr(login, "TOKEN_AGE", 3600.0)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(cluster.port("kube-apiserver")))
    first = await account.token()
    (tmp_path / "token").write_text(first.value)
    (tmp_path / "namespace").write_text(namespace)
    (tmp_path / "ca.crt").write_bytes((cluster.folder.pki / "ca.crt").read_bytes())
    async with Client(Config.load()) as client:
        assert await user_of(client) == account.user
        made = await client.create(CONFIG_MAPS, config_map("mine"))
        assert made.metadata.namespace == namespace
        (tmp_path / "token").write_text((await account.token()).value)
        await first.revoke()
        assert await user_of(client) == account.user


@pytest.fixture
def master(kubeconfig: Path) -> dict[str, Any]:
    """The administrator's user of a kubeconfig."""
    user: dict[str, Any] = yaml.safe_load(kubeconfig.read_text())["users"][0]["user"]
    return user


async def test_one_may_act_as_another(
    tmp_path: Path, master: dict[str, Any], namespace: str, authorities: Authorities, here: dict[str, Any]
) -> None:
    pair = authorities.certificate("nobody")
    user = {"client-certificate": str(pair.cert), "client-key": str(pair.key)}
    as_ada = {"as": "ada", "as-groups": ["blue", "green"], "as-uid": "7", "as-user-extra": {"a.b/c": ["x", "y"]}}
    async with Client(Config.load(write(tmp_path / "config", here, {**master, **as_ada}))) as client:
        answer = await client.call("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body={})
        told = json.loads(answer)["status"]["userInfo"]
        assert (told["username"], told["uid"], told["extra"]["a.b/c"]) == ("ada", "7", ["x", "y"])
        assert {"blue", "green"} <= set(told["groups"])
        with pytest.raises(Forbidden, match="ada"):
            await client.create(CONFIG_MAPS, config_map("mine"), namespace)
    async with Client(Config.load(write(tmp_path / "config", here, {**user, "as": "ada"}))) as client:
        with pytest.raises(Forbidden, match="cannot impersonate"):
            await user_of(client)
