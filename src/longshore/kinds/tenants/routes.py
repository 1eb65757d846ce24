"""/v1/tenants: for administrators, and each tenant's own page for its keys' holders."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, field_validator
from starlette.responses import Response

from longshore.errors import Conflict, NotFound
from longshore.kinds.kind import Parts, Services
from longshore.kinds.tenants import commands
from longshore.kinds.tenants.lookup import tenant_named
from longshore.kinds.tenants.model import MAX_PRIORITY, Overflow, Tenant, object_name
from longshore.kinds.tenants.view import key_view, tenant_view
from longshore.web.answers import answer
from longshore.web.auth import Caller, Who

router = APIRouter(prefix="/v1", tags=["tenants"])


class LimitsInput(BaseModel):
    """Limits to set; what is left out stays as it is, or has its default."""

    model_config = ConfigDict(extra="forbid")
    cpu: float | None = Field(None, gt=0, le=100, description="Cores of all admitted jobs together.")
    memory_gi: float | None = Field(None, gt=0, le=500, description="GiB of memory of all admitted jobs together.")
    concurrent_jobs: int | None = Field(None, ge=1, le=50, description="Jobs admitted at the same time.")
    queued_jobs: int | None = Field(None, ge=0, le=100_000, description="Jobs that may wait.")
    objects: int | None = Field(None, ge=10, le=100_000, description="Jobs that may exist in the namespace.")
    pods: int | None = Field(None, ge=1, le=5000, description="Pods of all admitted jobs together.")
    gpu: int | None = Field(None, ge=0, le=1000, description="GPUs of all admitted jobs together.")
    ephemeral_gi: float | None = Field(None, gt=0, le=100_000, description="GiB of disk they ask for together.")


class PriorityInput(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str = Field(min_length=1, max_length=63, pattern="^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")
    value: int = Field(0, ge=-MAX_PRIORITY, le=MAX_PRIORITY, description="The higher starts first.")
    priority_class: str = Field(
        "", max_length=253, pattern="^([a-z0-9]([-.a-z0-9]*[a-z0-9])?)?$", description="PriorityClass of the pods."
    )

    @field_validator("priority_class")
    @classmethod
    def _not_the_systems(cls, name: str) -> str:
        if name.startswith("system-"):
            raise ValueError("the system's own classes are not for tenants' work")
        return name


class TenantChange(BaseModel):
    model_config = ConfigDict(extra="forbid")
    display_name: str | None = Field(None, max_length=200)
    limits: LimitsInput = LimitsInput()
    overflow: Overflow | None = Field(None, description="Queue work over the limits, or reject it.")
    retention_days: int | None = Field(
        None, ge=0, le=36_500, description="Days that finished work is kept after its end; 0: for ever."
    )
    priorities: list[PriorityInput] | None = Field(None, max_length=20, description="What its jobs may ask for.")
    service_accounts: list[str] | None = Field(
        None, max_length=20, description="Accounts of its namespace that its jobs may run as, for cloud identity."
    )

    def spec(self) -> dict[str, Any]:
        """As a partial Tenant spec."""
        names = {
            "memory_gi": "memoryGi",
            "concurrent_jobs": "concurrentJobs",
            "queued_jobs": "queuedJobs",
            "ephemeral_gi": "ephemeralGi",
        }
        given = self.limits.model_dump(exclude_none=True)
        limits = {names.get(name, name): value for name, value in given.items()}
        display = {"displayName": self.display_name} if self.display_name is not None else {}
        overflow = {"overflow": self.overflow.value} if self.overflow else {}
        kept = {"retentionDays": self.retention_days} if self.retention_days is not None else {}
        return {**display, **overflow, **kept, **self._allowed(), **({"limits": limits} if limits else {})}

    def _allowed(self) -> dict[str, Any]:
        given: dict[str, Any] = {"serviceAccounts": self.service_accounts, "priorities": None}
        if self.priorities is not None:
            names = {"priority_class": "priorityClass"}
            given["priorities"] = [{names.get(k, k): v for k, v in p.model_dump().items()} for p in self.priorities]
        return {name: value for name, value in given.items() if value is not None}


class TenantInput(TenantChange):
    id: str = Field(min_length=1, max_length=100, description="The id that people use.")


class KeyInput(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str = Field("", max_length=100, description="What the key is for.")
    expires_in: int | None = Field(None, ge=60, le=10 * 366 * 86400, description="Seconds until it expires.")


@router.get("/me")
async def me(who: Who, parts: Parts) -> dict[str, Any]:
    """Who the credential belongs to."""
    tenant = parts.stores.tenants.get(who.tenant) if who.tenant else None
    return {"caller": who.name, "tenant": tenant.id if tenant else who.tenant, "admin": who.admin}


@router.post("/tenants", status_code=202)
async def create_tenant(body: TenantInput, who: Who, parts: Parts) -> Response:
    who.require_admin()
    if object_name(body.id) in await parts.archive.index.tenants():
        _refuse_reuse(body.id, parts)
    tenant = await commands.create(parts.client, body.id, body.spec())
    # so that the next request about it, here, finds it
    await parts.stores.tenants.has_seen(tenant.metadata.resource_version)
    return answer(tenant_view(tenant, 0), 202, headers={"Location": f"/v1/tenants/{tenant.id}"})


@router.get("/tenants")
async def list_tenants(who: Who, parts: Parts) -> Response:
    who.require_admin()
    tenants = sorted(parts.stores.tenants.list(), key=lambda t: t.id)
    return answer({"items": [_view(t, parts) for t in tenants]})


@router.get("/tenants/{tenant_id}")
async def get_tenant(tenant_id: str, who: Who, parts: Parts, min_resource_version: int | None = None) -> Response:
    if min_resource_version is not None:
        await parts.stores.tenants.wait_for(min_resource_version)
    return answer(_view(await find(tenant_id, who, parts), parts))


@router.patch("/tenants/{tenant_id}")
async def change_tenant(tenant_id: str, body: TenantChange, who: Who, parts: Parts) -> Response:
    """Change what is named and leave the rest as it is; priorities and accounts are replaced as a whole."""
    who.require_admin()
    tenant = await commands.change(parts.client, await find(tenant_id, who, parts), body.spec())
    # so that the next request about it, here, finds it so
    await parts.stores.tenants.has_seen(tenant.metadata.resource_version)
    return answer(_view(tenant, parts), 202)


@router.delete("/tenants/{tenant_id}", status_code=202)
async def delete_tenant(tenant_id: str, who: Who, parts: Parts, force: bool = False) -> Response:
    who.require_admin()
    tenant = await find(tenant_id, who, parts)
    live = parts.stores.jobs.count("unfinished", tenant.metadata.name)
    await commands.delete(parts.client, tenant, live_jobs=live, force=force)
    return answer(_view(tenant, parts), 202)


@router.post("/tenants/{tenant_id}/keys", status_code=201)
async def create_key(tenant_id: str, body: KeyInput, who: Who, parts: Parts) -> Response:
    who.require_admin()
    tenant = await find(tenant_id, who, parts)
    expires_in = timedelta(seconds=body.expires_in) if body.expires_in else None
    kept, key, version = await commands.create_key(
        parts.client, parts.settings.keys_namespace, tenant, body.name, expires_in, parts.now()
    )
    await parts.stores.keys.has_seen(version)
    view = {"id": kept.id, "name": kept.name, "tenant": tenant.id, "created": kept.created, "expires": kept.expires}
    return answer({**view, "key": key}, 201, headers={"Cache-Control": "no-store"})


@router.get("/tenants/{tenant_id}/keys")
async def list_keys(tenant_id: str, who: Who, parts: Parts) -> Response:
    tenant = await find(tenant_id, who, parts)
    commands.require_all_here(parts.stores.keys, parts.settings.keys_namespace)
    pairs = commands.keys_of(parts.stores.keys, tenant.metadata.name)
    return answer({"items": [key_view(key, commands.last_used(secret)) for key, secret in pairs]})


@router.delete("/tenants/{tenant_id}/keys/{key_id}", status_code=204)
async def revoke_key(tenant_id: str, key_id: str, who: Who, parts: Parts) -> Response:
    who.require_admin()
    tenant = await find(tenant_id, who, parts)
    commands.require_all_here(parts.stores.keys, parts.settings.keys_namespace)
    key = commands.find_key(parts.stores.keys, tenant.metadata.name, key_id)
    await commands.revoke_key(parts.client, parts.settings.keys_namespace, key)
    return Response(status_code=204)


def _refuse_reuse(tenant_id: str, parts: Services) -> None:
    """An id that had records before would show them to whoever has it now. Raises Conflict, unless the tenant exists,
    which is told as such."""
    if parts.stores.tenants.get(object_name(tenant_id)) is None:
        raise Conflict(
            f"the archive still holds the work of an earlier tenant {tenant_id}", hint="choose another id for a new one"
        )


async def find(tenant_id: str, who: Caller, parts: Services) -> Tenant:
    """The tenant, if this caller may know of it. Raises NotFound alike for none and another's."""
    name = object_name(tenant_id)
    tenant = await tenant_named(parts, name) if who.sees(name) else None
    if tenant is None:
        raise NotFound(f"there is no tenant {tenant_id!r}", hint="an administrator lists them: longshore tenants list")
    return tenant


def _view(tenant: Tenant, parts: Services) -> Any:
    return tenant_view(tenant, parts.stores.jobs.count("queued", tenant.metadata.name))
