"""The whole way of a job on the real control plane: in, admitted, run, followed, archived, released, still there."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.cluster.product.gate import gate
from tests.cluster.product.serving import replica_env

from longshore import errors
from longshore.cli.local import LocalApi
from longshore.cluster.cluster import LocalCluster
from longshore.kinds.jobs import commands, model, routes
from longshore.kinds.jobs.places import INDEXES
from longshore.kinds.jobs.state import settled
from longshore.kinds.kind import Services, Stores
from longshore.kinds.tenants.model import TENANTS
from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.kube.objects import JOBS, NAMESPACES, PODS, SECRETS
from longshore.kube.store import Store, Writer
from longshore.runtime.bus import Bus
from longshore.sdk.client import LongshoreClient
from longshore.services import open_archive, utc_now
from longshore.settings import Settings
from longshore.web.auth import Caller

NewTenant = Callable[..., Awaitable[Any]]
Eventually = Callable[..., Awaitable[Any]]


async def test_a_job_runs_is_followed_live_and_is_the_same_after_its_object_is_gone(
    new_tenant: NewTenant, client: Client, eventually: Eventually
) -> None:
    tenant = await new_tenant()
    job = await tenant.client.jobs.submit("bash", ["bash", "-c", "for i in 1 2 3; do echo line $i; done; echo bad >&2"])
    live = b"".join([chunk async for chunk in tenant.client.jobs.logs(job.id, follow=True)])
    assert live == b"line 1\nline 2\nline 3\nbad\n"
    done = await tenant.client.jobs.wait(job.id, deadline=60)
    assert (done.status, done.exit_code, done.attempts) == ("Succeeded", 0, 1)

    async def released() -> bool | None:
        return True if (await tenant.client.jobs.get(job.id)).archived else None

    await eventually(released)
    found = await client.get(JOBS, job.id, tenant.namespace)
    assert found.metadata.finalizers == ()
    assert found.spec.ttl_seconds_after_finished == 3600
    before = await tenant.client.jobs.get(job.id)
    await client.delete(JOBS, job.id, tenant.namespace)

    async def gone() -> bool | None:
        try:
            await client.get(JOBS, job.id, tenant.namespace)
        except errors.NotFound:
            return True
        return None

    await eventually(gone)
    after = await tenant.client.jobs.get(job.id)
    assert (after.status, after.created, after.finished, after.exit_code) == (
        before.status,
        before.created,
        before.finished,
        before.exit_code,
    )
    assert b"".join([chunk async for chunk in tenant.client.jobs.logs(job.id)]) == live
    assert b"".join([chunk async for chunk in tenant.client.jobs.logs(job.id, tail=1)]) == b"bad\n"
    assert [item.id for item in (await tenant.client.jobs.list()).items] == [job.id]

    async def only_archived() -> Any:
        return next(iter((await tenant.client.jobs.list(archived=True)).items), None)

    row = await eventually(only_archived)
    assert before.started is not None
    assert (row.id, row.started, row.message) == (job.id, before.started, before.message)


async def test_outputs_are_kept_and_the_users_container_holds_no_credential(
    new_tenant: NewTenant, tmp_path: Path
) -> None:
    tenant = await new_tenant()
    script = (
        "mkdir out; echo hello > out/a.txt; env > out/env.txt; cat /var/run/secrets/longshore/token && exit 9; true"
    )
    job = await tenant.client.jobs.submit("bash", ["bash", "-c", script], outputs=["out/**"])
    done = await tenant.client.jobs.wait(job.id, deadline=60)
    assert done.status == "Succeeded", done
    files = {artifact.name: artifact for artifact in await tenant.client.artifacts.list(job.id)}
    assert set(files) == {"out/a.txt", "out/env.txt"}
    saved = await tenant.client.artifacts.save(job.id, files["out/a.txt"], tmp_path)
    assert saved.read_text() == "hello\n"
    environment = (await tenant.client.artifacts.save(job.id, files["out/env.txt"], tmp_path)).read_text()
    assert "TOKEN" not in environment.upper()
    assert "LONGSHORE_API" not in environment


async def test_a_failed_job_says_how_and_shows_its_last_lines(new_tenant: NewTenant) -> None:
    tenant = await new_tenant()
    job = await tenant.client.jobs.submit("bash", ["bash", "-c", "echo the reason >&2; exit 3"])
    done = await tenant.client.jobs.wait(job.id, deadline=60)
    assert (done.status, done.reason, done.exit_code) == ("Failed", "Error", 3)
    assert "the reason" in (done.log_tail or "")
    assert done.hint


async def test_a_command_that_is_not_there_is_said_not_to_have_started(new_tenant: NewTenant) -> None:
    tenant = await new_tenant()
    job = await tenant.client.jobs.submit("bash", ["nosuchcmd"])
    done = await tenant.client.jobs.wait(job.id, deadline=60)
    assert (done.status, done.reason, done.started, done.log_tail) == ("Failed", "StartError", None, None)
    assert (done.message or "").startswith("Its command could not be started: cannot run 'nosuchcmd'")
    assert "its command" in (done.hint or "")


async def test_a_retry_is_another_attempt_of_the_same_job(new_tenant: NewTenant) -> None:
    tenant = await new_tenant()
    job = await tenant.client.jobs.submit("bash", ["bash", "-c", "echo try; exit 1"], retries=1)
    done = await tenant.client.jobs.wait(job.id, deadline=90)
    assert (done.status, done.attempts) == ("Failed", 2)
    assert b"".join([chunk async for chunk in tenant.client.jobs.logs(job.id)]) == b"try\ntry\n"


async def test_submitting_again_with_the_same_key_is_the_same_job_also_when_its_object_is_gone(
    new_tenant: NewTenant, client: Client, eventually: Eventually
) -> None:
    tenant = await new_tenant()
    first = await tenant.client.jobs.submit("bash", ["true"], idempotency_key="once")
    again = await tenant.client.jobs.submit("bash", ["true"], idempotency_key="once")
    assert first.id == again.id
    with pytest.raises(errors.Conflict):
        await tenant.client.jobs.submit("bash", ["false"], idempotency_key="once")
    await tenant.client.jobs.wait(first.id, deadline=60)

    async def released() -> bool | None:
        return True if (await tenant.client.jobs.get(first.id)).archived else None

    await eventually(released)
    await client.delete(JOBS, first.id, tenant.namespace)

    async def only_in_the_archive() -> bool | None:
        page = await tenant.client.jobs.list()
        return True if page.items[0].resource_version in (None, "") else None

    await eventually(only_in_the_archive)
    assert (await tenant.client.jobs.submit("bash", ["true"], idempotency_key="once")).status == "Succeeded"
    with pytest.raises(errors.Conflict):
        await tenant.client.jobs.submit("bash", ["false"], idempotency_key="once")


async def test_a_running_job_is_stopped_and_its_log_is_kept(new_tenant: NewTenant) -> None:
    tenant = await new_tenant()
    job = await tenant.client.jobs.submit("bash", ["bash", "-c", "echo started; exec sleep 600"])
    async for chunk in tenant.client.jobs.logs(job.id, follow=True):
        assert chunk == b"started\n"
        break
    await tenant.client.jobs.stop(job.id)
    done = await tenant.client.jobs.wait(job.id, deadline=60)
    assert (done.status, done.reason) == ("Stopped", "Stopped")
    assert b"".join([chunk async for chunk in tenant.client.jobs.logs(job.id)]) == b"started\n"


async def test_what_a_stopped_job_did_before_is_in_its_record_though_its_pod_is_gone(
    new_tenant: NewTenant, eventually: Eventually
) -> None:
    tenant = await new_tenant()
    job = await tenant.client.jobs.submit("bash", ["bash", "-c", "echo on; exec sleep 600"], cpu=0.1)
    never = await tenant.client.jobs.submit("registry.invalid/no/such:1", ["true"], cpu=0.1)

    async def says(id: str, reason: str) -> bool | None:
        found = await tenant.client.jobs.get(id)
        return True if found.why is not None and found.why.reason == reason else None

    await eventually(lambda: says(job.id, "Running"), deadline=60)
    await eventually(lambda: says(never.id, "ImagePull"), deadline=60)
    running = await tenant.client.jobs.get(job.id)
    for each in (job, never):
        await tenant.client.jobs.stop(each.id)

    async def archived(id: str) -> bool | None:
        return True if (await tenant.client.jobs.get(id)).archived else None

    for each in (job, never):
        await eventually(lambda id=each.id: archived(id), deadline=60)
    done = await tenant.client.jobs.get(job.id)
    assert (done.status, done.started, done.attempts) == ("Stopped", running.started, 1)
    assert done.why is not None
    assert running.why is not None
    assert (done.why.queued, done.why.pending) == (running.why.queued, running.why.pending)
    told = [event.reason for event in await tenant.client.jobs.events(job.id)]
    assert {"Accepted", "Started", "PodCreated", "Scheduled", "ContainerStarted", "Stopped"} <= {*told}
    waited = await tenant.client.jobs.get(never.id)
    assert (waited.status, waited.started) == ("Stopped", None)
    assert waited.why is not None
    assert "registry.invalid/no/such" in waited.why.sentence


async def test_a_waiting_job_says_why_and_can_be_stopped(new_tenant: NewTenant, eventually: Eventually) -> None:
    tenant = await new_tenant(concurrent_jobs=1)
    first = await tenant.client.jobs.submit("bash", ["sleep", "600"])
    waiting = await tenant.client.jobs.submit("bash", ["true"])
    behind = await tenant.client.jobs.submit("bash", ["true"])
    await eventually(running(tenant.client, first.id))
    record = await tenant.client.jobs.get(behind.id, min_resource_version=behind.resource_version)
    assert record.status == "Queued"
    assert record.why is not None
    assert record.why.ahead == 1
    assert "1 of 1" in (record.why.sentence or "")
    await tenant.client.jobs.stop(waiting.id)
    assert (await tenant.client.jobs.wait(waiting.id, deadline=60)).status == "Stopped"
    await tenant.client.jobs.stop(first.id)
    assert (await tenant.client.jobs.wait(behind.id, deadline=60)).status == "Succeeded"


def running(client: LongshoreClient, id: str) -> Callable[[], Awaitable[bool | None]]:
    async def look() -> bool | None:
        return True if (await client.jobs.get(id)).status == "Running" else None

    return look


async def test_what_is_another_tenants_is_not_there(new_tenant: NewTenant, api: LocalApi) -> None:
    mine, theirs = await new_tenant(), await new_tenant()
    job = await theirs.client.jobs.submit("bash", ["true"])
    await theirs.client.jobs.wait(job.id, deadline=60)
    for attempt in (
        mine.client.jobs.get(job.id),
        mine.client.jobs.stop(job.id),
        mine.client.artifacts.list(job.id),
        mine.client.jobs.events(job.id),
        _read(mine.client, job.id),
        mine.client.tenants.get(theirs.id),
        mine.client.keys.list(theirs.id),
    ):
        with pytest.raises(errors.NotFound):
            await attempt
    assert (await mine.client.jobs.list()).items == []
    async with LongshoreClient(api.url, mine.key, tenant=theirs.id) as pretending:
        with pytest.raises(errors.NotFound):
            await pretending.jobs.submit("bash", ["true"])
    for refused in (mine.client.tenants.list(), mine.client.keys.create(mine.id)):
        with pytest.raises(errors.Forbidden):
            await refused


async def _read(client: LongshoreClient, id: str) -> bytes:
    return b"".join([chunk async for chunk in client.jobs.logs(id)])


async def test_a_wrong_key_a_revoked_key_and_no_key_are_told_apart_from_nothing(
    new_tenant: NewTenant, admin: LongshoreClient, api: LocalApi
) -> None:
    tenant = await new_tenant()
    (kept,) = await admin.keys.list(tenant.id)
    await admin.keys.revoke(tenant.id, kept.id)
    for key in (None, "ls_nonsense_nonsense", tenant.key[:-1] + "x"):
        async with LongshoreClient(api.url, key) as stranger:
            with pytest.raises(errors.Unauthenticated) as caught:
                await stranger.jobs.list()
            assert caught.value.hint
            assert key is None or key not in caught.value.message
    async with asyncio.timeout(60):
        while True:
            try:
                await tenant.client.jobs.list()
            except errors.Unauthenticated:
                return


async def test_what_asks_for_more_than_the_tenant_has_is_refused_naming_the_field(new_tenant: NewTenant) -> None:
    tenant = await new_tenant(cpu=2)
    with pytest.raises(errors.UserMistake) as caught:
        await tenant.client.jobs.submit("bash", ["true"], cpu=3)
    assert caught.value.field == "resources.cpu"
    assert caught.value.hint


async def test_a_full_queue_refuses_more(new_tenant: NewTenant, api: LocalApi, eventually: Eventually) -> None:
    tenant = await new_tenant(concurrent_jobs=1, queued_jobs=1)
    async with LongshoreClient(api.url, tenant.key, patience=0) as hasty:
        first = await hasty.jobs.submit("bash", ["sleep", "600"])
        await eventually(running(hasty, first.id))
        await hasty.jobs.submit("bash", ["true"])

        async def refused() -> errors.TooManyRequests | None:
            try:
                await hasty.jobs.submit("bash", ["true"])
            except errors.TooManyRequests as refusal:
                return refusal
            return None

        assert (await eventually(refused)).hint
        await hasty.jobs.stop(first.id)


async def test_a_page_goes_on_where_the_last_one_ended_whatever_comes_in_between(
    new_tenant: NewTenant, eventually: Eventually
) -> None:
    tenant = await new_tenant(concurrent_jobs=1)
    blocker = await tenant.client.jobs.submit("bash", ["sleep", "600"])
    ids = [blocker.id] + [(await tenant.client.jobs.submit("bash", ["true"], name=f"n{i}")).id for i in range(6)]

    async def all_seen() -> bool | None:
        return True if len((await tenant.client.jobs.list()).items) == len(ids) else None

    await eventually(all_seen)
    page = await tenant.client.jobs.list(limit=3)
    seen = [item.id for item in page.items]
    late = await tenant.client.jobs.submit("bash", ["true"])
    while page.cursor:
        page = await tenant.client.jobs.list(limit=3, cursor=page.cursor)
        seen += [item.id for item in page.items]
    assert len(seen) == len(set(seen))
    assert set(ids) == set(seen) - {late.id}
    await tenant.client.jobs.stop(blocker.id)


async def test_a_page_says_which_version_of_the_cache_it_shows_and_how_old_that_is(
    new_tenant: NewTenant, api: LocalApi
) -> None:
    tenant = await new_tenant(concurrent_jobs=1)
    job = await tenant.client.jobs.submit("bash", ["true"])
    params = {"min_resource_version": str(job.resource_version)}
    async with aiohttp.ClientSession(api.url, headers={"X-API-Key": tenant.key}) as session:
        async with session.get("/v1/jobs", params=params) as response:
            page = await response.json()
            assert int(page["resource_version"]) >= int(job.resource_version or 0)
            assert 0 <= page["age_seconds"] < 300
        async with session.get(f"/v1/jobs/{job.id}", params=params) as response:
            assert int(response.headers["Longshore-Resource-Version"]) >= int(job.resource_version or 0)
            assert 0 <= int(response.headers["Age"]) < 300
        async with session.get("/v1/jobs", params={"cursor": "damaged"}) as response:
            assert response.status == 422
            assert (await response.json())["hint"]


async def test_a_tenant_with_work_is_deleted_by_force_only_and_its_work_is_archived_first(
    new_tenant: NewTenant, admin: LongshoreClient, client: Client, eventually: Eventually
) -> None:
    tenant = await new_tenant()
    job = await tenant.client.jobs.submit("bash", ["sleep", "600"])
    await eventually(running(tenant.client, job.id))
    with pytest.raises(errors.Conflict):
        await admin.tenants.delete(tenant.id)
    await admin.tenants.delete(tenant.id, force=True)

    async def gone() -> bool | None:
        try:
            await admin.tenants.get(tenant.id)
        except errors.NotFound:
            return True
        return None

    await eventually(gone, deadline=90)
    record = await admin.jobs.get(job.id)
    assert (record.status, record.archived) == ("Stopped", True)
    with pytest.raises(errors.NotFound):
        await client.get(NAMESPACES, tenant.namespace)


async def test_a_job_that_is_stopped_while_it_is_being_started_is_stopped_and_nobody_is_refused(
    new_tenant: NewTenant,
) -> None:
    tenant = await new_tenant(concurrent_jobs=10)
    jobs = [await tenant.client.jobs.submit("bash", ["sleep", "600"], cpu=0.1) for _ in range(8)]
    await asyncio.gather(*(tenant.client.jobs.stop(job.id) for job in jobs))
    for job in jobs:
        assert (await tenant.client.jobs.wait(job.id, deadline=60)).status == "Stopped"


async def test_what_is_stopped_or_deleted_is_met_as_it_is_however_old_the_view_of_it(
    new_tenant: NewTenant, client: Client, cluster: LocalCluster, eventually: Eventually
) -> None:
    tenant = await new_tenant(concurrent_jobs=1)
    env = replica_env(cluster)
    archive = env["LONGSHORE_ARCHIVE"]
    stores = Stores(Store(JOBS), Store(PODS), Store(TENANTS), Store(SECRETS))
    async with gate() as end:
        short = await tenant.client.jobs.submit("bash", ["bash", "-c", end.wait])
        waiting = await tenant.client.jobs.submit("bash", ["sleep", "600"])
        queued = await client.get(JOBS, waiting.id, tenant.namespace)
        await eventually(running(tenant.client, short.id))
        ran = await client.get(JOBS, short.id, tenant.namespace)
        assert (queued.status.start_time, ran.status.start_time is None) == (None, False)
        await end.open()
        await tenant.client.jobs.wait(short.id, deadline=60)

    async with Client(Config.load(env["LONGSHORE_KUBECONFIG"])) as own:
        parts = Services(Settings(archive=archive), own, stores, open_archive(archive), Bus(), utc_now)
        over = await commands.request_stop(parts, ran, "Too late.")
        assert (settled(over), model.stop_requested(over)) == (model.Status.SUCCEEDED, False)
        assert model.is_hidden(await commands.hide(parts, ran, "Deleted.", purge=False))

        await eventually(running(tenant.client, waiting.id))
        hidden = await commands.hide(parts, queued, "Deleted.", purge=False)
        assert (model.is_hidden(hidden), model.stop_requested(hidden)) == (True, True)


async def test_who_has_yet_to_hear_that_a_job_has_left_the_cluster_stops_and_purges_what_the_archive_has(
    new_tenant: NewTenant, client: Client, cluster: LocalCluster, eventually: Eventually
) -> None:
    tenant = await new_tenant()
    job = await tenant.client.jobs.submit("bash", ["true"])

    async def released() -> bool | None:
        return True if (await tenant.client.jobs.get(job.id)).archived else None

    await eventually(released)
    env, who = replica_env(cluster), Caller("a key", tenant=tenant.namespace.removeprefix("tenant-"))
    stores = Stores(Store(JOBS, INDEXES), Store(PODS), Store(TENANTS), Store(SECRETS))
    before = await client.get(JOBS, job.id, tenant.namespace)
    Writer(stores.jobs).replace([before], int(before.metadata.resource_version))
    await client.delete(JOBS, job.id, tenant.namespace)

    async def gone() -> bool | None:
        try:
            await client.get(JOBS, job.id, tenant.namespace)
        except errors.NotFound:
            return True
        return None

    await eventually(gone)
    archive = open_archive(env["LONGSHORE_ARCHIVE"])
    async with Client(Config.load(env["LONGSHORE_KUBECONFIG"])) as own:
        parts = Services(Settings(archive=env["LONGSHORE_ARCHIVE"]), own, stores, archive, Bus(), utc_now)
        assert (await routes.stop_job(job.id, who, parts)).status_code in (200, 202)
        assert (await routes.delete_job(job.id, who, parts)).status_code == 204
        assert (await routes.delete_job(job.id, who, parts, purge=True)).status_code == 204
        with pytest.raises(errors.NotFound):
            await routes.delete_job(job.id, who, parts, purge=True)
