"""`longshore serve` without any cluster: it runs the operator's command itself and answers over the same API."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.cluster.product.serving import Serving, serving
from tests.redis_server import Redis

from longshore.kinds.tasks.kept import LOST_AFTER

TOKEN = "lsa_test"
TEMPLATE = """
progress: out/progress.jsonl
command: [bash, -c, 'echo run $PIPELINE_RUN_ID; eval "$TASK_PARAM_DO"']
"""


def settings(folder: Path, **more: str) -> dict[str, str]:
    (folder / "token").write_text(TOKEN)
    return {
        "USE_K8S_JOBS": "false",
        "TASK_TEMPLATE": TEMPLATE,
        "LONGSHORE_ARCHIVE": (folder / "archive").as_uri(),
        "LONGSHORE_ADMIN_TOKEN_FILE": str(folder / "token"),
        "HOME": str(folder),
        **more,
    }


def alive(pid: int) -> bool:
    """Not so when nobody has looked at how it ended yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def until(gate: Path) -> str:
    """A command that waits for this file."""
    return f"until [ -e {gate} ]; do sleep 0.05; done"


class Caller:
    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session

    async def ask(self, method: str, path: str, **body: Any) -> tuple[int, Any]:
        async with self.session.request(method, path, json=body or None) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if "json" in answer.content_type else text

    async def submit(self, do: str, **more: Any) -> str:
        status, made = await self.ask("POST", "/api/tasks", pipeline_run_id="r1", parameters={"do": do}, **more)
        assert (status, made["mode"]) == (202, "local"), made
        return str(made["task_id"])

    async def statuses(self, id: str, gate: Path | None = None) -> list[str]:
        """All that a socket says; `gate` is opened once the task is seen running."""
        said = []
        async with self.session.ws_connect(f"/ws/task-status/{id}") as socket, asyncio.timeout(60):
            async for message in socket:
                said.append(json.loads(message.data)["status"])
                if said[-1] == "Running" and gate is not None:
                    await asyncio.to_thread(gate.touch)
            assert socket.close_code == 1000
        return said

    async def over(self, id: str) -> dict[str, Any]:
        await self.statuses(id)
        document: dict[str, Any] = (await self.ask("GET", f"/api/tasks/{id}"))[1]
        return document


@asynccontextmanager
async def caller(one: Serving) -> AsyncIterator[Caller]:
    async with aiohttp.ClientSession(one.url, headers={"Authorization": f"Bearer {TOKEN}"}) as session:
        yield Caller(session)


@asynccontextmanager
async def alone(folder: Path, env: Mapping[str, str]) -> AsyncIterator[tuple[Serving, Caller]]:
    async with serving(folder, env) as one, caller(one) as asks:
        yield one, asks


@asynccontextmanager
async def two(folder: Path, env: Mapping[str, str]) -> AsyncIterator[list[tuple[Serving, Caller]]]:
    """Started at the same time."""
    async with AsyncExitStack() as stack:
        yield await asyncio.gather(*(stack.enter_async_context(alone(folder, env)) for _ in range(2)))


@pytest.fixture(scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Serving, Caller]]:
    """Which hears beats, and judges nobody within a test: a slow machine would look like a silent task."""
    folder = tmp_path_factory.mktemp("alone")
    async with alone(folder, settings(folder, LONGSHORE_TASK_LOCAL_PARALLEL="4")) as both:
        yield both


async def test_a_task_runs_and_is_followed_and_its_output_read(running: tuple[Serving, Caller], tmp_path: Path) -> None:
    one, caller = running
    id = await caller.submit(f"{until(tmp_path / 'gate')}; env")
    assert id.startswith("task-runner-r1-")
    assert (await caller.statuses(id, tmp_path / "gate"))[-2:] == ["Running", "Succeeded"]
    status, document = await caller.ask("GET", f"/api/task-status?job_name={id}&namespace=default")
    assert (status, document["status"], document["succeeded"], document["failed"]) == (200, "Succeeded", 1, 0)
    output = (await caller.ask("GET", f"/api/tasks/{id}/logs"))[1]
    assert output.startswith("run r1\n")
    assert "LONGSHORE" not in output, "the service's own environment is not the task's"
    for said in ("task created", "Running", "Succeeded"):
        assert said in one.log()
    assert (await caller.statuses("task-runner-nothing")) == ["NotFound"]
    assert (await caller.ask("GET", "/api/task-status?job_name=x"))[0] == 404
    assert (await caller.ask("GET", "/v1/jobs"))[0] == 404
    assert (await caller.ask("GET", f"/api/tasks/{id}/comparison"))[0] == 404


async def test_a_failure_is_told_and_nothing_of_its_group_is_left(running: tuple[Serving, Caller]) -> None:
    _, caller = running
    id = await caller.submit("sleep 987654 & echo $!; exit 3")
    document = await caller.over(id)
    assert (document["status"], document["reason"]) == ("Failed", "Error")
    assert "exit code 3" in document["message"]
    left = int((await caller.ask("GET", f"/api/tasks/{id}/logs"))[1].split()[-1])
    async with asyncio.timeout(60):
        while alive(left):  # noqa: ASYNC110 - it is killed, and may not have noticed yet
            await asyncio.sleep(0.02)


async def test_the_lines_of_a_progress_file_are_progress_and_heartbeats(
    running: tuple[Serving, Caller], tmp_path: Path
) -> None:
    _, caller = running
    told = """mkdir out; n=0; until [ -e %s ]; do n=$((n+1)); sleep 0.2
        echo '{"progress": 0.25, "stage": "load", "message": "line '$n'"}' >> $TASK_PROGRESS; done"""
    id = await caller.submit(told % (tmp_path / "gate"), heartbeat=True)
    seen: set[str] = set()
    async with caller.session.ws_connect("/ws/tasks") as socket, asyncio.timeout(60):
        await socket.send_json({"type": "subscribe", "task_id": id})
        while len(seen) < 2:  # one a second
            data = (await socket.receive_json()).get("data", {})
            if data.get("stage") == "load":
                assert data["progress"] == 0.25
                seen.add(data["message"])
        await asyncio.to_thread((tmp_path / "gate").touch)
    document = await caller.over(id)
    assert (document["status"], document["attempts"]) == ("Succeeded", 1)


async def test_a_donation_runs_once(running: tuple[Serving, Caller], tmp_path: Path) -> None:
    _, caller = running
    body = {"donation_id": "d 1", "parameters": {"do": f"echo x >> {tmp_path}/ran"}}
    answers = await asyncio.gather(*(caller.ask("POST", "/api/tasks/commission", **body) for _ in range(8)))
    assert sorted(status for status, _ in answers) == [200] * 7 + [202], answers
    await caller.over(answers[0][1]["task_id"])
    assert (tmp_path / "ran").read_text() == "x\n"
    assert (await caller.ask("POST", "/api/tasks/commission", donation_id="d 1"))[0] == 409


async def test_a_silent_task_is_tried_again_and_given_up_after_its_retries(tmp_path: Path) -> None:
    quick = {"LIMIT_SECONDS": "0.5", "CHECK_SECONDS": "0.1", "RETRIES": "1"}
    heartbeat = {f"LONGSHORE_TASK_HEARTBEAT_{name}": value for name, value in quick.items()}
    async with alone(tmp_path, settings(tmp_path, **heartbeat)) as (_, caller):
        document = await caller.over(await caller.submit("sleep 987654", heartbeat=True))
    assert (document["status"], document["reason"], document["attempts"]) == ("Failed", "HeartbeatLost", 2)


async def test_a_task_that_keeps_its_promise_tells_how_far_it_is(
    running: tuple[Serving, Caller], tmp_path: Path
) -> None:
    _, caller = running
    id = await caller.submit(until(tmp_path / "gate"), heartbeat=True)
    async with caller.session.ws_connect("/ws/tasks") as socket, asyncio.timeout(60):
        await socket.send_json({"type": "ping"})
        assert await socket.receive_json() == {"type": "pong"}
        await socket.send_json({"type": "subscribe", "task_id": id})
        assert await socket.receive_json() == {"type": "subscribed", "task_id": id}
        seen: list[dict[str, Any]] = []
        beats = 0
        while not seen or seen[-1]["status"] != "Succeeded":
            beats += 1
            beat = {"progress": min(1, beats / 100), "stage": "work", "message": f"beat {beats}"}
            assert (await caller.ask("POST", f"/api/tasks/{id}/heartbeat", **beat))[0] == 200
            try:
                async with asyncio.timeout(0.1):
                    update = await socket.receive_json()
            except TimeoutError:
                continue
            assert (update["type"], update["task_id"]) == ("task_update", id)
            seen.append(update["data"])
            if seen[-1]["message"].startswith("beat"):
                await asyncio.to_thread((tmp_path / "gate").touch)
        assert {"stage": "work"}.items() <= seen[-1].items()
        assert any(data["message"].startswith("beat") for data in seen)
        await socket.send_json({"type": "unsubscribe", "task_id": id})
        while (said := await socket.receive_json())["type"] != "unsubscribed":
            assert said["type"] == "task_update"
        await socket.send_str("nonsense")
        assert (await socket.receive_json())["type"] == "error"
    assert (await caller.ask("GET", f"/api/tasks/{id}"))[1]["attempts"] == 1


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"pipeline_run_id": ""},
        {"pipeline_run_id": "a", "command": ["rm"]},
        {"pipeline_run_id": "a", "image": "evil"},
        {"pipeline_run_id": "a", "env": {"LD_PRELOAD": "x"}},
        {"pipeline_run_id": "a", "parameters": {"a=b": "c"}},
        {"pipeline_run_id": "a", "parameters": {"a": "\0"}},
    ],
)
async def test_a_caller_chooses_parameters_and_nothing_else(
    running: tuple[Serving, Caller], body: dict[str, Any]
) -> None:
    status, refusal = await running[1].ask("POST", "/api/tasks", **(body or {"x": 1}))
    assert status == 422
    assert refusal["hint"]


async def test_what_became_of_its_tasks_when_a_service_ended_or_was_killed_is_told_by_the_next_one(
    tmp_path: Path,
) -> None:
    env = settings(tmp_path, LONGSHORE_TASK_LOCAL_PARALLEL="1", LONGSHORE_TASK_LOCAL_QUEUE="1")
    async with alone(tmp_path, env) as (_, caller):
        done = await caller.submit("true")
        await caller.over(done)
        id = await caller.submit(f"echo $$ > {tmp_path}/pid; sleep 987654")
        waits = await caller.submit("true")
        status, refusal = await caller.ask("POST", "/api/tasks", pipeline_run_id="r2")
        assert status == 429, refusal
        pid = await _written(tmp_path / "pid")
        assert alive(pid)
    assert not alive(pid)
    async with alone(tmp_path, env) as (killed, caller):
        assert (await caller.ask("GET", f"/api/tasks/{done}"))[1]["status"] == "Succeeded"
        for stopped in (id, waits):
            document = (await caller.ask("GET", f"/api/task-status?job_name={stopped}"))[1]
            assert (document["status"], document["reason"]) == ("Failed", "ServiceStopped")
        id = await caller.submit(f"echo $$ > {tmp_path}/left; exec sleep 987654")
        left = await _written(tmp_path / "left")
        kept = await _kept(tmp_path, id, "Running")
        killed.process.kill()
        await killed.process.wait()
    os.kill(left, signal.SIGKILL)  # nobody else does
    async with alone(tmp_path, env) as (_, caller):
        await _is_lost(caller, killed, tmp_path, kept)


async def _is_lost(caller: Caller, killed: Serving, folder: Path, kept: dict[str, Any]) -> None:
    """Not at once: it may yet be heard of. Then with who ran it and until when, and without writing that down."""
    path = f"/api/tasks/{kept['id']}"
    assert (await caller.ask("GET", path))[1]["status"] == "Running"
    heard = datetime.fromisoformat(kept["renewed"]) - LOST_AFTER
    place = _place(folder, kept["id"])
    place.write_text(json.dumps({**kept, "renewed": heard.isoformat()}))  # as if so much time had gone by
    assert (await caller.statuses(kept["id"])) == ["Failed"]
    lost = (await caller.ask("GET", path))[1]
    assert (lost["status"], lost["reason"]) == ("Failed", "Lost")
    assert datetime.fromisoformat(lost["finished"]) == heard
    assert f"process {killed.process.pid} on" in lost["message"]
    assert heard.strftime("%Y-%m-%dT%H:%M:%SZ") in lost["message"]
    assert json.loads(_text(place))["status"] == "Running"


def _place(folder: Path, id: str) -> Path:
    return folder / "archive" / "tasks" / "local" / f"{id}.task.json"


async def _written(path: Path) -> int:
    """The number that a task writes into a file."""
    async with asyncio.timeout(60):
        while not (text := _text(path)):  # noqa: ASYNC110 - a file
            await asyncio.sleep(0.02)
    return int(text)


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


async def _kept(folder: Path, id: str, status: str) -> dict[str, Any]:
    """What is on record of a task, once it has this status."""
    async with asyncio.timeout(60):
        while True:
            document: dict[str, Any] = json.loads(_text(_place(folder, id)))
            if document["status"] == status:
                return document
            await asyncio.sleep(0.02)


async def test_two_replicas_share_news_by_redis_and_poll_while_it_is_away(tmp_path: Path) -> None:
    redis = Redis(tmp_path)
    await redis.start()
    env = settings(tmp_path, REDIS_URL=f"redis://127.0.0.1:{redis.port}")
    try:
        async with two(tmp_path, env) as ((first, one), (second, other)):
            await _said(first, "linked to the other replicas", 1)
            await _said(second, "linked to the other replicas", 1)
            id = await one.submit(until(tmp_path / "first"))
            assert (await one.ask("POST", f"/api/tasks/{id}/heartbeat", message="told to the first"))[0] == 200
            assert await _told(other, id, "told to the first")
            assert (await other.statuses(id, tmp_path / "first"))[-1] == "Succeeded"
            await redis.stop()
            await _said(second, "Redis is away", 1)
            id = await one.submit(until(tmp_path / "second"))
            assert (await other.statuses(id, tmp_path / "second"))[-1] == "Succeeded"
            # who stood still before has been linked more than once
            linked = [one_of_them.log().count("linked to the other replicas") for one_of_them in (first, second)]
            await redis.start()
            for one_of_them, times in zip((first, second), linked, strict=True):
                await _said(one_of_them, "linked to the other replicas", times + 1)
            id = await one.submit(until(tmp_path / "third"))
            assert (await other.ask("POST", f"/api/tasks/{id}/heartbeat", message="told to the second"))[0] == 200
            assert await _told(one, id, "told to the second")
    finally:
        await redis.stop()


async def _told(caller: Caller, id: str, message: str) -> bool:
    """Whether a socket hears of this message."""
    async with caller.session.ws_connect("/ws/tasks") as socket, asyncio.timeout(60):
        await socket.send_json({"type": "subscribe", "task_id": id})
        while True:
            data = (await socket.receive_json()).get("data", {})
            if data.get("message") == message or data.get("status") in ("Succeeded", "Failed"):
                return bool(data.get("message") == message)


async def _said(one: Serving, what: str, times: int) -> None:
    async with asyncio.timeout(60):
        while one.log().count(what) < times:  # noqa: ASYNC110 - a file
            await asyncio.sleep(0.02)
