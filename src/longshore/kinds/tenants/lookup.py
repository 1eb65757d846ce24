"""Finds a tenant by the name of its object, also one that another replica has just made; for all kinds' routes."""

from __future__ import annotations

from longshore.errors import NotFound
from longshore.kinds.kind import Services
from longshore.kinds.tenants.model import TENANTS, Tenant


async def tenant_named(parts: Services, name: str) -> Tenant | None:
    """The tenant, as this replica knows it. Raises Unavailable where it does not and the API server cannot be asked.

    Only administrators can ask for what is not there, so that a request for each costs nobody else anything.
    """
    known = parts.stores.tenants.get(name)
    if known is not None:
        return known
    try:
        made = await parts.client.get(TENANTS, name)
    except NotFound:
        return None
    # so that what is asked next, here, finds it too
    await parts.stores.tenants.has_seen(made.metadata.resource_version)
    return made
