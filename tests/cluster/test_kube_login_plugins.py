"""Credential plugins that log in at the real API server, in the manners of EKS, GKE and AKS."""

import asyncio
import base64
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from longshore.cluster.cluster import LocalCluster
from longshore.errors import Unauthenticated
from longshore.kube import login
from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.kube.objects import CONFIG_MAPS
from longshore.kube.watch import Pace

from .lag import lagging
from .logins import Account, Authorities, briefly, user_of, write
from .plugin import Plugin
from .watched import config_map, until, watching

BRIEF = Pace(timeout=(1, 1), short=0.5, backoff=0.01)  # streams that log in again every second


@pytest.fixture
async def account(client: Client, namespace: str) -> Account:
    account = Account(client, namespace)
    await account.create()
    return account


@pytest.fixture
def authority(cluster: LocalCluster) -> bytes:
    return (cluster.folder.pki / "ca.crt").read_bytes()


@pytest.fixture
def here(cluster: LocalCluster, kube_config: Config) -> dict[str, Any]:
    """The cluster of a kubeconfig; its authority is in a file."""
    return {"server": kube_config.server, "certificate-authority": str(cluster.folder.pki / "ca.crt")}


def asking(plugin: Plugin, cluster: dict[str, Any], folder: Path, **spec: Any) -> Config:
    """A kubeconfig that logs in by this plugin."""
    told = {"apiVersion": "client.authentication.k8s.io/v1", "command": f"./{plugin.path.relative_to(folder)}", **spec}
    return Config.load(write(folder / "config", cluster, {"exec": {"interactiveMode": "Never", **told}}))


async def test_as_eks_does_a_token_that_expires_from_the_aws_program_on_the_path(
    tmp_path: Path, account: Account, here: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = Plugin(tmp_path / "bin", "aws")
    monkeypatch.setenv("PATH", f"{plugin.path.parent}:/usr/bin:/bin")
    plugin.answers({"token": (await account.token()).value}, version="v1beta1", lives=timedelta(minutes=14))
    args = ["--region", "eu-west-1", "eks", "get-token", "--cluster-name", "blue", "--output", "json"]
    config = asking(
        plugin,
        here,
        tmp_path,
        apiVersion="client.authentication.k8s.io/v1beta1",
        command="aws",
        args=args,
        interactiveMode="IfAvailable",
        env=[{"name": "AWS_PROFILE", "value": "research"}],
    )
    async with Client(config) as client:
        assert await user_of(client) == await user_of(client) == account.user
    (asked,) = plugin.asked
    assert asked["args"] == args
    assert asked["env"]["AWS_PROFILE"] == "research"
    assert asked["info"] == {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "kind": "ExecCredential",
        "spec": {"interactive": False},
    }


async def test_as_gke_does_the_plugin_is_told_about_the_cluster(
    tmp_path: Path, account: Account, here: dict[str, Any], authority: bytes
) -> None:
    plugin = Plugin(tmp_path / "sdk", "gke-gcloud-auth-plugin")
    plugin.answers({"token": (await account.token()).value}, version="v1beta1", lives=timedelta(hours=1))
    extension = {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "blue", "list": [1, 2]}}
    cluster = {**here, "tls-server-name": "kubernetes", "extensions": [extension]}
    config = asking(
        plugin,
        cluster,
        tmp_path,
        apiVersion="client.authentication.k8s.io/v1beta1",
        args=None,
        env=None,
        provideClusterInfo=True,
    )
    async with Client(config) as client:
        assert await user_of(client) == account.user
    assert plugin.asked[0]["info"]["spec"] == {
        "interactive": False,
        "cluster": {
            "server": here["server"],
            "tls-server-name": "kubernetes",
            "certificate-authority-data": base64.b64encode(authority).decode(),
            "config": {"audience": "blue", "list": [1, 2]},
        },
    }


async def test_as_aks_does_arguments_say_how_and_a_hint_where_to_get_it(
    tmp_path: Path, account: Account, here: dict[str, Any]
) -> None:
    plugin = Plugin(tmp_path / "bin", "kubelogin")
    plugin.answers({"token": (await account.token()).value}, version="v1beta1", lives=timedelta(hours=1))
    args = ["get-token", "--login", "azurecli", "--server-id", "6dae42f8-4368-4678-94ff-3960e28e3630"]
    spec = {"apiVersion": "client.authentication.k8s.io/v1beta1", "args": args, "provideClusterInfo": False}
    hint = "kubelogin is not installed: see https://aka.ms/aks/kubelogin"
    async with Client(asking(plugin, here, tmp_path, installHint=hint, **spec)) as client:
        assert await user_of(client) == account.user
    assert plugin.asked[0]["args"] == args
    plugin.path.unlink()
    async with Client(asking(plugin, here, tmp_path, installHint=hint, **spec)) as client:
        with pytest.raises(Unauthenticated, match="kubelogin failed: No such file") as caught:
            await user_of(client)
    assert caught.value.hint == hint


async def test_a_plugin_may_give_a_client_certificate_and_another_when_that_expires(
    cluster: LocalCluster, tmp_path: Path, here: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an expirationTimestamp: the API server refuses the old one, on connections that it took before."""
    monkeypatch.setattr(login, "TOKEN_AGE", 3600.0)
    (tmp_path / "authorities").mkdir()
    authorities = Authorities(cluster, tmp_path / "authorities")
    plugin = Plugin(tmp_path / "bin", "certificates")

    async def logged_in(lives: timedelta) -> Client:
        plugin.gives(authorities.certificate("ada", lives))
        client = await clients.enter_async_context(Client(asking(plugin, here, tmp_path)))
        assert await user_of(client) == "ada"
        return client

    async with AsyncExitStack() as clients:
        client = await briefly(logged_in)
        asked = len(plugin.asked)
        plugin.gives(authorities.certificate("grace"))
        async with asyncio.timeout(90):
            while await user_of(client) != "grace":  # noqa: ASYNC110 - a certificate does not tell when it has expired
                await asyncio.sleep(0.1)
    assert len(plugin.asked) == asked + 1


async def test_when_a_token_is_revoked_the_plugin_is_asked_again_and_nobody_notices(
    tmp_path: Path,
    client: Client,
    namespace: str,
    account: Account,
    here: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(login, "TOKEN_AGE", 3600.0)
    plugin, first = Plugin(tmp_path / "bin", "plugin"), await account.token()
    plugin.answers({"token": first.value})
    async with Client(asking(plugin, here, tmp_path)) as robot, watching(robot, namespace, pace=BRIEF) as watched:
        assert await user_of(robot) == account.user
        plugin.answers({"token": (await account.token()).value})
        await first.revoke()
        await robot.create(CONFIG_MAPS, config_map("after"), namespace)
        await watched.is_true(client)
        streams = watched.store.stats.streams
        await until(lambda: watched.store.stats.streams > streams + 1)
        assert watched.store.stats.failures == 0
    assert len(plugin.asked) == 2


async def test_many_that_are_refused_at_once_ask_the_plugin_once(
    tmp_path: Path, account: Account, here: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login, "TOKEN_AGE", 3600.0)
    plugin, first = Plugin(tmp_path / "bin", "plugin"), await account.token()
    plugin.answers({"token": first.value})
    async with Client(asking(plugin, here, tmp_path)) as robot:
        assert await user_of(robot) == account.user
        plugin.answers({"token": (await account.token()).value}, seconds=0.2)
        await first.revoke()
        assert set(await asyncio.gather(*(user_of(robot) for _ in range(30)))) == {account.user}
    assert len(plugin.asked) == 2


async def test_a_slow_plugin_keeps_nothing_else_waiting(
    tmp_path: Path, client: Client, account: Account, here: dict[str, Any]
) -> None:
    plugin = Plugin(tmp_path / "bin", "plugin")
    plugin.answers({"token": (await account.token()).value}, held=True)
    async with Client(asking(plugin, here, tmp_path)) as slow, lagging() as lag:
        asked = [asyncio.create_task(user_of(slow)) for _ in range(10)]
        await until(lambda: plugin.begun)
        for _ in range(10):
            await user_of(client)
        assert not any(task.done() for task in asked)
        plugin.let_go()
        assert set(await asyncio.gather(*asked)) == {account.user}
    assert lag.worst < 1
    assert len(plugin.asked) == 1


async def test_a_plugin_that_fails_says_so_without_what_it_printed(tmp_path: Path, here: dict[str, Any]) -> None:
    plugin = Plugin(tmp_path / "bin", "plugin")
    plugin.fails('{"status": {"token": "s3cret"}}')
    async with Client(asking(plugin, here, tmp_path)) as client:
        with pytest.raises(Unauthenticated, match="plugin failed: exit code 1") as caught:
            await user_of(client)
    assert "s3cret" not in f"{caught.value!r} {caught.value.hint} {caught.value.__context__!r}"


async def test_a_plugin_that_fails_is_run_once_for_a_request(tmp_path: Path, here: dict[str, Any]) -> None:
    plugin = Plugin(tmp_path / "bin", "plugin")
    plugin.fails("no network")
    async with Client(asking(plugin, here, tmp_path)) as client:
        with pytest.raises(Unauthenticated, match="plugin failed"):
            await user_of(client)
    assert len(plugin.asked) == 1


async def test_a_plugin_that_fails_for_a_while_only_delays_the_cache(
    tmp_path: Path,
    client: Client,
    namespace: str,
    account: Account,
    here: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(login, "TOKEN_AGE", 0.0)
    plugin = Plugin(tmp_path / "bin", "plugin")
    good = {"token": (await account.token()).value}
    plugin.answers(good, lives=timedelta(seconds=1))  # which is asked for anew each time
    async with Client(asking(plugin, here, tmp_path)) as robot, watching(robot, namespace, pace=BRIEF) as watched:
        plugin.fails("no network")
        await until(lambda: "plugin failed" in (watched.store.trouble or ""))
        await client.create(CONFIG_MAPS, config_map("meanwhile"), namespace)
        plugin.answers(good)
        await watched.is_true(client)
        await until(lambda: watched.store.trouble is None)
