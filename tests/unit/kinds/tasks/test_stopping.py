"""A service that stops begins nothing more, and waits for nothing but the end of what it began."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from longshore.archive.objects import Objects
from longshore.kinds.tasks import process
from longshore.kinds.tasks.as_processes import Processes
from longshore.kinds.tasks.kept import Kept
from longshore.kinds.tasks.model import Asked, Template
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
    stubborn = Template(command=("bash", "-c", f"trap : TERM; echo x >> {began}; while :; do sleep 0.05; done"))
    await processes.submit("a", stubborn, Asked("r", heartbeat=True), "t1")
    async with asyncio.timeout(30):
        while not began.exists():  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.02)
    processes.look(asyncio.get_running_loop().time() + 10_000)
    await asyncio.sleep(0)  # it is told to end, and takes its time
    async with asyncio.timeout(30):
        await processes.stop()
    task = await processes.find("a", "t1")
    assert task is not None
    assert (task.status, task.reason, task.attempts) == (Word.FAILED, "ServiceStopped", 1)
    assert began.read_text() == "x\n"
