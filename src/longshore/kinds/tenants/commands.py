"""What a caller may ask of tenants and their API keys, each one write to the API server.

Keys are Secrets of a namespace of their own that hold only a SHA-256; the key itself is shown once.
"""

from __future__ import annotations

import base64
import hmac
import secrets as random
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from longshore.errors import AlreadyExists, Conflict, NotFound, Unavailable
from longshore.kinds.tenants import model
from longshore.kinds.tenants.model import TENANTS, ApiKey, Tenant
from longshore.kube.client import Client
from longshore.kube.objects import SECRETS, Secret
from longshore.kube.store import Store
from longshore.web.auth import Caller

LAST_USED = "longshore.dev/last-used"
LAST_USED_EVERY = timedelta(minutes=10)
_PREFIX = "ls_"


async def create(client: Client, tenant_id: str, spec: Mapping[str, Any]) -> Tenant:
    """Create a tenant; its namespace follows as its controller applies the bundle. Raises AlreadyExists."""
    body = {
        "apiVersion": TENANTS.api_version,
        "kind": TENANTS.kind,
        "metadata": {"name": model.object_name(tenant_id), "finalizers": [model.FINALIZER]},
        "spec": {"tenantId": tenant_id, **spec},
    }
    try:
        return await client.create(TENANTS, body)
    except AlreadyExists:
        hint = f"see it with 'longshore tenants get {tenant_id}'"
        raise AlreadyExists(f"tenant {tenant_id} exists already", hint=hint) from None


async def change(client: Client, tenant: Tenant, spec: Mapping[str, Any]) -> Tenant:
    """Merge these fields into the tenant's spec: whoever changes others at the same time is not undone by that. Raises
    Conflict where another tenant has taken the id meanwhile."""
    try:
        return await client.patch(
            TENANTS, tenant.metadata.name, {"metadata": {"uid": tenant.metadata.uid}, "spec": spec}
        )
    except Conflict:
        hint = f"see what it is now with 'longshore tenants get {tenant.id}'"
        raise Conflict(f"tenant {tenant.id} is another one than it was", hint=hint) from None


async def delete(client: Client, tenant: Tenant, *, live_jobs: int, force: bool) -> None:
    """Ask for a tenant's end: its work is stopped and archived, then its namespace goes. Raises Conflict without
    `force` while there is work that is not over."""
    if live_jobs and not force:
        raise Conflict(
            f"tenant {tenant.id} has {live_jobs} job(s) that are not over",
            hint="stop them first, or use force: they are stopped and archived before the tenant goes",
        )
    await client.delete(TENANTS, tenant.metadata.name, uid=tenant.metadata.uid)


async def create_key(
    client: Client, namespace: str, tenant: Tenant, name: str, expires_in: timedelta | None, now: datetime
) -> tuple[ApiKey, str, str]:
    """A new API key of this tenant; the key itself, which is shown this once and kept nowhere; and the resourceVersion
    from which on it is known."""
    key_id = base64.b32encode(random.token_bytes(10)).decode().lower()
    key = f"{_PREFIX}{key_id}_{random.token_urlsafe(32)}"
    expires = now + expires_in if expires_in else None
    kept = ApiKey(key_id, tenant.metadata.name, name, model.digest_of(key), now, expires)
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": model.KEY_TYPE,
        "metadata": {
            "name": _secret_name(key_id),
            "namespace": namespace,
            "labels": {model.LABEL_KEY: "true", model.LABEL_TENANT: tenant.metadata.name},
            # the tenant's end is the keys' end; the garbage collector sees to it
            "ownerReferences": [
                {
                    "apiVersion": TENANTS.api_version,
                    "kind": TENANTS.kind,
                    "name": tenant.metadata.name,
                    "uid": tenant.metadata.uid,
                }
            ],
        },
        "data": {"key.json": base64.b64encode(msgspec.json.encode(kept)).decode()},
    }
    made = await client.create(SECRETS, body, namespace)
    return kept, key, made.metadata.resource_version


async def revoke_key(client: Client, namespace: str, key: ApiKey) -> None:
    await client.delete(SECRETS, _secret_name(key.id), namespace)


def keys_of(store: Store[Secret], tenant: str) -> list[tuple[ApiKey, Secret]]:
    """The live and expired keys of a tenant, oldest first."""
    found = [(key, secret) for secret in store.by("tenant", tenant) if (key := model.api_key_of(secret))]
    return sorted(found, key=lambda pair: pair[0].created)


def find_key(store: Store[Secret], tenant: str, key_id: str) -> ApiKey:
    for key, _ in keys_of(store, tenant):
        if key.id == key_id:
            return key
    raise NotFound(f"tenant {tenant} has no key {key_id}", hint="list them with 'longshore tenants keys list'")


def all_here(store: Store[Secret], namespace: str) -> bool:
    """Whether the keys of a former version have been brought into the keys' namespace, or there were none."""
    return store.get(model.KEYS_MARK, namespace) is not None


def require_all_here(store: Store[Secret], namespace: str) -> None:
    """Raises Unavailable: what is not here may come yet, and what is revoked before that could come back."""
    if not all_here(store, namespace):
        raise Unavailable(
            "the API keys of a former version are being moved",
            hint="try again in a moment; if it lasts, see what `control` logs, and apply deploy/rights.yaml again",
            retry_after=2,
        )


class KeyAuthenticator:
    """Authenticator for API keys: looked up by the id within, compared in constant time, its use noted now and then.

    Raises Unavailable while the keys are not known yet, or not all here.
    """

    def __init__(self, store: Store[Secret], client: Client, namespace: str, now: Callable[[], datetime]) -> None:
        self._store = store
        self._client = client
        self._namespace = namespace
        self._now = now
        self._noted: dict[str, datetime] = {}

    async def __call__(self, credential: str) -> Caller | None:
        if not credential.startswith(_PREFIX):
            return None
        await self._store.wait_synced()
        key_id = credential.removeprefix(_PREFIX).partition("_")[0]
        secret = self._store.get(_secret_name(key_id), self._namespace)
        if secret is None:
            require_all_here(self._store, self._namespace)
        key = model.api_key_of(secret) if secret else None
        if key is None or not hmac.compare_digest(key.sha256, model.digest_of(credential)):
            return None
        if not key.live(self._now()):
            return None
        self._noted[key.id] = self._now()
        return Caller(f"key {key.id}", tenant=key.tenant)

    async def note_uses(self) -> None:
        """Write the last use of each key used since, at most every 10 minutes a key; called now and then by `serve`."""
        noted, self._noted = self._noted, {}
        for key_id, used in noted.items():
            secret = self._store.get(_secret_name(key_id), self._namespace)
            if secret is not None and _stale(secret, used):
                patch = {"metadata": {"uid": secret.metadata.uid, "annotations": {LAST_USED: used.isoformat()}}}
                await _tolerating_loss(self._client.patch(SECRETS, secret.metadata.name, patch, self._namespace))


async def _tolerating_loss(write: Awaitable[Any]) -> None:
    """The key may have been revoked meanwhile: then its last use is of no interest."""
    try:
        await write
    except (NotFound, Conflict):
        return


def last_used(secret: Secret) -> datetime | None:
    try:
        return datetime.fromisoformat(secret.metadata.annotations[LAST_USED])
    except (KeyError, ValueError):
        return None


def _stale(secret: Secret, used: datetime) -> bool:
    before = last_used(secret)
    return before is None or used - before >= LAST_USED_EVERY


def _secret_name(key_id: str) -> str:
    # what a caller sends as an id ends up in a store look-up only, never in a path
    return f"key-{key_id}"
