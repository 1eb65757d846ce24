from __future__ import annotations

import asyncio
import inspect
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import pytest

from longshore import errors
from longshore.sdk import Job, LongshoreClient, SyncClient
from longshore.sdk.blocking import LoopThread

if TYPE_CHECKING:
    from tests.unit.conftest import Api

RUNNING = {"id": "j1", "status": "Running"}
DONE = {"id": "j1", "status": "Succeeded"}
FACES = ("jobs", "artifacts", "uploads", "simulations", "tasks", "tenants", "keys")


@pytest.mark.parametrize("face", FACES)
def test_every_method_of_the_async_client_has_its_twin(face: str) -> None:
    mine, theirs = getattr(SyncClient("http://x"), face), getattr(LongshoreClient("http://x"), face)
    missing = {name for name in dir(theirs) if not name.startswith("_")} - set(dir(mine))
    assert missing == set()
    for name in dir(theirs):
        if not name.startswith("_"):
            assert inspect.signature(getattr(mine, name)) == inspect.signature(getattr(theirs, name))
            assert getattr(mine, name).__doc__ == getattr(theirs, name).__doc__


def test_it_has_every_face_of_the_async_client() -> None:
    theirs = {name for name in vars(LongshoreClient("http://x")) if not name.startswith("_")}
    assert theirs == set(FACES)


def test_calls_return_when_they_are_done(api: Api) -> None:
    api.on("POST /v1/jobs", RUNNING, status=202)
    api.on("GET /v1/jobs/j1", RUNNING)
    api.on("GET /v1/jobs/j1", DONE)
    seen: list[Job] = []
    with SyncClient(api.url) as client:
        job = client.jobs.submit("longshore/host", ["true"], tags={"a": "b"})
        assert client.jobs.wait(job.id, seen=seen.append).status == "Succeeded"
    assert [each.status for each in seen] == ["Running", "Succeeded"]


def test_iterators_iterate_and_may_be_left(api: Api) -> None:
    api.on("GET /v1/jobs", {"items": [RUNNING], "cursor": "c"})
    api.on("GET /v1/jobs", {"items": [DONE], "cursor": None})
    api.on("GET /v1/jobs/j1/logs", body=b"one\ntwo\n")
    with SyncClient(api.url) as client:
        assert [job.status for job in client.jobs.each(limit=1)] == ["Running", "Succeeded"]
        assert b"".join(client.jobs.logs("j1")) == b"one\ntwo\n"
        for _ in client.jobs.logs("j1"):
            break
        assert client.jobs.get.__name__ == "get"


def test_errors_are_those_of_the_async_client(api: Api) -> None:
    api.problem("GET /v1/jobs/j1", 404, "there is no job", hint="list yours")
    with SyncClient(api.url) as client, pytest.raises(errors.NotFound, match="no job") as caught:
        client.jobs.get("j1")
    assert caught.value.hint == "list yours"


async def test_it_works_where_a_loop_runs_as_in_jupyter(api: Api) -> None:
    assert asyncio.get_running_loop()
    api.on("GET /v1/jobs/j1", DONE)
    client = SyncClient(api.url).open()
    assert client.jobs.get("j1").final
    client.close()
    client.close()


def test_ctrl_c_ends_the_call_and_not_the_client(api: Api) -> None:
    api.on("GET /v1/jobs/j1", RUNNING)
    api.on("GET /v1/jobs/j2", DONE)

    def press() -> None:
        deadline = time.monotonic() + 60
        while not api.asked and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    pressing = threading.Thread(target=press)
    with SyncClient(api.url) as client:
        pressing.start()
        with pytest.raises(KeyboardInterrupt):
            client.jobs.wait("j1")
        assert client.jobs.get("j2").status == "Succeeded"
    pressing.join()


def test_ctrl_c_waits_until_what_it_interrupts_is_over() -> None:
    over = threading.Event()

    async def slow_to_end() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            for _ in range(10):  # as one that closes a socket
                await asyncio.sleep(0)
            over.set()

    def press() -> None:
        while "result" not in _what_the_main_thread_is_in():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    loop, pressing = LoopThread(), threading.Thread(target=press)
    loop.start()
    numbers = loop.iterating(slow_to_end)()
    assert next(numbers) == 1
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - it may come as soon as it may
        pressing.start()
        next(numbers)
    assert over.is_set()
    pressing.join()
    loop.stop()


def _what_the_main_thread_is_in() -> set[str]:
    frame = sys._current_frames()[threading.main_thread().ident or 0]
    return {each.f_code.co_name for each, _ in traceback.walk_stack(frame)}


def test_a_call_that_meets_the_end_of_the_client_is_told_so(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    api.on("GET /v1/jobs/j1", RUNNING)
    client = SyncClient(api.url).open()
    closing, submit = threading.Thread(target=client.close), asyncio.run_coroutine_threadsafe

    def late(work: Coroutine[Any, Any, Any], loop: asyncio.AbstractEventLoop) -> Future[Any]:
        if closing.ident is None:
            closing.start()
            closing.join(0.2)
        return submit(work, loop)

    monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", late)
    with pytest.raises(RuntimeError, match="closed meanwhile"):
        client.jobs.wait("j1")
    closing.join(60)
    assert not closing.is_alive()


def test_what_is_closed_or_not_open_says_so(api: Api) -> None:
    client = SyncClient(api.url)
    with pytest.raises(RuntimeError, match="closed"):
        client.me()
    with client, pytest.raises(RuntimeError, match="open already"):
        client.open()
    with pytest.raises(RuntimeError, match="closed"):
        list(client.jobs.each())


def test_a_callback_that_would_wait_for_itself_is_told(api: Api) -> None:
    api.on("GET /v1/jobs/j1", RUNNING)
    with SyncClient(api.url) as client:

        def stop(job: Job) -> None:
            client.jobs.stop(job.id)

        with pytest.raises(RuntimeError, match="wait for itself"):
            client.jobs.wait("j1", seen=stop)


def test_closing_leaves_no_thread(api: Api) -> None:
    before = set(threading.enumerate())
    api.on("GET /v1/me", {"caller": "x"})
    with SyncClient(api.url) as client:
        client.me()
    deadline = time.monotonic() + 30
    while set(threading.enumerate()) - before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert set(threading.enumerate()) - before == set()


def test_closing_that_fails_leaves_no_thread_either() -> None:
    before, loop = set(threading.enumerate()), LoopThread()
    loop.start()

    async def fail() -> None:
        raise OSError("it cannot be closed")

    with pytest.raises(OSError, match="cannot be closed"):
        loop.stop(fail)
    assert set(threading.enumerate()) - before == set()
