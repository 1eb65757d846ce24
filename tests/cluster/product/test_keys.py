"""API keys live where nothing else does: who breaks into `serve` reads no other Secret, and those of a former version
are moved while they work."""

import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import msgspec
import pytest

from longshore import errors
from longshore.cli.local import LocalApi
from longshore.cluster.cluster import LocalCluster
from longshore.install import FIELD_MANAGER, manifests
from longshore.kinds.tenants.model import KEYS_MARK
from longshore.kinds.tenants.moving import BINDING
from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.kube.objects import ROLE_BINDINGS, SECRETS, Secret
from longshore.runtime.relay import SECRET as RELAY
from longshore.sdk.client import LongshoreClient
from longshore.settings import Settings

NewTenant = Callable[..., Awaitable[Any]]
Eventually = Callable[..., Awaitable[Any]]
OWN, KEYS = Settings().namespace, Settings().keys_namespace


def logged_in(cluster: LocalCluster, role: str) -> Client:
    return Client(Config.load(cluster.identity_kubeconfig(f"longshore-{role}")))


async def test_serve_reads_the_keys_and_the_relays_secret_and_no_other(
    api: LocalApi, client: Client, cluster: LocalCluster, new_tenant: NewTenant, namespace: str
) -> None:
    await client.create(SECRETS, {"metadata": {"name": "of-the-operator"}}, OWN)
    await client.create(SECRETS, {"metadata": {"name": "anybodys"}}, namespace)
    tenant = await new_tenant()
    try:
        async with logged_in(cluster, "serve") as serve:
            for where in (OWN, "kube-system", "default", namespace, tenant.namespace, None):
                with pytest.raises(errors.Forbidden, match="cannot list"):
                    await serve.list_page(SECRETS, where)
            for name, where in (("of-the-operator", OWN), ("anybodys", namespace)):
                with pytest.raises(errors.Forbidden, match="cannot get"):
                    await serve.get(SECRETS, name, where)
            assert (await serve.get(SECRETS, RELAY, OWN)).data, "by which replicas know each other"
            with pytest.raises(errors.Forbidden, match="cannot delete"):
                await serve.delete(SECRETS, RELAY, OWN)
            kept = (await serve.list_page(SECRETS, KEYS)).items
            assert {each.metadata.labels["longshore.dev/api-key"] for each in kept} == {"true"}
    finally:
        await client.delete(SECRETS, "of-the-operator", OWN)


@pytest.mark.timeout(300)
async def test_keys_of_a_former_version_are_moved_while_they_work(
    client: Client,
    cluster: LocalCluster,
    api: LocalApi,
    admin: LongshoreClient,
    new_tenant: NewTenant,
    eventually: Eventually,
) -> None:
    """A new control goes on with what it finds (however often it is killed: tests/unit); no key is ever said to be
    unknown meanwhile."""
    tenant = await new_tenant()
    id = tenant.key.removeprefix("ls_").partition("_")[0]
    name = f"key-{id}"
    await _as_before(client, name)

    async def answers() -> int | None:
        async with session.get(f"{api.url}/v1/me") as answer:
            assert answer.status in (200, 503), await answer.text()
            return answer.status if answer.status == 200 else None

    async with aiohttp.ClientSession(headers={"X-API-Key": tenant.key}) as session:
        await _renew_control(cluster, eventually)
        await eventually(answers, deadline=90)
        assert (await client.get(SECRETS, name, OWN)).data, "a serve of the former version may still answer"
        await admin.keys.revoke(tenant.id, id)
        await eventually(lambda: _gone(client, name, OWN), deadline=90)
        await eventually(lambda: _unbound(client), deadline=90)

        async def unknown() -> bool | None:
            """To `serve`, which hears of it by its watch."""
            async with session.get(f"{api.url}/v1/me") as answer:
                return True if answer.status == 401 else None

        await eventually(unknown)
    async with logged_in(cluster, "control") as control:
        for where in (OWN, KEYS):
            with pytest.raises(errors.Forbidden, match="cannot list"):
                await control.list_page(SECRETS, where)


async def _as_before(client: Client, name: str) -> None:
    """The key lies where a former version would have it, and an installation has just been made."""
    key = await client.get(SECRETS, name, KEYS)
    metadata = {"name": name, "labels": key.metadata.labels}
    owners = msgspec.to_builtins(key.metadata.owner_references)
    body = {"type": key.type, "data": key.data, "metadata": {**metadata, "ownerReferences": owners}}
    await client.create(SECRETS, body, OWN)
    await client.delete(SECRETS, KEYS_MARK, KEYS)
    await client.delete(SECRETS, name, KEYS)
    for resource, each in manifests(OWN):
        await client.apply(resource, each, field_manager=FIELD_MANAGER)


async def _renew_control(cluster: LocalCluster, eventually: Eventually) -> None:
    async def runs() -> int | None:
        return next(part.pid for part in (await cluster.status()).parts if part.name == "control")

    os.kill(await eventually(runs), signal.SIGTERM)


async def _gone(client: Client, name: str, namespace: str) -> bool | None:
    try:
        found: Secret = await client.get(SECRETS, name, namespace)
    except errors.NotFound:
        return True
    assert found.metadata.name == name
    return None


async def _unbound(client: Client) -> bool | None:
    for where in (OWN, KEYS):
        try:
            await client.get(ROLE_BINDINGS, BINDING, where)
        except errors.NotFound:
            continue
        return None
    return True
