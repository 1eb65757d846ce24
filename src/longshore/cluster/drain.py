"""Empties a node, as `kubectl drain` does: no new pods, and those that are there evicted within budgets and graces.

`nodes` calls it before a node goes. Source: Kubernetes docs "Safely Drain a Node".
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from longshore.cluster.progress import Report, Step
from longshore.errors import Conflict, EvictionRefused, NotFound, Unavailable, UserMistake
from longshore.kube.client import Client
from longshore.kube.eviction import evict
from longshore.kube.objects import NODES, PODS, Patch

_POLL_SECONDS = 0.25
_RAW_PODS = PODS.read_as(dict[str, Any])


async def cordon(client: Client, node: str, cordoned: bool) -> None:
    """Let no new pods come, or let them come again; a node that never registered has none."""
    with suppress(NotFound):
        await client.patch(NODES, node, {"spec": {"unschedulable": cordoned or None}}, type=Patch.MERGE)


async def drain(client: Client, node: str, deadline: float, report: Report) -> None:
    """Evict all pods and wait until they have left.

    UserMistake when nobody would make some of them anew elsewhere; Unavailable names those that are there after
    `deadline` seconds, and who was in the way: all have been asked to leave once, however little time there is.
    """
    if alone := [pod for pod in await _pods(client, node) if not _has_controller(pod)]:
        raise UserMistake(
            f"nobody makes these pods anew elsewhere: {_names(alone)}",
            hint="Delete them yourself, or use --force, which ends them with the node.",
        )
    loop = asyncio.get_running_loop()
    until = loop.time() + deadline
    total, refused, is_asked = 0, "", False
    while pods := await _pods(client, node):
        total = max(total, len(pods))
        names = _names(pods)
        report(Step(f"draining {node}", refused or names, total - len(pods), total))
        if is_asked and loop.time() > until:
            raise Unavailable(
                f"{len(pods)} pods are still on {node} after {deadline:.0f} s: {names}. {refused}".rstrip(),
                hint="Try again with more --timeout, or with --force, which ends them with the node.",
            )
        refusals = [await _evict(client, pod["metadata"]) for pod in pods]
        refused, is_asked = next(filter(None, refusals), ""), True
        await asyncio.sleep(_POLL_SECONDS)


async def delete_all(client: Client, node: str) -> None:
    """Delete the objects of the pods of a node that is gone: nothing of them runs any more."""
    page = await client.list_page(_RAW_PODS, field_selector=f"spec.nodeName={node}", limit=None)
    for meta in (pod["metadata"] for pod in page.items):
        with suppress(NotFound, Conflict):
            await client.delete(_RAW_PODS, meta["name"], meta["namespace"], uid=meta["uid"], grace_period_seconds=0)


def _names(pods: list[dict[str, Any]]) -> str:
    shown = ", ".join(f"{pod['metadata']['namespace']}/{pod['metadata']['name']}" for pod in pods[:3])
    return shown if len(pods) <= 3 else f"{shown} and {len(pods) - 3} more"


def _has_controller(pod: dict[str, Any]) -> bool:
    return any(owner.get("controller") for owner in pod["metadata"].get("ownerReferences", ()))


async def _pods(client: Client, node: str) -> list[dict[str, Any]]:
    """Those that are to leave: not those of DaemonSets, which belong to the node, nor those that are over."""
    page = await client.list_page(_RAW_PODS, field_selector=f"spec.nodeName={node}", limit=None)
    return [
        pod
        for pod in page.items
        if pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")
        and all(owner["kind"] != "DaemonSet" for owner in pod["metadata"].get("ownerReferences", ()))
    ]


async def _evict(client: Client, meta: dict[str, Any]) -> str:
    """Why it was refused, "" when it was not."""
    if not meta.get("deletionTimestamp"):
        with suppress(NotFound, Conflict):
            try:
                await evict(client, meta["name"], meta["namespace"], uid=meta["uid"])
            except EvictionRefused as error:
                return error.message
    return ""
