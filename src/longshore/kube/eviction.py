"""Asks a pod to leave its node in a way that PodDisruptionBudgets may forbid. For whoever drains or moves pods."""

from typing import Any

from longshore.kube.client import Client
from longshore.kube.objects import PODS, Resource

_EVICTED: Resource[dict[str, Any]] = PODS.read_as(dict[str, Any])  # the answer is a Status


async def evict(
    client: Client,
    name: str,
    namespace: str,
    *,
    uid: str | None = None,
    grace_period_seconds: int | None = None,
    dry_run: bool = False,
) -> None:
    """Start the pod's deletion, if its budget allows it and it still is the pod with this uid.

    Raises EvictionRefused when a budget forbids it now, which is not tried again here; Conflict when it is another
    pod by this name; NotFound. Source: API-initiated eviction, policy/v1 Eviction.
    """
    options = {"gracePeriodSeconds": grace_period_seconds, "preconditions": uid and {"uid": uid}}
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": namespace},
        "deleteOptions": {key: value for key, value in options.items() if value is not None},
    }
    await client.create(_EVICTED, body, namespace, subresource="eviction", dry_run=dry_run)
