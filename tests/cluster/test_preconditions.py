"""What was decided on another state than the present is refused by the real API server, whatever the action."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from longshore.errors import Conflict, NotFound
from longshore.kube.client import Client
from longshore.kube.objects import CONFIG_MAPS, AnyObject, Patch
from longshore.runtime.executor import Executor
from longshore.runtime.plan import Apply, DeleteObject, PatchObject

numbers = count()


async def create(client: Client, namespace: str) -> AnyObject:
    return await client.create(CONFIG_MAPS, {"metadata": {"name": "a"}, "data": {"value": "0"}}, namespace)


@pytest.mark.parametrize("type", list(Patch))
@pytest.mark.parametrize("stale", ["uid", "resource_version", "gone"])
async def test_a_patch_decided_on_another_state_is_a_conflict(
    client: Client, namespace: str, type: Patch, stale: str
) -> None:
    found = await create(client, namespace)
    uid, version = found.metadata.uid, found.metadata.resource_version
    patch: Any = {"data": {"value": "1"}}
    if type is Patch.JSON:
        patch = [{"op": "replace", "path": "/data/value", "value": "1"}]
    executor = Executor(client)
    right = PatchObject(CONFIG_MAPS, "a", namespace, patch, type=type, uid=uid, resource_version=version)
    if stale == "resource_version":
        await client.patch(CONFIG_MAPS, "a", {"data": {"other": "x"}}, namespace)
        wrong = right
    else:
        await client.delete(CONFIG_MAPS, "a", namespace)
        wrong = PatchObject(CONFIG_MAPS, "a", namespace, patch, type=type, uid=uid)
    if stale == "uid":
        await create(client, namespace)
    with pytest.raises(Conflict):
        await executor.execute(wrong)
    if stale != "gone":
        assert (await client.get(CONFIG_MAPS, "a", namespace)).data["value"] == "0"


@pytest.mark.parametrize("type", list(Patch))
async def test_a_patch_decided_on_the_present_state_is_carried_out(client: Client, namespace: str, type: Patch) -> None:
    found = await create(client, namespace)
    patch: Any = {"data": {"value": "1"}}
    if type is Patch.JSON:
        patch = [{"op": "replace", "path": "/data/value", "value": "1"}]
    uid, version = found.metadata.uid, found.metadata.resource_version
    written = await Executor(client).execute(
        PatchObject(CONFIG_MAPS, "a", namespace, patch, type=type, uid=uid, resource_version=version)
    )
    now = await client.get(CONFIG_MAPS, "a", namespace)
    assert now.data["value"] == "1"
    assert written is not None
    assert written.version == int(now.metadata.resource_version)


def an_apply(namespace: str, uid: str | None = None, version: str | None = None) -> Apply:
    body = {"metadata": {"name": "a", "namespace": namespace}, "data": {"value": "1"}}
    return Apply(CONFIG_MAPS, body, "test", uid=uid, resource_version=version)


@pytest.mark.parametrize("stale", ["uid", "resource_version", "gone"])
async def test_an_apply_decided_on_another_state_is_a_conflict_and_makes_nothing(
    client: Client, namespace: str, stale: str
) -> None:
    found = await create(client, namespace)
    uid, version = found.metadata.uid, found.metadata.resource_version
    if stale == "resource_version":
        await client.patch(CONFIG_MAPS, "a", {"data": {"other": "x"}}, namespace)
    else:
        await client.delete(CONFIG_MAPS, "a", namespace)
    if stale == "uid":
        await create(client, namespace)
    for wrong in (
        an_apply(namespace, uid, version),
        *([an_apply(namespace, uid)] if stale != "resource_version" else []),
    ):
        with pytest.raises(Conflict):
            await Executor(client).execute(wrong)
    page = await client.list_page(CONFIG_MAPS, namespace, field_selector="metadata.name=a")
    assert [item.data["value"] for item in page.items] == ([] if stale == "gone" else ["0"])


async def test_an_apply_decided_on_the_present_state_is_carried_out_and_one_without_conditions_makes_what_is_missing(
    client: Client, namespace: str
) -> None:
    assert await Executor(client).execute(an_apply(namespace)) is not None
    found = await client.patch(CONFIG_MAPS, "a", {"data": {"value": "0"}}, namespace)
    written = await Executor(client).execute(an_apply(namespace, found.metadata.uid, found.metadata.resource_version))
    now = await client.get(CONFIG_MAPS, "a", namespace)
    assert now.data["value"] == "1"
    assert written is not None
    assert written.version == int(now.metadata.resource_version)


async def test_a_version_without_a_uid_would_not_guard_an_apply_which_is_why_it_is_refused(
    client: Client, namespace: str
) -> None:
    """How the API server behaves today; when this fails, `plan.Apply` may allow it."""
    body = {"metadata": {"name": "gone", "namespace": namespace, "resourceVersion": "1"}}
    made = await client.apply(CONFIG_MAPS, body, field_manager="test")
    assert made.metadata.uid


@pytest.mark.parametrize("stale", ["uid", "resource_version"])
async def test_a_delete_decided_on_another_state_is_a_conflict_and_deletes_nothing(
    client: Client, namespace: str, stale: str
) -> None:
    found = await create(client, namespace)
    if stale == "resource_version":
        await client.patch(CONFIG_MAPS, "a", {"data": {"other": "x"}}, namespace)
        wrong = DeleteObject(CONFIG_MAPS, "a", namespace, resource_version=found.metadata.resource_version)
    else:
        await client.delete(CONFIG_MAPS, "a", namespace)
        await create(client, namespace)
        wrong = DeleteObject(CONFIG_MAPS, "a", namespace, uid=found.metadata.uid)
    with pytest.raises(Conflict):
        await Executor(client).execute(wrong)
    assert (await client.get(CONFIG_MAPS, "a", namespace)).data["value"] == "0"


async def test_an_apply_that_meant_no_object_in_particular_tells_what_is_missing(client: Client) -> None:
    with pytest.raises(NotFound, match="no-such-namespace"):
        await Executor(client).execute(an_apply("no-such-namespace"))
