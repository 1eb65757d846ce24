"""What people ask of a job, on the real control plane: its inputs reach it; it is run again, deleted, purged."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from tests.cluster.product.serving import replica_env, serving

from longshore import errors
from longshore.cli.local import LocalApi
from longshore.cluster.cluster import LocalCluster
from longshore.kinds.jobs.manifest import job_manifest
from longshore.kinds.jobs.request import JobRequest
from longshore.kube.client import Client
from longshore.kube.config import Config
from longshore.kube.objects import CONFIG_MAPS, JOBS, PERSISTENT_VOLUME_CLAIMS, SECRETS
from longshore.sdk.client import LongshoreClient
from longshore.settings import Settings

NewTenant = Callable[..., Awaitable[Any]]
Eventually = Callable[..., Awaitable[Any]]


@asynccontextmanager
async def http(api: LocalApi, key: str) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(api.url, headers={"X-API-Key": key}) as session:
        yield session


async def submit(session: aiohttp.ClientSession, script: str, **fields: Any) -> dict[str, Any]:
    body = {"image": "bash", "command": ["bash", "-c", script], **fields}
    async with session.post("/v1/jobs", json=body) as response:
        made: dict[str, Any] = await response.json()
        assert response.status in (200, 202), made
        return made


async def text(client: LongshoreClient, id: str) -> str:
    return b"".join([chunk async for chunk in client.jobs.logs(id)]).decode()


async def test_secrets_claims_shared_memory_and_folder_reach_the_job(
    new_tenant: NewTenant, api: LocalApi, client: Client
) -> None:
    tenant = await new_tenant()
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"k": "hush"}}
    await client.create(SECRETS, secret, tenant.namespace)
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    }
    await client.create(PERSISTENT_VOLUME_CLAIMS, claim, tenant.namespace)
    shared = "echo x > /dev/shm/x && cat /dev/shm/x"
    script = f"echo $WORD; pwd; echo kept > /data/file; cat /data/file; {shared}; echo $HOME"
    async with http(api, tenant.key) as session:
        job = await submit(
            session,
            script,
            env={"WORD": {"secret": "s", "key": "k"}},
            mounts=[{"claim": "data", "path": "/data"}],
            working_dir="sub",
            shm_size="16Mi",
        )
    done = await tenant.client.jobs.wait(job["id"], deadline=60)
    assert done.status == "Succeeded", (done, await text(tenant.client, job["id"]))
    assert (await text(tenant.client, job["id"])).split() == ["hush", "/workspace/sub", "kept", "x", "/home/longshore"]


async def test_an_indexed_job_runs_each_index_once_and_says_which_have_ended(
    new_tenant: NewTenant, api: LocalApi, eventually: Eventually
) -> None:
    tenant = await new_tenant()
    async with http(api, tenant.key) as session:
        job = await submit(session, "test $JOB_COMPLETION_INDEX != 1", completions=3, parallelism=2)
        assert job["indexes"]["completions"] == 3
        done = await tenant.client.jobs.wait(job["id"], deadline=90)
        assert (done.status, done.attempts) == ("Failed", 3)

        async def told() -> Any:
            """Pods and Jobs are told by two watches."""
            async with session.get(f"/v1/jobs/{job['id']}") as response:
                found = await response.json()
            return found if found["indexes"]["failures"] else None

        record = await eventually(told)
    said = "The command ended with exit code 1."
    failure = {"index": 1, "attempts": 1, "exit_code": 1, "reason": "Error", "message": said}
    counts = {"succeeded": 2, "failed": 1, "running": 0}
    expected = {"completions": 3, "parallelism": 2, "succeeded": "0,2", "failed": "1", "failures": [failure]}
    expected |= {"running": "", "counts": counts, "own_logs": True}
    assert (record["indexes"], record["message"]) == (expected, f"Index 1: {said}")


async def test_what_one_job_gave_out_is_the_input_of_the_next_and_is_checked_before(
    new_tenant: NewTenant, api: LocalApi
) -> None:
    tenant, other = await new_tenant(), await new_tenant()
    async with http(api, tenant.key) as session:
        first = await submit(session, "mkdir out; echo made > out/a.txt", outputs=["out/*"])
        assert (await tenant.client.jobs.wait(first["id"], deadline=60)).status == "Succeeded"
        ask: dict[str, Any] = {"image": "bash", "command": ["cat", "in/out/a.txt"]}
        ask["inputs"] = [{"artifact": f"{first['id']}/out/a.txt", "path": "in"}]
        async with session.post("/v1/jobs", json=ask) as response:
            second = await response.json()
            assert response.status == 202, second
        assert (await tenant.client.jobs.wait(second["id"], deadline=60)).status == "Succeeded"
        assert await text(tenant.client, second["id"]) == "made\n"
    async with http(api, other.key) as stranger, stranger.post("/v1/jobs", json=ask) as response:
        refused = await response.json()
        assert (response.status, refused["field"]) == (422, "inputs.0.artifact")


async def test_a_higher_priority_starts_first_and_what_is_unknown_or_too_large_is_refused(
    new_tenant: NewTenant, api: LocalApi, eventually: Eventually
) -> None:
    tenant = await new_tenant(concurrent_jobs=1)
    async with http(api, tenant.key) as session:
        blocker = await submit(session, "sleep 600")
        low = await submit(session, "true", priority="low")
        high = await submit(session, "true", priority="high")

        async def behind() -> bool | None:
            record = await tenant.client.jobs.get(low["id"])
            return True if record.why and record.why.ahead == 1 else None

        await eventually(behind)
        await tenant.client.jobs.stop(blocker["id"])
        first, last = [await tenant.client.jobs.wait(job["id"], deadline=60) for job in (high, low)]
        assert first.started is not None
        assert last.started is not None
        assert first.started <= last.started
        async with session.post("/v1/jobs", json={"image": "bash", "priority": "system-node-critical"}) as response:
            assert (response.status, (await response.json())["field"]) == (422, "priority")
        large = {"image": "bash", "env": {f"E{n}": "x" * 8000 for n in range(3)}}
        async with session.post("/v1/jobs", json=large) as response:
            assert (response.status, bool((await response.json())["hint"])) == (413, True)


async def test_twenty_at_once_with_one_key_make_one_job_also_after_it_is_deleted_and_gone(
    new_tenant: NewTenant, api: LocalApi, client: Client, eventually: Eventually
) -> None:
    tenant = await new_tenant()
    async with http(api, tenant.key) as session:
        body = {"image": "bash", "command": ["true"]}

        async def post(image: str = "bash") -> tuple[int, str]:
            ask = {**body, "image": image}
            async with session.post("/v1/jobs", json=ask, headers={"Idempotency-Key": "once"}) as response:
                return response.status, (await response.json()).get("id", "")

        answers = await asyncio.gather(*(post() for _ in range(20)))
        assert Counter(status for status, _ in answers) == {202: 1, 200: 19}
        (id,) = {id for _, id in answers}
        assert [job.id for job in (await tenant.client.jobs.list()).items] == [id]
        assert (await post("other"))[0] == 409
        await tenant.client.jobs.wait(id, deadline=60)
        await eventually(_archived(tenant.client, id))
        await tenant.client.jobs.delete(id)
        assert await post() == (200, id)
        await client.delete(JOBS, id, tenant.namespace)
        await eventually(_gone(client, id, tenant.namespace))
        assert await post() == (200, id)
        assert (await post("other"))[0] == 409


async def test_a_submission_that_was_held_up_past_its_jobs_end_runs_nothing_twice(
    new_tenant: NewTenant, api: LocalApi, client: Client, cluster: LocalCluster, eventually: Eventually
) -> None:
    tenant = await new_tenant()
    async with http(api, tenant.key) as session:
        job = await submit(session, "true")
        await eventually(_archived(tenant.client, job["id"]))
        async with session.get(f"/v1/jobs/{job['id']}") as response:
            request = msgspec.convert((await response.json())["request"], JobRequest)
        await client.delete(JOBS, job["id"], tenant.namespace)
        await eventually(_gone(client, job["id"], tenant.namespace))
        # what `serve` writes when it had looked for an earlier job before there was one
        late = job_manifest(
            request,
            id=job["id"],
            kind="job",
            tenant=tenant.namespace.removeprefix("tenant-"),
            namespace=tenant.namespace,
            settings=Settings(),
            now=datetime.now(UTC),
        )
        async with Client(Config.load(cluster.identity_kubeconfig("longshore-serve"))) as serve:
            await serve.create(JOBS, late, tenant.namespace)
        await eventually(_gone(client, job["id"], tenant.namespace))

        async def told() -> Any:
            """Once `serve` has heard that the late one is gone."""
            async with session.get(f"/v1/jobs/{job['id']}") as response:
                found = await response.json()
            return found if found["uid"] == job["uid"] else None

        assert (await eventually(told))["status"] == "Succeeded"


async def test_a_job_is_run_again_from_its_record_with_what_was_uploaded_for_it(
    new_tenant: NewTenant, api: LocalApi, client: Client, eventually: Eventually
) -> None:
    tenant = await new_tenant()
    async with http(api, tenant.key) as session:
        old = await submit(session, "echo again", tags={"team": "a"})
        await tenant.client.jobs.wait(old["id"], deadline=60)
        await eventually(_archived(tenant.client, old["id"]))
        await client.delete(JOBS, old["id"], tenant.namespace)
        await eventually(_gone(client, old["id"], tenant.namespace))
        path, key = f"/v1/jobs/{old['id']}/rerun", {"Idempotency-Key": "rerun-1"}
        async with session.post(path, headers=key) as first, session.post(path, headers=key) as second:
            new, same = await first.json(), await second.json()
            assert (first.status, second.status) == (202, 200)
        assert new["id"] == same["id"] != old["id"]
        assert (new["rerun_of"], new["tags"]) == (old["id"], {"team": "a"})
        assert (await tenant.client.jobs.wait(new["id"], deadline=60)).status == "Succeeded"
        assert await text(tenant.client, new["id"]) == "again\n"


async def test_a_deleted_job_is_stopped_hidden_and_archived_and_a_purged_one_leaves_nothing(
    new_tenant: NewTenant, api: LocalApi, admin: LongshoreClient, client: Client, eventually: Eventually
) -> None:
    tenant = await new_tenant()
    async with http(api, tenant.key) as session:
        kept, purged = [await submit(session, "echo begun; sleep 600") for _ in range(2)]
        for job in (kept, purged):
            await eventually(_is(tenant.client, job["id"], "Running"))
        await tenant.client.jobs.delete(kept["id"])
        async with session.delete(f"/v1/jobs/{purged['id']}", params={"purge": "true"}) as response:
            assert response.status == 204
        assert (await tenant.client.jobs.list()).items == []
        for job in (kept, purged):
            with pytest.raises(errors.NotFound):
                await tenant.client.jobs.get(job["id"])
        # nothing of it is left: not the object, and the key's place is free
        await eventually(_gone(client, purged["id"], tenant.namespace), deadline=90)

        async def released() -> bool | None:
            job = await client.get(JOBS, kept["id"], tenant.namespace)
            return True if not job.metadata.finalizers else None

        await eventually(released, deadline=60)
        assert (await tenant.client.jobs.list()).items == []
        await client.delete(JOBS, kept["id"], tenant.namespace)
        await eventually(_gone(client, kept["id"], tenant.namespace))
        assert (await tenant.client.jobs.list()).items == []
        with pytest.raises(errors.NotFound):
            await tenant.client.jobs.get(kept["id"])
        # what was only hidden is still there to be purged, what was purged is not
        for job, status in ((kept, 204), (purged, 404), (kept, 404)):
            async with session.delete(f"/v1/jobs/{job['id']}", params={"purge": "true"}) as response:
                assert response.status == status


async def test_jobs_that_are_deleted_from_outside_are_stopped_and_archived_whether_they_run_or_wait(
    new_tenant: NewTenant, api: LocalApi, client: Client, eventually: Eventually
) -> None:
    tenant = await new_tenant(concurrent_jobs=1)
    async with http(api, tenant.key) as session:
        runs, waits = [await submit(session, "sleep 600") for _ in range(2)]
    await eventually(_is(tenant.client, runs["id"], "Running"))
    for job in (waits, runs):
        await client.delete(JOBS, job["id"], tenant.namespace)
    for job in (waits, runs):
        # asked for while it is being deleted, it is the same stop
        await tenant.client.jobs.stop(job["id"])
        assert (await tenant.client.jobs.wait(job["id"], deadline=60)).status == "Stopped"
        await eventually(_gone(client, job["id"], tenant.namespace), deadline=60)
        assert (await tenant.client.jobs.get(job["id"])).archived


async def test_a_job_that_others_made_is_listed_read_and_stopped_only_when_asked(
    new_tenant: NewTenant, api: LocalApi, client: Client, eventually: Eventually
) -> None:
    tenant, other = await new_tenant(), await new_tenant()
    container = {"name": "c", "image": "bash", "command": ["true"]}
    body = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "theirs"},
        "spec": {"suspend": True, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}},
    }
    await client.create(JOBS, body, tenant.namespace)
    id = f"{tenant.id}/job/theirs"

    async def listed() -> Any:
        return next(iter((await tenant.client.jobs.list()).items), None)

    assert (await eventually(listed)).id == id
    async with http(api, tenant.key) as mine, http(api, other.key) as stranger:
        async with mine.get(f"/v1/jobs/{id}") as response:
            record = await response.json()
        assert (record["id"], record["status"], record["foreign"]) == (id, "Queued", True)
        async with stranger.get(f"/v1/jobs/{id}") as response:
            assert response.status == 404
        async with mine.post(f"/v1/jobs/{id}/stop") as response:
            assert response.status == 202

        async def stopped() -> bool | None:
            async with mine.get(f"/v1/jobs/{id}") as response:
                return True if (await response.json())["status"] == "Stopped" else None

        await eventually(stopped)


async def test_what_cannot_be_placed_in_time_ends_with_the_schedulers_word_and_else_waits(
    new_tenant: NewTenant, api: LocalApi
) -> None:
    tenant = await new_tenant()
    nowhere = {"node_selector": {"example.com/no": "such"}}
    async with http(api, tenant.key) as session:
        # long enough for the scheduler to have its say
        job = await submit(session, "true", schedule_to_start=6, resources={"cpu": "0.1"}, **nowhere)
        image = await submit(session, "true", image="no.such/image:1", schedule_to_start=6, resources={"cpu": "0.1"})
        done = await tenant.client.jobs.wait(job["id"], deadline=60)
        assert (done.status, done.reason) == ("Failed", "Unschedulable")
        assert "within 6 s" in (done.message or "")
        assert "node" in (done.message or "").partition("turn.")[2]
        done = await tenant.client.jobs.wait(image["id"], deadline=60)
        assert done.status == "Failed"
        assert done.reason in ("ImagePull", "NotOnProcessNode"), done


async def test_an_evicted_job_says_why_and_keeps_the_end_of_its_log(
    new_tenant: NewTenant, api: LocalApi, eventually: Eventually
) -> None:
    tenant = await new_tenant()
    script = "echo last words; head -c 30M /dev/zero > /workspace/much; sleep 600"
    async with http(api, tenant.key) as session:
        job = await submit(session, script, resources={"ephemeral": "4Mi"})
        done = await tenant.client.jobs.wait(job["id"], deadline=90)
        assert (done.status, done.reason) == ("Failed", "Evicted"), done
        assert "storage" in (done.message or "")

        await eventually(_archived(tenant.client, job["id"]))
        async with session.get(f"/v1/jobs/{job['id']}") as response:
            record = await response.json()
        assert record["log_tail"].strip() == "last words", record


async def test_a_store_that_is_filling_up_slows_intake_and_health_says_so(
    new_tenant: NewTenant,
    cluster: LocalCluster,
    api: LocalApi,
    client: Client,
    eventually: Eventually,
    tmp_path: Path,
) -> None:
    tenant = await new_tenant()
    for n in range(10):
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"fills-{n}"}, "data": {"k": "x" * 10**5}}
        await client.create(CONFIG_MAPS, body, tenant.namespace)
    env = {**replica_env(cluster), "LONGSHORE_STORE_BUDGET_MB": "1"}
    async with serving(tmp_path, env) as small, aiohttp.ClientSession(headers={"X-API-Key": tenant.key}) as session:

        async def measured() -> Any:
            async with session.get(f"{small.url}/health") as response:
                intake = (await response.json())["intake"]
                return intake if (intake["store_bytes"] or 0) > intake["store_budget_bytes"] * 0.7 else None

        await eventually(measured)
        async with session.post(f"{small.url}/v1/jobs", json={"image": "bash"}) as response:
            problem = await response.json()
            assert (response.status, response.headers["Retry-After"]) == (429, "30"), problem
            assert problem["hint"]
        async with session.post(f"{api.url}/v1/jobs", json={"image": "bash", "command": ["true"]}) as response:
            assert response.status == 202


def _is(client: LongshoreClient, id: str, status: str) -> Callable[[], Awaitable[bool | None]]:
    async def look() -> bool | None:
        return True if (await client.jobs.get(id)).status == status else None

    return look


def _archived(client: LongshoreClient, id: str) -> Callable[[], Awaitable[bool | None]]:
    async def look() -> bool | None:
        return True if (await client.jobs.get(id)).archived else None

    return look


def _gone(client: Client, id: str, namespace: str) -> Callable[[], Awaitable[bool | None]]:
    async def look() -> bool | None:
        try:
            await client.get(JOBS, id, namespace)
        except errors.NotFound:
            return True
        return None

    return look
