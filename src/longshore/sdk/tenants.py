"""Tenants and their API keys, for administrators; `sdk.client` hands these out."""

from collections.abc import Mapping
from typing import TypedDict, Unpack

import msgspec

from longshore.sdk.answers import Key, NewKey, Tenant
from longshore.sdk.transport import Transport, json_body, segment


class TenantFields(TypedDict, total=False):
    """What of a tenant can be said; what is left out or None has its default, or stays as it is.

    limits: as in `Limits`. overflow: "queue" or "reject" what is over them. retention_days: how long finished work is
    kept; 0: for ever.
    """

    display_name: str | None
    limits: Mapping[str, float] | None
    overflow: str | None
    retention_days: int | None


class _Tenants(msgspec.Struct, frozen=True):
    items: list[Tenant]


class _Keys(msgspec.Struct, frozen=True):
    items: list[Key]


class Tenants:
    """`client.tenants`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def create(self, tenant: str, **fields: Unpack[TenantFields]) -> Tenant:
        """Make a tenant; it is `ready` a moment later. Raises Conflict when it exists."""
        body, headers = json_body({"id": tenant, **fields})
        return await self._transport.call("POST", "/v1/tenants", Tenant, body=body, headers=headers, repeatable=False)

    async def change(self, tenant: str, **fields: Unpack[TenantFields]) -> Tenant:
        """Change what is named and leave the rest as it is, also each limit; in force a moment later."""
        body, headers = json_body(fields)
        return await self._transport.call("PATCH", _path(tenant), Tenant, body=body, headers=headers)

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
