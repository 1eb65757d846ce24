"""A task does not look as if it ran for ever: the service's disk has no place for it, or the service stops."""

from __future__ import annotations

import asyncio
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from longshore.archive.objects import Objects
from longshore.kinds.tasks.as_processes import executor
from longshore.kinds.tasks.kept import Kept, LocalTask
from longshore.kinds.tasks.model import Asked, template_of
from longshore.kinds.tasks.view import Word
from longshore.runtime.bus import Bus
from longshore.settings import Settings


async def test_a_task_that_gets_no_folder_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    seen: list[LocalTask] = []
    kept = Kept(Objects(tmp_path.as_uri()))
    over = asyncio.Event()

    def changed(task: LocalTask) -> None:
        seen.append(task)
        if task.status.final:
            over.set()

    async with (
        asyncio.timeout(60),
        executor(Settings(), kept, lambda: datetime.now(UTC), changed, Bus()) as processes,
    ):
        assert await processes.submit(
            "a", template_of("command: ['true']"), Asked(pipeline_run_id="r"), "task-runner-r-1"
        )
        await over.wait()
    last = await kept.get("a", "task-runner-r-1")
    assert last is not None
    assert (last.status, last.reason) == (Word.FAILED, "CannotStart")
    assert "no place" in last.message


class Slow(Kept):
    """An archive that takes its time with what is over."""

    def __init__(self, objects: Objects) -> None:
        super().__init__(objects)
        self.asked, self.goes_on = asyncio.Event(), asyncio.Event()

    async def put(self, task: LocalTask) -> None:
        if task.status.final:
            self.asked.set()
            await self.goes_on.wait()
        await super().put(task)


async def test_what_became_of_a_task_is_kept_although_the_service_stops_meanwhile(tmp_path: Path) -> None:
    kept = Slow(Objects(tmp_path.as_uri()))
    async with asyncio.timeout(60):
        async with executor(Settings(), kept, lambda: datetime.now(UTC), lambda _: None, Bus()) as processes:
            await processes.submit("a", template_of("command: ['true']"), Asked(pipeline_run_id="r"), "task-runner-r-1")
            await kept.asked.wait()
            asyncio.get_running_loop().call_later(0.05, kept.goes_on.set)
    last = await kept.get("a", "task-runner-r-1")
    assert last is not None
    assert last.status is Word.SUCCEEDED
