"""Accounts to log in with, kubeconfigs that say how, and the API server's word for who somebody is."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import yaml

from longshore.cluster.certs import LIFETIME, Authority, Pair
from longshore.cluster.cluster import LocalCluster
from longshore.errors import Unauthenticated
from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.kube.objects import ROLE_BINDINGS, SECRETS, SERVICE_ACCOUNTS

A = TypeVar("A")
REVOKED_WITHIN = 60.0  # seconds; the API server remembers for 10 s that a token was good


class Account:
    """A ServiceAccount that may do anything in its namespace, and whose tokens can be revoked one by one."""

    def __init__(self, admin: Client, namespace: str, name: str = "robot") -> None:
        self.user = f"system:serviceaccount:{namespace}:{name}"
        self._admin = admin
        self._namespace = namespace
        self._name = name

    async def create(self) -> None:
        await self._admin.create(SERVICE_ACCOUNTS, {"metadata": {"name": self._name}}, self._namespace)
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
        subject = {"kind": "ServiceAccount", "name": self._name, "namespace": self._namespace}
        binding = {"metadata": {"name": self._name}, "roleRef": role, "subjects": [subject]}
        await self._admin.create(ROLE_BINDINGS, binding, self._namespace)

    async def token(self) -> "BoundToken":
        name = f"token-{uuid4().hex[:8]}"
        secret = await self._admin.create(SECRETS, {"metadata": {"name": name}}, self._namespace)
        bound = {"apiVersion": "v1", "kind": "Secret", "name": name, "uid": secret.metadata.uid}
        path = f"/api/v1/namespaces/{self._namespace}/serviceaccounts/{self._name}/token"
        answer = await self._admin.call("POST", path, body={"spec": {"boundObjectRef": bound}})
        return BoundToken(self._admin, self._namespace, name, json.loads(answer)["status"]["token"])


class BoundToken:
    """Void once the Secret that it is bound to is gone."""

    def __init__(self, admin: Client, namespace: str, secret: str, value: str) -> None:
        self.value = value
        self._admin = admin
        self._namespace = namespace
        self._secret = secret

    async def revoke(self) -> None:
        """Return when the API server takes it no longer."""
        await self._admin.delete(SECRETS, self._secret, self._namespace)
        config = self._admin.config
        async with Client(Config(config.server, ssl=without_certificate(config), token=lambda: self.value)) as client:
            async with asyncio.timeout(REVOKED_WITHIN):
                while True:
                    try:
                        await user_of(client)
                    except Unauthenticated:
                        return
                    await asyncio.sleep(0.1)


class Authorities:
    """Signs client certificates as the cluster's own authority does."""

    def __init__(self, cluster: LocalCluster, folder: Path) -> None:
        self._folder = folder
        for name in ("ca.crt", "ca.key"):
            (folder / name).write_bytes((cluster.folder.pki / name).read_bytes())

    def certificate(self, user: str, lives: timedelta = LIFETIME) -> Pair:
        """One that expires in `lives`."""
        then = datetime.now(UTC) - LIFETIME + lives
        authority = Authority(self._folder, "ca", now=lambda: then)
        return authority.client(f"{user}-{uuid4().hex[:8]}", user)


async def briefly(log_in: Callable[[timedelta], Awaitable[A]]) -> A:
    """Log in with a certificate that expires soon, but not before the login: a busy machine lets seconds go by."""
    for seconds in (4, 8, 16):
        with suppress(Unauthenticated):
            return await log_in(timedelta(seconds=seconds))
    return await log_in(timedelta(seconds=32))


def write(path: Path, cluster: dict[str, Any], user: dict[str, Any], namespace: str = "default") -> Path:
    """A kubeconfig with one of each."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u", "namespace": namespace}}],
    }
    path.write_text(yaml.safe_dump(document))
    return path


def without_certificate(config: Config) -> Any:
    """A TLS context that trusts what this config trusts, and shows nothing."""
    assert config.ssl is not None
    context = type(config.ssl)(config.ssl.protocol)
    for authority in config.ssl.get_ca_certs(binary_form=True):
        context.load_verify_locations(cadata=authority)
    return context


async def user_of(client: Client) -> str:
    """The name under which the API server knows this client."""
    answer = await client.call("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body={})
    name: str = json.loads(answer)["status"]["userInfo"]["username"]
    return name


def data(path: Path) -> str:
    """As `...-data` fields have it."""
    return base64.b64encode(path.read_bytes()).decode()
