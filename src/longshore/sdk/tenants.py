"""Tenants and their API keys, for administrators; `sdk.client` hands these out."""

from collections.abc import Mapping

import msgspec

from longshore.sdk.answers import Key, NewKey, Tenant
from longshore.sdk.transport import Transport, json_body, segment


class _Tenants(msgspec.Struct, frozen=True):
    items: list[Tenant]


class _Keys(msgspec.Struct, frozen=True):
    items: list[Key]


class Tenants:
    """`client.tenants`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def create(
        self,
        tenant: str,
        *,
        display_name: str | None = None,
        limits: Mapping[str, float] | None = None,
        overflow: str | None = None,
        retention_days: int | None = None,
    ) -> Tenant:
        """Make a tenant; it is `ready` a moment later. `limits`: as in `Limits`. Raises Conflict when it exists."""
        wanted: dict[str, object] = {"id": tenant, "display_name": display_name, "limits": limits}
        wanted |= {"overflow": overflow, "retention_days": retention_days}
        body, headers = json_body(wanted)
        return await self._transport.call("POST", "/v1/tenants", Tenant, body=body, headers=headers, repeatable=False)

    async def list(self) -> list[Tenant]:
        """Every tenant that the caller may see."""
        return (await self._transport.call("GET", "/v1/tenants", _Tenants)).items

    async def get(self, tenant: str) -> Tenant:
        """One tenant with its limits and what it uses."""
        return await self._transport.call("GET", _path(tenant), Tenant)

    async def delete(self, tenant: str, *, force: bool = False) -> None:
        """Delete a tenant; one that has unfinished work is refused without `force`."""
        await self._transport.call("DELETE", _path(tenant), type(None), params={"force": force or None})


class Keys:
    """`client.keys`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def create(self, tenant: str, *, name: str | None = None, expires_in: int | None = None) -> NewKey:
        """Make a key; its secret is in this answer and nowhere else. `expires_in`: seconds."""
        body, headers = json_body({"name": name, "expires_in": expires_in})
        return await self._transport.call(
            "POST", f"{_path(tenant)}/keys", NewKey, body=body, headers=headers, repeatable=False
        )

    async def list(self, tenant: str) -> list[Key]:
        """The tenant's keys, without their secrets."""
        return (await self._transport.call("GET", f"{_path(tenant)}/keys", _Keys)).items

    async def revoke(self, tenant: str, key_id: str) -> None:
        """End a key; who uses it is refused from then on."""
        await self._transport.call("DELETE", f"{_path(tenant)}/keys/{segment(key_id)}", type(None))


def _path(tenant: str) -> str:
    return f"/v1/tenants/{segment(tenant)}"
