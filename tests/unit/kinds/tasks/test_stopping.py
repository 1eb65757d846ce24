"""A service that stops begins nothing more, and waits for nothing but the end of what it began."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from longshore.archive.objects import Objects
from longshore.kinds.jobs.find import heartbeat_topic
from longshore.kinds.tasks import process
from longshore.kinds.tasks.as_processes import Processes
from longshore.kinds.tasks.kept import Kept, LocalTask
from longshore.kinds.tasks.model import Asked, Template
from longshore.kinds.tasks.silence import CHECK_SECONDS, LIMIT_SECONDS
from longshore.kinds.tasks.view import Word
from longshore.runtime.bus import Bus
from longshore.settings import Settings


async def test_a_silent_task_that_is_being_ended_when_the_service_stops_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "GRACE_SECONDS", 0.5)
    began = tmp_path / "began"
    processes = Processes(
        Settings(), Kept(Objects(tmp_path.as_uri())), lambda: datetime.now(UTC), lambda _: None, Bus()
    )
    stubborn = Template(command=("bash", "-c", f"trap : TERM; echo $$ >> {began}; while :; do sleep 0.05; done"))
    await processes.submit("a", stubborn, Asked("r", heartbeat=True), "t1")
    async with asyncio.timeout(60):
        while not _text(began):  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.02)
    processes.look(asyncio.get_running_loop().time() + 10_000)
    await asyncio.sleep(0)  # it is told to end, and takes its time
    async with asyncio.timeout(60):
        await processes.stop()
    task = await processes.find("a", "t1")
    assert task is not None
    assert (task.status, task.reason, task.attempts) == (Word.FAILED, "ServiceStopped", 1)
    [pid] = began.read_text().split()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


@pytest.mark.parametrize(
    ("code", "retries", "became"),
    [
        (0, 1, (Word.SUCCEEDED, "Completed", 0)),
        (3, 0, (Word.FAILED, "Error", 3)),
        (3, 1, (Word.FAILED, "ServiceStopped", None)),
    ],
)
async def test_what_had_ended_by_itself_when_the_service_stopped_ended_so_and_is_not_tried_again(
    tmp_path: Path, code: int, retries: int, became: tuple[Word, str, int | None]
) -> None:
    processes = Processes(
        Settings(), Kept(Objects(tmp_path.as_uri())), lambda: datetime.now(UTC), lambda _: None, Bus()
    )
    began, gate = tmp_path / "began", tmp_path / "gate"
    script = f"echo $$ > {began}; until [ -e {gate} ]; do sleep 0.05; done; exit {code}"
    await processes.submit("a", Template(command=("bash", "-c", script), retries=retries), Asked("r"), "t1")
    async with asyncio.timeout(60):
        while not (pid := _text(began)):  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.02)
        gate.touch()
        while _runs(int(pid)):  # the service does not hear of it meanwhile
            time.sleep(0.02)  # noqa: ASYNC251
        await processes.stop()
    task = await processes.find("a", "t1")
    assert task is not None
    assert (task.status, task.reason, task.exit_code, task.attempts) == (*became, 1)


@pytest.mark.parametrize(
    ("code", "became"), [(0, (Word.SUCCEEDED, "Completed", 0)), (3, (Word.FAILED, "ServiceStopped", None))]
)
async def test_what_has_ended_when_the_service_stops_is_not_tried_again_while_its_output_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, became: tuple[Word, str, int | None]
) -> None:
    processes = Processes(
        Settings(), Kept(Objects(tmp_path.as_uri())), lambda: datetime.now(UTC), lambda _: None, Bus()
    )
    end, ending, left = process._end, asyncio.Event(), tmp_path / "left"

    async def told(*given: Any) -> None:
        ending.set()
        await end(*given)

    monkeypatch.setattr(process, "_end", told)
    leaving = f"setsid bash -c 'echo $$ > {left}; exec sleep 987654' & until [ -s {left} ]; do sleep 0.02; done"
    await processes.submit(
        "a", Template(command=("bash", "-c", f"{leaving}; exit {code}"), retries=1), Asked("r"), "t1"
    )
    try:
        async with asyncio.timeout(60):
            await ending.wait()
            await processes.stop()
    finally:
        os.kill(int(left.read_text()), signal.SIGKILL)
    task = await processes.find("a", "t1")
    assert task is not None
    assert (task.status, task.reason, task.exit_code, task.attempts) == (*became, 1)


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _runs(pid: int) -> bool:
    """Not so when nobody has looked at how it ended yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_beats_put_off_the_judgement_and_so_does_a_time_in_which_the_service_did_not_run(tmp_path: Path) -> None:
    bus, clock = Bus(), asyncio.get_running_loop().time
    processes = Processes(Settings(), Kept(Objects(tmp_path.as_uri())), lambda: datetime.now(UTC), lambda _: None, bus)
    patient = Template(command=("bash", "-c", f"echo x >> {tmp_path}/began; sleep 987654"), retries=0)
    await processes.submit("a", patient, Asked("r", heartbeat=True), "t1")
    try:
        async with asyncio.timeout(60):
            while not (tmp_path / "began").exists():  # noqa: ASYNC110 - of another process
                await asyncio.sleep(0.02)
        before = clock()
        bus.publish(heartbeat_topic("t1"), {})
        processes.look(before + LIMIT_SECONDS)
        later = before + 10 * LIMIT_SECONDS
        processes.look(later, slept=CHECK_SECONDS + LIMIT_SECONDS)
        processes.look(later + LIMIT_SECONDS, slept=CHECK_SECONDS)
        assert await _status(processes) == Word.RUNNING
        processes.look(later + LIMIT_SECONDS + 1, slept=CHECK_SECONDS)
        async with asyncio.timeout(60):
            while await _status(processes) != Word.FAILED:  # noqa: ASYNC110 - nobody tells this test
                await asyncio.sleep(0.02)
    finally:
        await processes.stop()
    task = await processes.find("a", "t1")
    assert task is not None
    assert task.reason == "HeartbeatLost"


async def test_what_is_over_takes_no_place_while_it_is_being_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, over, goes_on = Kept(Objects(tmp_path.as_uri())), asyncio.Event(), asyncio.Event()
    put = kept.put

    async def slow(task: LocalTask) -> None:
        if task.status.final:
            over.set()
            await goes_on.wait()
        await put(task)

    monkeypatch.setattr(kept, "put", slow)
    settings = Settings(task_local_parallel=1, task_local_queue=0)
    processes = Processes(settings, kept, lambda: datetime.now(UTC), lambda _: None, Bus())
    quick = Template(command=("true",))
    async with asyncio.timeout(60):
        await processes.submit("a", quick, Asked("r"), "t1")
        await over.wait()
        assert await processes.submit("a", quick, Asked("r"), "t2")
        goes_on.set()
        await processes.stop()


async def _status(processes: Processes) -> Word:
    await asyncio.sleep(0)  # in which whoever was told to end hears of it
    task = await processes.find("a", "t1")
    assert task is not None
    return task.status
