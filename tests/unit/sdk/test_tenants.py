from __future__ import annotations

from typing import TYPE_CHECKING

from longshore.sdk import LongshoreClient

if TYPE_CHECKING:
    from tests.unit.conftest import Api

TENANT = {"id": "demo", "namespace": "demo-1", "ready": True, "limits": {"cpu": 10}, "use": {"running": 1}}
KEY = {"id": "k1", "key": "ls_secret", "tenant": "demo", "created": "2026-11-20T20:00:00Z"}


async def test_a_tenant_is_made_with_the_limits_that_were_named(api: Api) -> None:
    api.on("POST /v1/tenants", TENANT, status=202)
    async with LongshoreClient(api.url) as client:
        tenant = await client.tenants.create("demo", limits={"cpu": 4})
    assert tenant.ready
    assert tenant.limits.cpu == 10
    assert api.asked[0].json == {"id": "demo", "limits": {"cpu": 4}}


async def test_tenants_are_listed_got_and_deleted(api: Api) -> None:
    api.on("GET /v1/tenants", {"items": [TENANT]})
    api.on("GET /v1/tenants/demo", TENANT)
    api.on("DELETE /v1/tenants/demo", status=202)
    async with LongshoreClient(api.url) as client:
        assert [tenant.id for tenant in await client.tenants.list()] == ["demo"]
        assert (await client.tenants.get("demo")).use.running == 1
        await client.tenants.delete("demo", force=True)
    assert api.asked[-1].query == {"force": "true"}


async def test_a_new_key_does_not_show_its_secret_when_it_is_printed(api: Api) -> None:
    api.on("POST /v1/tenants/demo/keys", KEY, status=201)
    async with LongshoreClient(api.url) as client:
        key = await client.keys.create("demo", name="ci", expires_in=60)
    assert key.key == "ls_secret"
    assert "ls_secret" not in f"{key} {key!r}"
    assert api.asked[0].json == {"name": "ci", "expires_in": 60}


async def test_keys_are_listed_and_revoked(api: Api) -> None:
    api.on("GET /v1/tenants/demo/keys", {"items": [{"id": "k1", "last_used": None}]})
    api.on("DELETE /v1/tenants/demo/keys/k1", body=b"", status=204)
    async with LongshoreClient(api.url) as client:
        assert [key.id for key in await client.keys.list("demo")] == ["k1"]
        await client.keys.revoke("demo", "k1")
    assert api.asked[-1].method == "DELETE"


async def test_what_is_named_of_a_tenant_is_changed(api: Api) -> None:
    api.on("PATCH /v1/tenants/demo", TENANT, status=202)
    async with LongshoreClient(api.url) as client:
        assert (await client.tenants.change("demo", limits={"cpu": 10}, retention_days=0)).limits.cpu == 10
    assert api.asked[0].json == {"limits": {"cpu": 10}, "retention_days": 0}
