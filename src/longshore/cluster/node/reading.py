"""Reads from the API what a pod names: ConfigMaps, Secrets, claims and their volumes. For `volumes` and `claims`.

The Node authoriser lets a node read what its own pods name. It learns of a pod when the node does, or a moment later,
and forbids until then; nobody should be told of that moment in an event.
"""

from __future__ import annotations

import asyncio
from random import Random
from typing import TypeVar

from longshore.errors import Forbidden
from longshore.kube.backoff import Backoff
from longshore.kube.client import Client
from longshore.kube.objects import Resource

_TRIES = 8  # about two seconds
T = TypeVar("T")


async def read(client: Client, resource: Resource[T], name: str, namespace: str | None = None) -> T:
    """As `client.get`; Forbidden only when it stays so."""
    backoff = Backoff(0.1, 0.5, Random())  # noqa: S311 - it spreads load, it hides nothing
    for _ in range(_TRIES):
        try:
            return await client.get(resource, name, namespace)
        except Forbidden:
            await asyncio.sleep(backoff.next())
    return await client.get(resource, name, namespace)
