"""What the routes of tenants answer, for the API's document: `kinds.registry` hands it on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
from msgspec import Struct

from longshore.kinds.tenants.model import Limits, Tenant, TenantSpec
from longshore.kinds.tenants.view import KeyView, TenantView, tenant_view
from longshore.kube.objects import ObjectMeta
from longshore.web.openapi import Answer, Operation, Operations

_AT: Final = datetime(2026, 11, 20, 20, 0, tzinfo=UTC)


class Me(Struct, frozen=True):
    """Who a credential belongs to; `tenant` is None for an administrator."""

    caller: str
    tenant: str | None
    admin: bool


class NewKey(Struct, frozen=True):
    """A key that was just made; `key` is the secret, in this answer and nowhere else."""

    id: str
    name: str
    tenant: str
    created: datetime
    expires: datetime | None
    key: str


class Tenants(Struct, frozen=True):
    items: tuple[TenantView, ...]


class Keys(Struct, frozen=True):
    items: tuple[KeyView, ...]


_TENANT: Final = tenant_view(
    Tenant(
        metadata=ObjectMeta(name="acme", resource_version="4711", creation_timestamp=_AT),
        spec=TenantSpec(display_name="Acme", limits=Limits(cpu=8, memory_gi=32)),
    ),
    0,
)
_KEY: Final = KeyView("4cy2k7", "ci", _AT, _AT + timedelta(days=90), None)
_LIMITS: Final = {"cpu": 8, "memory_gi": 32, "concurrent_jobs": 4}
_CHANGED: Final = Answer(schema=TenantView, example=_TENANT, says="Accepted; it is in force a moment later.")
WORDS: Final = {"tenant_id": "The tenant's id.", "key_id": "The key's id, which is no secret."}

OPERATIONS: Final[Operations] = {
    "GET /v1/me": Operation(answers={200: Answer(schema=Me, example=Me("key 4cy2k7", "acme", False), says="You.")}),
    "POST /v1/tenants": Operation(
        summary="Create Tenant",
        request={"id": "acme", "display_name": "Acme", "limits": _LIMITS},
        answers={202: msgspec.structs.replace(_CHANGED, headers=("Location",))},
        problems=(409,),
    ),
    "GET /v1/tenants": Operation(
        answers={200: Answer(schema=Tenants, example=Tenants((_TENANT,)), says="Every tenant.")}
    ),
    "GET /v1/tenants/{tenant_id}": Operation(
        answers={200: Answer(schema=TenantView, example=_TENANT, says="The tenant.")}
    ),
    "PATCH /v1/tenants/{tenant_id}": Operation(
        request={"limits": {"cpu": 16}}, answers={202: _CHANGED}, problems=(409,)
    ),
    "DELETE /v1/tenants/{tenant_id}": Operation(answers={202: _CHANGED}, problems=(409,)),
    "POST /v1/tenants/{tenant_id}/keys": Operation(
        request={"name": "ci", "expires_in": 7776000},
        answers={
            201: Answer(
                schema=NewKey,
                example=NewKey("4cy2k7", "ci", "acme", _AT, _AT + timedelta(days=90), "ls_4cy2k7_..."),
                says="The key; it is not shown again.",
            )
        },
        problems=(409,),
    ),
    "GET /v1/tenants/{tenant_id}/keys": Operation(
        answers={200: Answer(schema=Keys, example=Keys((_KEY,)), says="The keys, without their secrets.")}
    ),
    "DELETE /v1/tenants/{tenant_id}/keys/{key_id}": Operation(answers={204: Answer(says="It is refused from now on.")}),
}
