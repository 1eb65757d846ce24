"""Seed 3 on the real control plane: tasks as Jobs, their status over REST and WebSocket, and Jobs of other people."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.cluster.product.serving import Serving, knows, replica_env, serving

from longshore import errors
from longshore.cli.local import LocalApi
from longshore.cluster.cluster import LocalCluster
from longshore.kube.client import Client
from longshore.kube.objects import JOBS
from longshore.sdk.client import LongshoreClient

NewTenant = Callable[..., Awaitable[Any]]
Eventually = Callable[..., Awaitable[Any]]
TEMPLATE = """
image: bash
command: [bash, -c, 'echo run $PIPELINE_RUN_ID of $TASK_PARAM_WHO; eval "$TASK_PARAM_DO"']
env: {LEVEL: 3}
progress: progress.jsonl
resources: {cpu: 100m, memory: 64Mi}
"""


@pytest.fixture(scope="module")
async def replica(
    cluster: LocalCluster, api: LocalApi, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Serving]:
    """A replica that has a template; the module's tests share it."""
    env = {**replica_env(cluster), "TASK_TEMPLATE": TEMPLATE, "LONGSHORE_TASK_HEARTBEAT_RETRIES": "1"}
    async with serving(tmp_path_factory.mktemp("replica"), env) as one:
        yield one


class Caller:
    """Asks one replica with one tenant's key."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session

    async def ask(self, method: str, path: str, **body: Any) -> tuple[int, dict[str, Any]]:
        """Comes again when told to, as clients do: the quota of a new tenant may not be counted yet."""
        async with asyncio.timeout(60):
            while True:
                async with self.session.request(method, path, json=body or None) as answer:
                    if answer.status != 503:
                        return answer.status, await answer.json(content_type=None)
                    print(path, await answer.text())
                    await asyncio.sleep(float(answer.headers["Retry-After"]))

    async def submit(self, do: str, run: str = "run-7", **more: Any) -> str:
        status, made = await self.ask(
            "POST", "/api/tasks", pipeline_run_id=run, parameters={"who": "us", "do": do}, **more
        )
        assert status == 202, made
        assert made["mode"] == "kubernetes"
        return str(made["task_id"])

    async def statuses(self, path: str) -> tuple[list[dict[str, Any]], int | None]:
        """Everything that a socket says until it is closed, and the code it is closed with."""
        async with self.session.ws_connect(path) as socket, asyncio.timeout(60):
            said = [json.loads(message.data) async for message in socket]
            return said, socket.close_code


@pytest.fixture
async def tenant(new_tenant: NewTenant) -> Any:
    return await new_tenant()


@pytest.fixture
async def caller(replica: Serving, tenant: Any) -> AsyncIterator[Caller]:
    await knows(replica, tenant.key)
    async with aiohttp.ClientSession(replica.url, headers={"X-API-Key": tenant.key}) as session:
        yield Caller(session)


async def test_a_task_is_a_job_that_a_socket_follows_to_its_end_and_that_answers_once_it_is_gone(
    caller: Caller, tenant: Any, client: Client, replica: Serving, eventually: Eventually
) -> None:
    id = await caller.submit("echo done", run="Run 7/β")
    assert id.startswith("task-runner-run-7-")
    assert len(id) <= 63
    said, code = await caller.statuses(f"/ws/task-status/{id}")
    words = [each["status"] for each in said]
    assert words == [word for word in ("Pending", "Running", "Succeeded") if word in words], said
    assert words[-1] == "Succeeded"
    assert code == 1000
    status, document = await caller.ask("GET", f"/api/task-status?job_name={id}&namespace={tenant.namespace}")
    assert status == 200
    assert (document["status"], document["succeeded"], document["failed"], document["active"]) == ("Succeeded", 1, 0, 0)
    assert document["start_time"] <= document["completion_time"]

    async def pods_too() -> bool | None:
        """Pods and Jobs are told by two watches."""
        found = (await caller.ask("GET", f"/api/task-status?job_name={id}"))[1]
        return True if [pod["phase"] for pod in found["pods"]] == ["Succeeded"] else None

    await eventually(pods_too)

    async def known() -> Any:
        """To the cluster's own replica, too."""
        with suppress(errors.NotFound):
            return await tenant.client.jobs.get(id)

    await eventually(known)
    log = b"".join([chunk async for chunk in tenant.client.jobs.logs(id)]).decode()
    assert log == "run Run 7/β of us\ndone\n"
    record = await tenant.client.jobs.get(id)
    assert (record.kind, record.tags["pipeline_run_id"]) == ("task", "Run 7/β")

    async def released() -> bool | None:
        return True if (await tenant.client.jobs.get(id)).archived else None

    await eventually(released)
    await client.delete(JOBS, id, tenant.namespace)

    async def from_archive() -> dict[str, Any] | None:
        document = (await caller.ask("GET", f"/api/task-status?job_name={id}"))[1]
        return document if not document["pods"] else None

    document = await eventually(from_archive)
    assert (document["status"], document["succeeded"]) == ("Succeeded", 1)
    assert (await caller.statuses(f"/ws/task-status/{id}"))[0][0]["status"] == "Succeeded"
    assert (await caller.ask("GET", f"/api/tasks/{id}"))[1]["status"] == "Succeeded"
    assert f'"task": "{id}"' in replica.log()


async def test_the_sdk_fills_submits_and_returns_the_name(replica: Serving, tenant: Any) -> None:
    async with LongshoreClient(replica.url, tenant.key) as longshore:
        name = await longshore.tasks.submit("sdk", parameters={"who": "me", "do": "true"})
        assert name.startswith("task-runner-sdk-")
        assert await longshore.tasks.heartbeat(name, progress=0.2) in ("Pending", "Running", "Succeeded")
        done = await longshore.tasks.wait(name, deadline=60)
        assert (done.status, done.mode, done.job_name) == ("Succeeded", "kubernetes", name)
        assert (await longshore.tasks.status(name)).succeeded == 1
        assert b"".join([chunk async for chunk in longshore.tasks.logs(name)]) == b"run sdk of me\n"
        once = await longshore.tasks.commission("D-2", parameters={"do": "true", "who": "x"})
        assert await longshore.tasks.commission("D-2", parameters={"do": "true", "who": "x"}) == once
        with pytest.raises(errors.NotFound, match="no job"):
            await longshore.tasks.status("nothing")


async def test_a_page_opens_a_socket_by_a_ticket_that_is_good_once(caller: Caller, replica: Serving) -> None:
    id = await caller.submit("true")
    status, made = await caller.ask("POST", "/v1/stream/ticket")
    assert status == 201
    protocols = ("longshore", f"ticket.{made['ticket']}")
    async with aiohttp.ClientSession(replica.url) as page:
        async with page.ws_connect(f"/ws/task-status/{id}", protocols=protocols) as socket, asyncio.timeout(60):
            assert socket.protocol == "longshore"
            said = [json.loads(message.data)["status"] async for message in socket]
            assert (said[-1], socket.close_code) == ("Succeeded", 1000)
        async with page.ws_connect(f"/ws/task-status/{id}", protocols=protocols) as socket, asyncio.timeout(60):
            assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
            assert socket.close_code == 4401


async def test_a_donation_is_one_task_however_often_and_by_however_many_it_is_sent(caller: Caller) -> None:
    body = {"donation_id": "D-1", "parameters": {"do": "true", "who": "x"}}
    answers = await asyncio.gather(*(caller.ask("POST", "/api/tasks/commission", **body) for _ in range(8)))
    assert len({made["task_id"] for _, made in answers}) == 1
    assert sorted(status for status, _ in answers) == [200] * 7 + [202], answers
    assert (await caller.ask("POST", "/api/tasks/commission", donation_id="D-1", parameters={"who": "y"}))[0] == 409


async def test_a_job_that_longshore_did_not_make_answers_to_those_who_may_read_it(
    replica: Serving, api: LocalApi, caller: Caller, client: Client, namespace: str, eventually: Eventually
) -> None:
    pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "bash", "command": ["true"]}]}
    body = {"metadata": {"name": "theirs"}, "spec": {"backoffLimit": 0, "template": {"spec": pod}}}
    await client.create(JOBS, body, namespace)
    assert (await caller.ask("GET", f"/api/task-status?job_name=theirs&namespace={namespace}"))[0] == 403
    assert (await caller.statuses(f"/ws/task-status/theirs?namespace={namespace}"))[1] == 4403
    async with aiohttp.ClientSession(replica.url, headers={"X-API-Key": api.admin_token}) as session:
        admin = Caller(session)

        async def known() -> bool | None:
            """To this replica, which hears of what others make by its watch."""
            answer = await admin.ask("GET", f"/api/task-status?job_name=theirs&namespace={namespace}")
            return True if answer[0] == 200 else None

        await eventually(known)
        said, code = await admin.statuses(f"/ws/task-status/theirs?namespace={namespace}")
        assert said[-1]["status"] == "Succeeded"
        assert code == 1000

        async def pods_too() -> bool | None:
            path = f"/api/task-status?job_name=theirs&namespace={namespace}"
            document = (await admin.ask("GET", path))[1]
            return True if (document["status"], len(document["pods"])) == ("Succeeded", 1) else None

        await eventually(pods_too)


async def test_what_is_not_there_or_not_yours_is_not_found_and_the_socket_closes_cleanly(
    caller: Caller, new_tenant: NewTenant, replica: Serving
) -> None:
    id = await caller.submit("sleep 30")
    other = await new_tenant()
    await knows(replica, other.key)
    async with aiohttp.ClientSession(replica.url, headers={"X-API-Key": other.key}) as session:
        stranger = Caller(session)
        for name in (id, "nothing", "a%20b"):
            said, code = await stranger.statuses(f"/ws/task-status/{name}")
            assert ([each["status"] for each in said], code) == (["NotFound"], 1000)
        status, document = await stranger.ask("GET", f"/api/task-status?job_name={id}")
        assert (status, document["status"]) == (404, "NotFound")
        assert (await stranger.ask("GET", f"/api/tasks/{id}"))[0] == 404
        assert (await stranger.ask("POST", f"/api/tasks/{id}/heartbeat"))[0] == 404
    async with aiohttp.ClientSession(replica.url) as session:
        assert (await Caller(session).statuses(f"/ws/task-status/{id}"))[1] == 4401
        assert (await Caller(session).ask("GET", f"/api/task-status?job_name={id}"))[0] == 401


async def test_a_task_runs_both_ways_and_the_two_are_compared_while_any_replica_tells_of_it(
    cluster: LocalCluster, tenant: Any, caller: Caller, tmp_path: Path, eventually: Eventually
) -> None:
    env = {**replica_env(cluster), "TASK_TEMPLATE": TEMPLATE, "DUAL_RUN": "true", "USE_K8S_JOBS": "false"}
    async with (
        serving(tmp_path, env) as both,
        aiohttp.ClientSession(both.url, headers={"X-API-Key": tenant.key}) as session,
    ):
        dual = Caller(session)
        ids = []
        for do in ("echo alike", "echo from $HOME; sleep 2"):
            made = (await dual.ask("POST", "/api/tasks", pipeline_run_id="d", parameters={"who": "us", "do": do}))[1]
            assert made["mode"] == "local"
            ids.append(made["task_id"])
        same, other = ids
        # the other replica runs no tasks itself: it hears of this one over the link, and tells it what it heard
        async with session.ws_connect("/ws/tasks") as socket, asyncio.timeout(60):
            await socket.send_json({"type": "subscribe", "task_id": other})
            assert (await caller.statuses(f"/ws/task-status/{other}"))[0][-1]["status"] == "Succeeded"
            await socket.send_json({"type": "subscribe", "task_id": same})
            while (await socket.receive_json()).get("data", {}).get("status") != "Succeeded":
                pass
        waiting = await caller.submit("""echo '{"progress": 0.1, "message": "begun"}' > $TASK_PROGRESS; sleep 600""")

        async def runs() -> bool | None:
            document = (await caller.ask("GET", f"/api/task-status?job_name={waiting}"))[1]
            assert document["status"] in ("Pending", "Running"), document
            return True if document["status"] == "Running" and document["active"] == 1 else None

        await eventually(runs)
        async with session.ws_connect("/ws/tasks") as socket, asyncio.timeout(60):
            await socket.send_json({"type": "subscribe", "task_id": waiting})
            while (await socket.receive_json()).get("data", {}).get("message") != "begun":
                pass  # the runner beside the command follows its file
            assert (await caller.ask("POST", f"/api/tasks/{waiting}/heartbeat", progress=0.5, message="half"))[0] == 200
            while (await socket.receive_json()).get("data", {}).get("message") != "half":
                pass
        assert (await tenant.client.jobs.stop(waiting)).id == waiting

        async def compared(id: str) -> dict[str, Any] | None:
            status, comparison = await dual.ask("GET", f"/api/tasks/{id}/comparison")
            assert status == 200, comparison
            return comparison if comparison["complete"] else None

        alike = await eventually(lambda: compared(same))
        assert (alike["same"], alike["answered_by"]) == (True, "local")
        assert alike["outcome"] == {"kubernetes": "Succeeded", "local": "Succeeded", "same": True}
        assert alike["output"]["same"] is True
        unlike = await eventually(lambda: compared(other))
        assert (unlike["same"], unlike["outcome"]["same"], unlike["output"]["same"]) == (False, True, False)
        assert "line 2" in unlike["output"]["first_difference"]
        assert unlike["duration"]["local"] >= 2
        assert (await caller.ask("GET", f"/api/tasks/{waiting}/comparison"))[0] == 404
