"""Jobs as they change, on the real control plane: over WebSocket and events, resumed, bounded, and never another's."""

from __future__ import annotations

import asyncio
import json
import textwrap
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.cluster.product.gate import gate

from longshore import errors
from longshore.cli.local import LocalApi
from longshore.sdk.client import LongshoreClient
from longshore.sdk.stream import Change

NewTenant = Callable[..., Awaitable[Any]]
Eventually = Callable[..., Awaitable[Any]]


async def test_a_job_is_followed_to_its_end_by_a_watch_that_began_before_it_ran(new_tenant: NewTenant) -> None:
    tenant = await new_tenant()
    changes: list[Change] = []
    async with asyncio.timeout(90), gate() as seen:
        job = await tenant.client.jobs.submit("bash", ["bash", "-c", f"{seen.wait}; exit 3"])
        async for change in tenant.client.jobs.watch(job.id):
            changes.append(change)
            if "Running" in [each.status for each in (*change.jobs, change.job) if each]:
                await seen.open()
    assert changes[0].type == "snapshot"
    statuses = [each.status for change in changes for each in (change.jobs or ((change.job,) if change.job else ()))]
    assert statuses[-1] == "Failed"
    assert "Running" in statuses
    assert changes[-1].job is not None
    assert changes[-1].job.exit_code == 3


async def test_the_rows_of_a_list_change_before_ones_eyes(new_tenant: NewTenant) -> None:
    tenant = await new_tenant()
    first = await tenant.client.jobs.submit("bash", ["true"], name="first", tags={"team": "x"})
    rows: list[str] = []
    status: dict[str, str] = {}
    second = None
    async with asyncio.timeout(60):
        async for change in tenant.client.jobs.watch(limit=5, window=True):
            if change.type == "snapshot":
                rows = [job.id for job in change.jobs]
                status |= {job.id: job.status for job in change.jobs}
            elif change.job is not None:
                status[change.job.id] = change.job.status
            if second is None:
                assert rows == [first.id]
                second = await tenant.client.jobs.submit("bash", ["true"], name="second")
            elif set(rows) == {first.id, second.id} and set(status.values()) == {"Succeeded"}:
                break


async def test_nothing_of_another_tenants_is_ever_sent(new_tenant: NewTenant, api: LocalApi) -> None:
    mine, other = await new_tenant(), await new_tenant()
    theirs = await other.client.jobs.submit("bash", ["bash", "-c", "sleep 600"])
    async with (
        aiohttp.ClientSession(api.url, headers={"X-API-Key": mine.key}) as session,
        session.ws_connect("/v1/stream") as socket,
    ):
        for id, to in (
            ("all", {}),
            ("kind", {"kind": "job"}),
            ("job", {"job": theirs.id}),
            ("tenant", {"tenant": other.id}),
        ):
            await socket.send_json({"type": "subscribe", "id": id, "to": to})
        said = [json.loads((await socket.receive(timeout=60)).data) for _ in range(5)]
        assert [each["type"] for each in said] == ["hello", "snapshot", "snapshot", "error", "error"]
        assert [each.get("status") for each in said[3:]] == [404, 404]
        assert said[1]["jobs"] == said[2]["jobs"] == []
        await other.client.jobs.stop(theirs.id)
        await other.client.jobs.wait(theirs.id, deadline=60)
        own = await mine.client.jobs.submit("bash", ["true"])
        heard = json.loads((await socket.receive(timeout=60)).data)
        assert heard["job"]["id"] == own.id
    async with aiohttp.ClientSession(api.url, headers={"X-API-Key": mine.key}) as session:
        asked: tuple[tuple[str, dict[str, str], int], ...] = (
            (f"/v1/jobs/{theirs.id}/stream", {}, 404),
            ("/v1/stream", {"tenant": other.id}, 404),
            ("/v1/stream", {"status": "Running"}, 422),
        )
        for path, params, status in asked:
            async with session.get(path, params=params) as answer:
                assert answer.status == status, path


async def test_a_replica_answers_once_it_sees_what_another_one_has_told_and_what_can_never_be_seen_begins_anew(
    new_tenant: NewTenant, api: LocalApi
) -> None:
    """A version that the API server itself has not is of a history that a backup replaced."""
    tenant = await new_tenant()
    job = await tenant.client.jobs.submit("bash", ["true"])
    async with (
        aiohttp.ClientSession(api.url, headers={"X-API-Key": tenant.key}) as session,
        session.ws_connect("/v1/stream") as socket,
    ):
        hello = json.loads((await socket.receive(timeout=60)).data)
        for known in (f"{job.resource_version}.0", f"0.{2**62}"):
            await socket.send_json({"type": "subscribe", "id": "all", "after": f"elsewhere-3-{known}"})
        seen = anew = json.loads((await socket.receive(timeout=60)).data)
        assert [each["id"] for each in seen["jobs"]] == [job.id]
        assert "anew" not in seen
        while anew is seen or "seq" in anew:  # how the job goes on may be told before
            anew = json.loads((await socket.receive(timeout=60)).data)
        assert (anew["type"], anew["anew"]) == ("snapshot", True)
        assert [each["id"] for each in anew["jobs"]] == [job.id]
        before, after = (int(each["position"].split("-")[2].split(".")[0]) for each in (hello, seen))
        assert 0 < before <= after
    headers = {"Last-Event-ID": f"elsewhere-3-{2**62}.0", "X-API-Key": tenant.key}
    async with aiohttp.ClientSession(api.url, headers=headers) as session, session.get("/v1/stream") as events:
        assert events.status == 200
        async with asyncio.timeout(30):
            while not (line := await events.content.readline()).startswith(b"data:"):
                assert line
        assert json.loads(line.removeprefix(b"data:"))["anew"] is True
    with pytest.raises(errors.Gone, match="backup"):
        await tenant.client.jobs.get(job.id, min_resource_version=str(2**62))


async def test_a_revoked_key_ends_its_sockets_within_a_minute(new_tenant: NewTenant, admin: LongshoreClient) -> None:
    tenant = await new_tenant()
    key = await admin.keys.create(tenant.id, name="short")
    url = tenant.client.jobs._transport.url
    async with (
        aiohttp.ClientSession(url, headers={"X-API-Key": key.key}) as session,
        session.ws_connect("/v1/stream") as socket,
    ):
        assert json.loads((await socket.receive(timeout=60)).data)["type"] == "hello"
        await admin.keys.revoke(tenant.id, key.id)
        received = await socket.receive(timeout=60)
        assert (received.type, received.data) == (aiohttp.WSMsgType.CLOSE, 4401)


async def test_the_example_in_the_documentation_runs(new_tenant: NewTenant, api: LocalApi) -> None:
    text = (Path(__file__).parents[3] / "docs" / "stream.md").read_text()
    example = textwrap.indent(text.partition("```python\n")[2].partition("```")[0], "    ")
    said: list[str] = []
    names: dict[str, Any] = {"LongshoreClient": LongshoreClient, "print": said.append}
    exec(f"async def example(url, key):\n{example}", names)
    async with asyncio.timeout(60):
        await names["example"](api.url, (await new_tenant()).key)
    assert said[-1] == "Succeeded"
